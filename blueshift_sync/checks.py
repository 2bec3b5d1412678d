"""System checks: mistakes in settings and sources, told with what to do about them. None of them asks the database.

docs/checks.md has a table of all of them.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import connections, router

from .conf import app_settings, is_loopback_address, problems, raw_settings
from .models import Customer
from .sources.base import Source
from .sources.inspection import flaws, missing
from .sources.registry import all_sources
from .sources.signed_files import signed_files
from .sources.stray_names import stray_names

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
def check_sqlite(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A transaction that begins by reading fails where somebody else writes meanwhile, however long it would wait."""
    connection = connections[router.db_for_write(Customer)]
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
    name = app_settings().QUEUE
    queue = (getattr(settings, "RQ_QUEUES", None) or {}).get(name) if isinstance(name, str) else None
    if not isinstance(queue, dict) or queue.get("ASYNC", True):
        return []
    return [
        _message(
            "W009",
            f"RQ_QUEUES[{name!r}] has ASYNC set to False: whoever saves something waits until it is sent.",
            "Remove ASYNC from it, and run manage.py rqworker.",
        )
    ]
