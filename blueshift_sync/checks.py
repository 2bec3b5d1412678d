"""System checks: mistakes in settings and sources, told with what to do about them.

None of them asks the network. One asks the database, and only where Django says so: `migrate`, `check --database`.
docs/checks.md has a table of all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from .conf import app_settings, is_loopback_address, problems, raw_settings
from .delivery.drain import HELD_PATIENCE
from .delivery.throttle import LONGEST_WAIT
from .delivery.wake import DRAIN_SECONDS, JOB_TIMEOUT
from .models import Customer
from .sources.base import CustomerSource, Source
from .sources.inspection import flaws, missing
from .sources.readings import LONGEST
from .sources.registry import all_sources
from .sources.signed_files import signed_files
from .sources.stray_names import stray_names

#: What this app has SQL for, by Django's names.
KNOWN_DATABASES = {"sqlite", "postgresql", "mysql"}
#: Longer than this a call may not take, or RQ ends its job: what is left when a drain has used up its own time.
LONGEST_CALL = JOB_TIMEOUT - DRAIN_SECONDS - LONGEST_WAIT - HELD_PATIENCE
#: Any of these says to django-rq where a queue's Redis is.
REDIS_ADDRESSES = (
    {"URL"},
    {"USE_REDIS_CACHE"},
    {"UNIX_SOCKET_PATH", "DB"},
    {"SENTINELS", "MASTER_NAME"},
    {"HOST", "PORT"},
)
#: Where PgBouncer listens unless it is told otherwise.
PGBOUNCER_PORT = "6432"
#: Shorter keys may stand in a file by chance.
TELLING_KEY = 12
#: Mail backends that reach nobody.
BACKENDS_FOR_TESTS = tuple(f"backends.{name}.EmailBackend" for name in ("console", "dummy", "filebased", "locmem"))

NO_KEY_HINT = "Set BLUESHIFT_SYNC['API_KEY'] to the User API key of your Blueshift account."


def _message(number: str, message: str, hint: str) -> CheckMessage:
    """The check with this number, of which the letter says how serious it is."""
    kind = {"E": Error, "W": Warning, "I": Info}[number[0]]
    return kind(message, hint=f"{hint} See docs/checks.md#{number.lower()}.", id=f"blueshift_sync.{number}")


# Settings


@register(Tags.compatibility)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Unknown keys, wrong types and values out of range in BLUESHIFT_SYNC."""
    return [_message("E001", problem.message, problem.hint) for problem in problems(raw_settings())]


@register(Tags.compatibility)
def check_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without a key changes are captured, and nothing is sent."""
    if app_settings().has_key:
        return []
    message = "BLUESHIFT_SYNC['API_KEY'] is not set: changes are captured, but nothing is sent to Blueshift."
    return [_message("W001", message, NO_KEY_HINT)]


@register(Tags.compatibility)
def check_lease(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A lease that ends while its call may still be answered has records sent twice."""
    if list(problems(raw_settings())):
        return []
    lease, longest = app_settings().LEASE_SECONDS, sum(app_settings().TIMEOUT)
    if lease > longest:
        return []
    return [
        _message(
            "W005",
            f"BLUESHIFT_SYNC['LEASE_SECONDS'] is {lease:g}, and a call may take {longest:g} s by TIMEOUT: a worker "
            "that only waits would count as dead, and its records would be sent again.",
            f"Set LEASE_SECONDS to {10 * longest:g} or more, or make TIMEOUT shorter.",
        )
    ]


@register(Tags.compatibility)
def check_timeout(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A call that begins when a drain's time is nearly over must still end before RQ ends the job."""
    if list(problems(raw_settings())) or sum(app_settings().TIMEOUT) <= LONGEST_CALL:
        return []
    return [
        _message(
            "W010",
            f"BLUESHIFT_SYNC['TIMEOUT'] lets a call take {sum(app_settings().TIMEOUT):g} s: RQ ends the job before "
            "that, and nobody knows what became of the call.",
            f"Set TIMEOUT to a pair that adds up to {LONGEST_CALL:g} s or less.",
        )
    ]


@register(Tags.compatibility)
def check_redact(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A misspelt name masks nothing."""
    known = _field_names()
    names = app_settings().REDACT
    if not known or not isinstance(names, list | tuple):
        return []
    return [
        _message(
            "W011",
            f"BLUESHIFT_SYNC['REDACT'] names {name!r}, which no source sends: its values wouldn't be masked.",
            "Write it as Blueshift knows it, such as 'email', or as a key of `attributes` in a source.",
        )
        for name in names
        if isinstance(name, str) and name.strip() and name not in known
    ]


def _field_names() -> set[str]:
    """What customers are sent with, by the sources there are; empty without any."""
    sources = [source for source in all_sources() if isinstance(source, CustomerSource)]
    attributes = {name for source in sources if isinstance(source.attributes, dict) for name in source.attributes}
    return {*LONGEST, "subscription_groups", *attributes} if sources else set()


# The site around us


@register(Tags.compatibility)
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The queue must be one of django-rq's."""
    name = app_settings().QUEUE
    queues = getattr(settings, "RQ_QUEUES", None) or {}
    if not isinstance(name, str) or name in queues:
        return []
    return [
        _message(
            "E002",
            f"The queue {name!r} of BLUESHIFT_SYNC['QUEUE'] isn't in RQ_QUEUES.",
            f"Add it to RQ_QUEUES, or name one of: {', '.join(sorted(queues)) or 'none is there yet'}.",
        )
    ]


@register(Tags.compatibility)
def check_django_rq(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Its commands run the workers."""
    if apps.is_installed("django_rq"):
        return []
    message = "django_rq isn't in INSTALLED_APPS: manage.py has no rqworker, and nothing would be sent to Blueshift."
    return [_message("E006", message, "Add 'django_rq' to INSTALLED_APPS.")]


@register(Tags.compatibility)
def check_redis_address(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without one, every save would log a KeyError, and no worker could start. Whether it answers isn't tried."""
    name = app_settings().QUEUE
    queue = _queue()
    if queue is None or any(address <= queue.keys() for address in REDIS_ADDRESSES):
        return []
    return [
        _message(
            "E011",
            f"RQ_QUEUES[{name!r}] doesn't say where Redis is.",
            "Set its 'URL', such as 'redis://127.0.0.1:6379/0', or 'HOST' and 'PORT'; django-rq knows more ways.",
        )
    ]


def _queue() -> dict[str, Any] | None:
    """The site's settings of our queue; None where there are none."""
    name = app_settings().QUEUE
    queue = (getattr(settings, "RQ_QUEUES", None) or {}).get(name) if isinstance(name, str) else None
    return queue if isinstance(queue, dict) else None


@register(Tags.compatibility)
def check_time_zones(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Claims, retries and retention are moments, and local times aren't: an hour comes twice a year."""
    if settings.USE_TZ:
        return []
    message = "USE_TZ is False: without time zones nothing would be sent when it is due, and pages of the admin fail."
    return [_message("E012", message, "Set USE_TZ to True, Django's default, and TIME_ZONE to yours.")]


# The database, by its settings


def _mirror() -> BaseDatabaseWrapper:
    """The connection to our tables. To look at its settings opens none."""
    return connections[router.db_for_write(Customer)]


@register(Tags.compatibility)
def check_database_is_known(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What is written at once is written by statements of our own."""
    connection = _mirror()
    if connection.vendor in KNOWN_DATABASES:
        return []
    return [
        _message(
            "E010",
            f"The database {connection.alias!r} is neither PostgreSQL, MariaDB, MySQL nor SQLite: the tables of "
            "blueshift_sync can't be kept there.",
            "Keep them in one of these, by a router of your own in DATABASE_ROUTERS.",
        )
    ]


@register(Tags.compatibility)
def check_autocommit(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Django's on_commit, by which workers are woken, needs it."""
    connection = _mirror()
    if connection.settings_dict.get("AUTOCOMMIT", True):
        return []
    return [
        _message(
            "E009",
            f"DATABASES[{connection.alias!r}]['AUTOCOMMIT'] is False: nothing could be captured, as Django runs no "
            "on_commit() then.",
            "Remove it, and use transaction.atomic() or ATOMIC_REQUESTS.",
        )
    ]


@register(Tags.compatibility)
def check_charset_of_connection(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """MySQL's "utf8" has no room for four bytes: an emoji in a name would be an error, or a question mark."""
    connection = _mirror()
    charset = connection.settings_dict.get("OPTIONS", {}).get("charset", "utf8mb4")
    if connection.vendor != "mysql" or charset == "utf8mb4":
        return []
    return [
        _message(
            "E007",
            f"DATABASES[{connection.alias!r}]['OPTIONS']['charset'] is {charset!r}: customers with an emoji or a rare "
            "character in them couldn't be stored.",
            "Set it to 'utf8mb4', or remove it, which with Django 5.2 or newer means the same.",
        )
    ]


@register(Tags.compatibility)
def check_isolation(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Under a stricter level what others have changed is an error, under a weaker one what they may undo is sent."""
    connection = _mirror()
    options = connection.settings_dict.get("OPTIONS", {})
    if "isolation_level" not in options or connection.vendor not in {"postgresql", "mysql"}:
        return []
    level = options["isolation_level"]
    name = "the server's own" if level is None else str(getattr(level, "name", level)).replace("_", " ").lower()
    # psycopg counts its levels, and 2 is this one; PostgreSQL's own default can be left to itself by no other means.
    if name in {"read committed", "2"}:
        return []
    return [
        _message(
            "W012",
            f"DATABASES[{connection.alias!r}]['OPTIONS']['isolation_level'] isn't READ COMMITTED: workers and site "
            "would end each other's transactions, or send what was never committed.",
            "Remove it: READ COMMITTED is Django's default.",
        )
    ]


@register(Tags.compatibility)
def check_pooler(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Between two transactions a pooler gives the connection to others, and with it the cursor."""
    connection = _mirror()
    found = connection.settings_dict
    if connection.vendor != "postgresql" or str(found.get("PORT", "")) != PGBOUNCER_PORT:
        return []
    if found.get("DISABLE_SERVER_SIDE_CURSORS"):
        return []
    return [
        _message(
            "W013",
            f"The port of DATABASES[{connection.alias!r}] is PgBouncer's, and server-side cursors are on: where it "
            "pools by transactions, pushing very many records would fail.",
            f"Set DATABASES[{connection.alias!r}]['DISABLE_SERVER_SIDE_CURSORS'] to True, or silence this check if it "
            "pools by sessions.",
        )
    ]


@register(Tags.compatibility)
def check_sqlite(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A transaction that begins by reading fails where somebody else writes meanwhile, however long it would wait."""
    connection = _mirror()
    mode = connection.settings_dict.get("OPTIONS", {}).get("transaction_mode") or ""
    if connection.vendor != "sqlite" or mode.upper() in {"IMMEDIATE", "EXCLUSIVE"}:
        return []
    return [
        _message(
            "W006",
            f"The database {connection.alias!r} is SQLite, with transactions that don't take their turn: with a worker "
            'beside the site, both will meet "database is locked".',
            f"Set DATABASES[{connection.alias!r}]['OPTIONS']['transaction_mode'] to 'IMMEDIATE', and use WAL.",
        )
    ]


@register(Tags.compatibility)
def check_databases(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Sources on another database than the mirror are captured after their own commit."""
    mirror = router.db_for_write(Customer)
    elsewhere = sorted({source.model._meta.label for source in all_sources() if _database_of(source) != mirror})
    return [
        _message(
            "W002",
            f"{label} is on another database than the tables of blueshift_sync: a change of it and its capture don't "
            "commit together, and what happens between the two commits is lost.",
            f"Keep both on one database, or run blueshift_backfill {label} regularly.",
        )
        for label in elsewhere
    ]


def _database_of(source: Source) -> str:
    return router.db_for_write(source.model)


# The database, asked


@register(Tags.database)
def check_characters(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Whether the tables can hold every character. Asks only a database that Django was told to ask."""
    connection = _mirror()
    if connection.alias not in (databases or ()):
        return []
    narrow = {"mysql": _narrow_on_mysql, "postgresql": _narrow_on_postgresql}.get(connection.vendor)
    charset = narrow(connection) if narrow is not None else ""
    if not charset:
        return []
    return [
        _message(
            "E008",
            f"The database {connection.alias!r} keeps text as {charset}: customers with an emoji or a rare character "
            "in them couldn't be stored.",
            "Convert the database and its tables: to utf8mb4 on MySQL and MariaDB, to UTF8 on PostgreSQL.",
        )
    ]


def _narrow_on_mysql(connection: BaseDatabaseWrapper) -> str:
    """The character set of our tables that can't hold everything; before there are any, the database's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT character_set_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name LIKE 'blueshift_sync%%' AND character_set_name IS NOT NULL"
        )
        found = [row[0] for row in cursor.fetchall()]
        if not found:
            cursor.execute("SELECT @@character_set_database")
            found = [cursor.fetchone()[0]]
    return ", ".join(sorted(charset for charset in found if charset != "utf8mb4"))


def _narrow_on_postgresql(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_encoding")
        encoding = str(cursor.fetchone()[0])
    return "" if encoding == "UTF8" else encoding


# Sources


@register(Tags.models)
def check_sources(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Paths that lead nowhere, names that are Blueshift's own, and what else can't be right in a source."""
    return [
        *(_message("E004", flaw.message, flaw.hint) for flaw in flaws()),
        *(_message("E005", flaw.message, flaw.hint) for flaw in missing()),
        *(_message("W003", flaw.message, flaw.hint) for flaw in stray_names()),
        *(_message("W004", flaw.message, flaw.hint) for flaw in signed_files()),
    ]


@register(Tags.models)
def check_there_are_sources(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without any, nothing of the site reaches Blueshift."""
    if any(all_sources()):
        return []
    return [
        _message(
            "I001",
            "No source is registered: nothing of the site is mirrored, and only what is entered in the admin is sent.",
            "Describe your customers in a file blueshift.py in an installed app.",
        )
    ]


# For deployment


@register(Tags.security, deploy=True)
def check_key_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """In production a missing key is an error."""
    if app_settings().has_key:
        return []
    return [_message("E003", "BLUESHIFT_SYNC['API_KEY'] is not set: nothing would be sent to Blueshift.", NO_KEY_HINT)]


@register(Tags.security, deploy=True)
def check_address_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What listens on this machine is a simulator, or a proxy that somebody means."""
    if not is_loopback_address(app_settings().BASE_URL):
        return []
    return [
        _message(
            "W007",
            "BLUESHIFT_SYNC['BASE_URL'] is an address of this machine: customers would be sent there, and not to "
            "Blueshift.",
            "Remove BASE_URL, and set REGION. If a proxy listens there, silence this check.",
        )
    ]


@register(Tags.security, deploy=True)
def check_sending_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """It is easily forgotten after a test."""
    if app_settings().ENABLED:
        return []
    message = "BLUESHIFT_SYNC['ENABLED'] is False: changes are captured, but nothing is sent to Blueshift."
    return [_message("W008", message, "Set ENABLED to True, or remove it.")]


@register(Tags.security, deploy=True)
def check_queue_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Jobs of a queue that isn't asynchronous are done by whoever queues them."""
    queue = _queue()
    if queue is None or queue.get("ASYNC", True):
        return []
    return [
        _message(
            "W009",
            f"RQ_QUEUES[{app_settings().QUEUE!r}] has ASYNC set to False: whoever saves something waits until it is "
            "sent.",
            "Remove ASYNC from it, and run manage.py rqworker.",
        )
    ]


@register(Tags.security, deploy=True)
def check_where_the_key_is(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A key in a file is in every copy of the repository."""
    if not _key_is_in_the_settings_files():
        return []
    return [
        _message(
            "W014",
            "BLUESHIFT_SYNC['API_KEY'] stands in a settings file: whoever may read the code may change and delete "
            "every customer of the account.",
            "Read it from the environment, as os.environ['BLUESHIFT_API_KEY'], and take a new key.",
        )
    ]


def _key_is_in_the_settings_files() -> bool:
    """Looks into the settings module, and whatever was imported from beside it."""
    key = app_settings().API_KEY
    origin = getattr(sys.modules.get(os.environ.get(ENVIRONMENT_VARIABLE, "")), "__file__", None)
    if not isinstance(key, str) or len(key) < TELLING_KEY or origin is None:
        return False
    folder = Path(origin).parent
    paths = {Path(path) for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
    beside = (path for path in paths if path.suffix == ".py" and path.parent == folder)
    return any(key in path.read_text(encoding="utf-8", errors="replace") for path in beside if path.exists())


@register(Tags.security, deploy=True)
def check_retention(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Bodies are personal data, and so are the identifiers in calls and results."""
    for_ever = [
        name for name in ("BODY_RETENTION_DAYS", "CALL_RETENTION_DAYS") if getattr(app_settings(), name) is None
    ]
    if not for_ever:
        return []
    return [
        _message(
            "W015",
            f"BLUESHIFT_SYNC[{' and '.join(map(repr, for_ever))}] is None: personal data in the audit is kept for "
            "ever, and grows for ever.",
            "Set a number of days.",
        )
    ]


@register(Tags.security, deploy=True)
def check_sqlite_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """It knows one writer at a time, on one machine."""
    connection = _mirror()
    if connection.vendor != "sqlite":
        return []
    return [
        _message(
            "W016",
            f"The database {connection.alias!r} is SQLite: while a worker writes, everybody else who writes waits, and "
            "all of it must run on one machine.",
            "Use PostgreSQL or MariaDB, or silence this check if your site is a small one.",
        )
    ]


@register(Tags.security, deploy=True)
def check_transactions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Between two commits a process can die."""
    connection = _mirror()
    if connection.settings_dict.get("ATOMIC_REQUESTS"):
        return []
    return [
        _message(
            "I002",
            f"DATABASES[{connection.alias!r}]['ATOMIC_REQUESTS'] isn't set: what is saved outside of "
            "transaction.atomic() and the note that Blueshift must hear of it are two transactions.",
            "Set it to True, or save in transaction.atomic() and silence this check.",
        )
    ]


@register(Tags.security, deploy=True)
def check_throttle(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Each process would count by itself, and forget at each restart."""
    rates = (getattr(settings, "REST_FRAMEWORK", None) or {}).get("DEFAULT_THROTTLE_RATES") or {}
    backend = str((getattr(settings, "CACHES", None) or {}).get("default", {}).get("BACKEND", ""))
    if not rates.get("blueshift_sync") or not backend.endswith(("LocMemCache", "DummyCache")):
        return []
    return [
        _message(
            "W017",
            "DEFAULT_THROTTLE_RATES limits requests to the API of blueshift_sync, and CACHES['default'] is no cache "
            "that processes share: each of them counts for itself, or nobody does.",
            "Use a shared cache, such as django.core.cache.backends.redis.RedisCache.",
        )
    ]


@register(Tags.security, deploy=True)
def check_alerts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Operators would rely on mails that nobody gets."""
    if not app_settings().ALERT_EMAILS or not _mail_backend().endswith(BACKENDS_FOR_TESTS):
        return []
    return [
        _message(
            "W018",
            "BLUESHIFT_SYNC['ALERT_EMAILS'] names operators, and the site's mail backend is one that reaches nobody.",
            "Set up a mail server as Django's documentation says, or remove ALERT_EMAILS.",
        )
    ]


def _mail_backend() -> str:
    mailers = getattr(settings, "MAILERS", None)  # Django 6.1 and newer
    if mailers:
        return str(mailers.get("default", {}).get("BACKEND", ""))
    return str(getattr(settings, "EMAIL_BACKEND", ""))
