"""The system checks, as `manage.py check` runs them."""

from __future__ import annotations

import re
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

SETTINGS = {"API_KEY": "key"}


def messages(*, deploy: bool = False) -> list[CheckMessage]:
    """What our checks say, by their identifiers; none of them asks the database."""
    found = run_checks(include_deployment_checks=deploy)
    ours = [message for message in found if str(message.id).startswith("blueshift_sync.")]
    return sorted(ours, key=lambda message: str(message.id))


def identifiers(*, deploy: bool = False) -> list[str | None]:
    return [message.id for message in messages(deploy=deploy)]


@override_settings(BLUESHIFT_SYNC=SETTINGS)
def test_good_settings_pass_also_for_deployment() -> None:
    assert identifiers() == identifiers(deploy=True) == []


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


@override_settings(BLUESHIFT_SYNC=SETTINGS)
def test_django_rq_that_is_not_installed_is_an_error(settings: Any) -> None:
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
        ({}, {"default": {"ASYNC": False}}, ["blueshift_sync.W009"]),
        ({}, {"default": {"ASYNC": True}}, []),
        ({}, {"default": {"ASYNC": True}, "other": {"ASYNC": False}}, []),
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


class TestDocumentation:
    PAGE = Path(__file__).parent.parent / "docs" / "checks.md"

    def test_the_table_has_every_check(self) -> None:
        in_code = re.findall(r'_message\(\s*"([EWI]\d{3})"', Path(checks.__file__).read_text())
        in_docs = re.findall(
            r"^\| <a id=\"(\w+)\"></a>([EWI]\d{3})(, \*deploy\*)? \|", self.PAGE.read_text(), re.MULTILINE
        )
        assert sorted(in_code) == sorted(number for _anchor, number, _deploy in in_docs)
        assert all(anchor == number.lower() for anchor, number, _deploy in in_docs)

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
