"""The system checks, as `manage.py check` runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from enum import IntEnum
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test import override_settings

from blueshift_sync import checks
from tests.site.models import Person

ROOT = Path(__file__).parent.parent
SETTINGS = {"API_KEY": "key"}
REDIS = {"URL": "redis://127.0.0.1:6379/0"}
#: What is said of the suite's own database before a deployment.
OF_THE_SUITE = ["blueshift_sync.I002"] + (["blueshift_sync.W016"] if connection.vendor == "sqlite" else [])


def messages(*, deploy: bool = False) -> list[CheckMessage]:
    """What our checks say, by their identifiers; none of them asks the database."""
    # From Django 6.0 on, checks of models are otherwise made of every database.
    found = run_checks(include_deployment_checks=deploy, databases=[])
    ours = [message for message in found if str(message.id).startswith("blueshift_sync.")]
    return sorted(ours, key=lambda message: str(message.id))


def identifiers(*, deploy: bool = False) -> list[str | None]:
    """As `messages`, without what is said of the suite itself."""
    found = [message.id for message in messages(deploy=deploy)]
    return [identifier for identifier in found if identifier not in OF_THE_SUITE]


@override_settings(BLUESHIFT_SYNC=SETTINGS)
def test_good_settings_pass_also_for_deployment() -> None:
    assert identifiers() == identifiers(deploy=True) == []
    assert [message.id for message in messages(deploy=True)] == OF_THE_SUITE


# Since Django 6.0, the command has Django ask each database what it can do.
@pytest.mark.django_db(databases="__all__")
@override_settings(BLUESHIFT_SYNC={**SETTINGS, "REGION": "asia", "TYPO": 1})
def test_each_mistake_is_an_error_with_a_hint_that_names_the_key() -> None:
    found = messages()
    assert [message.id for message in found] == ["blueshift_sync.E001"] * 2
    assert all(message.is_serious() for message in found)
    assert "REGION" in str(found[0].hint)
    assert "TYPO" in str(found[1].hint)
    with pytest.raises(SystemCheckError, match="BLUESHIFT_SYNC has no setting 'TYPO'"):
        call_command("check", stdout=StringIO())


@pytest.mark.parametrize("raw", [None, [], "key"])
def test_what_is_no_dict_is_an_error_and_nothing_crashes(raw: Any) -> None:
    with override_settings(BLUESHIFT_SYNC=raw):
        assert identifiers() == ["blueshift_sync.E001", "blueshift_sync.W001"]


@pytest.mark.parametrize("raw", [{}, {"API_KEY": ""}, {"API_KEY": None}])
def test_a_missing_key_is_a_warning_and_an_error_for_deployment(raw: dict[str, Any]) -> None:
    with override_settings(BLUESHIFT_SYNC=raw):
        (warning,) = messages()
        assert (warning.id, warning.is_serious()) == ("blueshift_sync.W001", False)
        assert "API_KEY" in str(warning.hint)
        (error,) = (message for message in messages(deploy=True) if message.is_serious())
        assert error.id == "blueshift_sync.E003"
        assert "API_KEY" in str(error.hint)


@pytest.mark.parametrize(
    ("queues", "offered"), [({}, "none is there yet"), ({"default": {}, "high": {}}, "default, high")]
)
def test_a_queue_that_is_not_in_rq_queues_is_an_error(queues: dict[str, Any], offered: str) -> None:
    with override_settings(BLUESHIFT_SYNC={**SETTINGS, "QUEUE": "blueshift"}, RQ_QUEUES=queues):
        (error,) = messages()
    assert error.id == "blueshift_sync.E002"
    assert "'blueshift'" in error.msg
    assert offered in str(error.hint)


@pytest.mark.parametrize("queue", [["default"], None, 1])
def test_a_queue_of_the_wrong_type_is_said_once(queue: Any) -> None:
    with override_settings(BLUESHIFT_SYNC={**SETTINGS, "QUEUE": queue}):
        assert identifiers() == ["blueshift_sync.E001"]


@override_settings(BLUESHIFT_SYNC={"API_KEY": ["s3cret"], "REGION": "s3cret", "BASE_URL": "https://s3cret@x"})
def test_no_check_repeats_a_value() -> None:
    assert "s3cret" not in "".join(f"{message.msg} {message.hint}" for message in messages(deploy=True))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"LEASE_SECONDS": 35}, ["blueshift_sync.W005"]),
        ({"LEASE_SECONDS": 36}, []),
        ({"TIMEOUT": (60, 300)}, ["blueshift_sync.W005"]),
        ({"TIMEOUT": "long"}, ["blueshift_sync.E001"]),
    ],
)
def test_a_lease_that_is_no_longer_than_a_call_is_a_warning(more: dict[str, Any], said: list[str]) -> None:
    with override_settings(BLUESHIFT_SYNC={**SETTINGS, **more}):
        assert identifiers() == said


def test_django_rq_that_is_not_installed_is_an_error(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = SETTINGS
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django_rq"]
    assert identifiers() == ["blueshift_sync.E006"]


@override_settings(BLUESHIFT_SYNC=SETTINGS)
@pytest.mark.parametrize("options", [{}, {"transaction_mode": None}, {"transaction_mode": "deferred"}])
def test_sqlite_without_turns_is_a_warning(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert identifiers() == (["blueshift_sync.W006"] if connection.vendor == "sqlite" else [])


@override_settings(BLUESHIFT_SYNC=SETTINGS)
def test_no_source_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.checks.all_sources", lambda: iter(()))
    (note,) = messages()
    assert (note.id, note.is_serious()) == ("blueshift_sync.I001", False)


@pytest.mark.parametrize(
    ("more", "queues", "said"),
    [
        ({"BASE_URL": "http://127.0.0.1:8765"}, None, ["blueshift_sync.W007"]),
        ({"BASE_URL": "https://localhost"}, None, ["blueshift_sync.W007"]),
        ({"BASE_URL": "https://proxy.example.com"}, None, []),
        ({"BASE_URL": "nonsense"}, None, ["blueshift_sync.E001"]),
        ({"ENABLED": False}, None, ["blueshift_sync.W008"]),
        ({}, {"default": {**REDIS, "ASYNC": False}}, ["blueshift_sync.W009"]),
        ({}, {"default": {**REDIS, "ASYNC": True}}, []),
        ({}, {"default": {**REDIS, "ASYNC": True}, "other": {"ASYNC": False}}, []),
        ({"BODY_RETENTION_DAYS": None}, None, ["blueshift_sync.W015"]),
        ({"CALL_RETENTION_DAYS": None, "BODY_RETENTION_DAYS": None}, None, ["blueshift_sync.W015"]),
        ({"CALL_RETENTION_DAYS": 0}, None, []),
        ({"ALERT_EMAILS": ["ops@example.com"]}, None, ["blueshift_sync.W018"]),
    ],
)
def test_what_is_for_tests_only_is_said_before_deployment(
    more: dict[str, Any], queues: dict[str, Any] | None, said: list[str], settings: Any
) -> None:
    settings.BLUESHIFT_SYNC = {**SETTINGS, **more}
    if queues is not None:
        settings.RQ_QUEUES = queues
    assert identifiers(deploy=True) == said
    assert [number for number in identifiers() if number == "blueshift_sync.E001"] == identifiers()


def test_mails_that_reach_somebody_are_no_warning(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**SETTINGS, "ALERT_EMAILS": ["ops@example.com"]}
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert identifiers(deploy=True) == []


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ({}, ["blueshift_sync.E011"]),
        ({"DB": 0, "PASSWORD": "s3cret"}, ["blueshift_sync.E011"]),
        ({"HOST": "localhost"}, ["blueshift_sync.E011"]),
        ({"HOST": "localhost", "PORT": 6379}, []),
        ({"UNIX_SOCKET_PATH": "/run/redis.sock", "DB": 0}, []),
        ({"SENTINELS": [("localhost", 26379)], "MASTER_NAME": "redis"}, []),
        ({"USE_REDIS_CACHE": "default"}, []),
        (REDIS, []),
    ],
)
def test_a_queue_must_say_where_its_redis_is(queue: dict[str, Any], said: list[str], settings: Any) -> None:
    settings.BLUESHIFT_SYNC = SETTINGS
    settings.RQ_QUEUES = {"default": queue}
    assert identifiers() == said
    assert "s3cret" not in "".join(f"{message.msg} {message.hint}" for message in messages())


@override_settings(BLUESHIFT_SYNC=SETTINGS, USE_TZ=False)
def test_local_times_are_an_error() -> None:
    assert identifiers() == ["blueshift_sync.E012"]


@pytest.mark.parametrize(("timeout", "said"), [((5, 425), []), ((5, 426), ["blueshift_sync.W010"])])
def test_a_call_must_end_before_rq_ends_its_job(timeout: tuple[float, float], said: list[str]) -> None:
    with override_settings(BLUESHIFT_SYNC={**SETTINGS, "TIMEOUT": timeout, "LEASE_SECONDS": 5000}):
        assert identifiers() == said


@override_settings(BLUESHIFT_SYNC={**SETTINGS, "REDACT": ["email", "phone_numbr", "firstname"]})
def test_a_name_in_redact_that_no_source_sends_masks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = messages()
    assert warning.id == "blueshift_sync.W011"
    assert "'phone_numbr'" in warning.msg
    monkeypatch.setattr("blueshift_sync.checks.all_sources", lambda: iter(()))
    assert identifiers() == ["blueshift_sync.I001"]  # without sources nobody knows


class TestDatabase:
    """What its settings say. The connection is made to look like another database's; it is never opened."""

    @pytest.fixture(autouse=True)
    def _key(self, settings: Any) -> None:
        settings.BLUESHIFT_SYNC = SETTINGS

    @pytest.fixture
    def database(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def be(vendor: str, **configuration: Any) -> None:
            monkeypatch.setattr(type(connection._connections[connection._alias]), "vendor", vendor)
            for name, value in {"OPTIONS": {}, **configuration}.items():
                monkeypatch.setitem(connection.settings_dict, name, value)

        return be

    @pytest.mark.parametrize(
        ("vendor", "options", "said"),
        [
            ("mysql", {}, []),
            ("mysql", {"charset": "utf8mb4"}, []),
            ("mysql", {"charset": "utf8"}, ["blueshift_sync.E007"]),
            ("mysql", {"charset": "latin1"}, ["blueshift_sync.E007"]),
            ("mysql", {"isolation_level": "Read Committed"}, []),
            ("mysql", {"isolation_level": "repeatable read"}, ["blueshift_sync.W012"]),
            ("mysql", {"isolation_level": "read uncommitted"}, ["blueshift_sync.W012"]),
            ("mysql", {"isolation_level": None}, ["blueshift_sync.W012"]),
            ("postgresql", {"isolation_level": 2}, []),
            ("postgresql", {"isolation_level": 4}, ["blueshift_sync.W012"]),
            ("postgresql", {}, []),
            ("oracle", {}, ["blueshift_sync.E010"]),
        ],
    )
    def test_options(self, database: Any, vendor: str, options: dict[str, Any], said: list[str]) -> None:
        database(vendor, OPTIONS=options)
        assert identifiers() == said

    def test_psycopgs_own_levels(self, database: Any) -> None:
        psycopg = pytest.importorskip("psycopg", exc_type=ImportError) if connection.vendor == "postgresql" else None
        level = (
            psycopg.IsolationLevel if psycopg else IntEnum("IsolationLevel", {"READ_COMMITTED": 2, "SERIALIZABLE": 4})
        )
        database("postgresql", OPTIONS={"isolation_level": level.READ_COMMITTED})
        assert identifiers() == []
        database("postgresql", OPTIONS={"isolation_level": level.SERIALIZABLE})
        assert identifiers() == ["blueshift_sync.W012"]

    @pytest.mark.parametrize("port", ["6432", 6432])
    def test_pgbouncer(self, database: Any, port: Any) -> None:
        database("postgresql", PORT=port)
        assert identifiers() == ["blueshift_sync.W013"]
        database("postgresql", PORT=port, DISABLE_SERVER_SIDE_CURSORS=True)
        assert identifiers() == []
        database("postgresql", PORT="")
        assert identifiers() == []

    def test_no_autocommit(self, database: Any) -> None:
        database("postgresql", AUTOCOMMIT=False)
        assert identifiers() == ["blueshift_sync.E009"]

    def test_atomic_requests_and_a_server_leave_nothing_to_say(self, database: Any) -> None:
        database("postgresql", ATOMIC_REQUESTS=True)
        assert messages(deploy=True) == []


def test_a_key_in_a_settings_file_is_a_warning_before_deployment(settings: Any) -> None:
    in_the_file = settings.BLUESHIFT_SYNC["API_KEY"]
    settings.BLUESHIFT_SYNC = {"API_KEY": in_the_file}
    assert identifiers() == []
    assert identifiers(deploy=True) == ["blueshift_sync.W014"]
    assert in_the_file not in "".join(f"{message.msg} {message.hint}" for message in messages(deploy=True))
    settings.BLUESHIFT_SYNC = {"API_KEY": in_the_file[::-1]}
    assert identifiers(deploy=True) == []


@pytest.mark.parametrize(
    ("rates", "backend", "said"),
    [
        ({"blueshift_sync": "60/min"}, "locmem.LocMemCache", ["blueshift_sync.W017"]),
        ({"blueshift_sync": "60/min"}, "dummy.DummyCache", ["blueshift_sync.W017"]),
        ({"blueshift_sync": "60/min"}, "redis.RedisCache", []),
        ({"blueshift_sync": None}, "locmem.LocMemCache", []),
        ({"anon": "60/min"}, "locmem.LocMemCache", []),
    ],
)
def test_a_limit_that_is_counted_in_each_process(
    rates: dict[str, Any], backend: str, said: list[str], settings: Any
) -> None:
    settings.BLUESHIFT_SYNC = SETTINGS
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": rates}
    settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
    assert identifiers(deploy=True) == said


# Asking the database


def characters(*databases: str) -> list[CheckMessage]:
    return checks.check_characters(None, databases=list(databases))


@pytest.mark.django_db
def test_the_suites_own_database_holds_every_character() -> None:
    assert characters("default") == []


@pytest.mark.parametrize(
    ("vendor", "answers", "said"),
    [
        ("mysql", [[("utf8mb4",), ("utf8mb3",), ("latin1",)]], "latin1, utf8mb3"),
        ("mysql", [[], [("utf8mb3",)]], "utf8mb3"),
        ("mysql", [[], [("utf8mb4",)]], ""),
        ("mysql", [[("utf8mb4",)]], ""),
        ("postgresql", [[("SQL_ASCII",)]], "SQL_ASCII"),
        ("postgresql", [[("UTF8",)]], ""),
    ],
)
def test_narrow_databases(
    vendor: str, answers: list[list[tuple[str]]], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(vendor, answers)
    monkeypatch.setattr(checks, "_mirror", lambda: database)
    found = characters("default")
    assert [message.id for message in found] == (["blueshift_sync.E008"] if said else [])
    assert all(f"keeps text as {said}:" in message.msg for message in found)
    assert characters() == characters("other") == []


class Database:
    """A connection that gives these answers, one for each statement."""

    alias = "default"

    def __init__(self, vendor: str, answers: list[list[tuple[str]]]) -> None:
        self.vendor = vendor
        self._answers = iter(answers)

    def cursor(self) -> Any:
        return nullcontext(self)

    def execute(self, statement: str) -> None:
        self._answer = next(self._answers)

    def fetchall(self) -> list[tuple[str]]:
        return self._answer

    def fetchone(self) -> tuple[str]:
        return self._answer[0]


class TestDocumentation:
    PAGE = Path(__file__).parent.parent / "docs" / "checks.md"

    def test_the_table_has_every_check(self) -> None:
        in_code = re.findall(r'_message\(\s*"([EWI]\d{3})"', Path(checks.__file__).read_text())
        in_docs = re.findall(
            r"^\| <a id=\"(\w+)\"></a>([EWI]\d{3})(?:, \*(\w+)\*)? \|", self.PAGE.read_text(), re.MULTILINE
        )
        assert sorted(in_code) == sorted(number for _anchor, number, _when in in_docs)
        assert all(anchor == number.lower() for anchor, number, _when in in_docs)

    def test_the_table_says_when_each_is_made(self) -> None:
        when = dict(re.findall(r"</a>([EWI]\d{3})(?:, \*(\w+)\*)? \|", self.PAGE.read_text()))
        source = Path(checks.__file__).read_text()
        for function in re.split(r"\n(?=@register\()", source)[1:]:
            registered = function.partition("\n")[0]
            kind = "deploy" if "deploy=True" in registered else "database" if "Tags.database" in registered else ""
            for number in re.findall(r'_message\(\s*"([EWI]\d{3})"', function):
                assert when[number] == kind, number

    @override_settings(BLUESHIFT_SYNC={"TYPO": 1, "QUEUE": "none", "ENABLED": False})
    def test_every_message_leads_to_its_row(self) -> None:
        found = messages(deploy=True)
        assert len(found) >= 5
        for message in found:
            anchor = str(message.id).rpartition(".")[2].lower()
            assert str(message.hint).endswith(f"See docs/checks.md#{anchor}.")
            assert f'<a id="{anchor}"></a>' in self.PAGE.read_text()


class People:
    """A router that keeps the site's people on another database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model is Person else None


@override_settings(BLUESHIFT_SYNC=SETTINGS, DATABASE_ROUTERS=[People()])
def test_a_source_on_another_database_is_a_warning() -> None:
    from blueshift_sync.sources import CustomerSource, register
    from blueshift_sync.sources.registration import unregister

    assert identifiers() == []
    register(Person)(type("People", (CustomerSource,), {"email": "email"}))
    try:
        (warning,) = messages()
    finally:
        unregister(Person)
    assert warning.id == "blueshift_sync.W002"
    assert warning.msg.startswith("site.Person is on another database than the tables of blueshift_sync")
    assert "don't commit together" in warning.msg
    assert "blueshift_backfill site.Person" in str(warning.hint)


#: A site whose database can't be asked anything, whatever it is.
START_UP = """
import django
from django.core.checks import registry, run_checks
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

def refuse(*arguments, **options):
    raise AssertionError("The database was asked.")

BaseDatabaseWrapper.ensure_connection = BaseDatabaseWrapper.connect = BaseDatabaseWrapper.cursor = refuse
django.setup()
print("ready")
ours = [check for check in registry.registry.get_checks(True) if check.__module__ == "blueshift_sync.checks"]
for check in ours:
    check(app_configs=None, databases=None)
run_checks(include_deployment_checks=True)
try:
    connection.cursor()
except AssertionError:
    print(len(ours), "checks")
"""


def test_neither_start_up_nor_a_check_asks_the_database_unless_told_to() -> None:
    """In a process of its own, for here everything has started up already."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", START_UP]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    number = len(re.findall(r"^@register\(", Path(checks.__file__).read_text(), re.MULTILINE))
    assert result.stdout.split("\n")[:2] == ["ready", f"{number} checks"], result.stderr
