"""Each line that is logged has an event and fields of its own, for programs, and docs/operations.md has all of them."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, SendingStop
from tests.docs.pages import table
from tests.factories import make_customer

PACKAGE = Path(__file__).parent.parent / "blueshift_sync"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
OF_EVERY_RECORD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Line:
    """One call of a logger in the code."""

    def __init__(self, path: Path, node: ast.Call) -> None:
        self.place = f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
        self.logger = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        self.level = node.func.attr  # type: ignore[attr-defined]
        extra = next((keyword.value for keyword in node.keywords if keyword.arg == "extra"), None)
        assert isinstance(extra, ast.Dict | ast.Name), f"{self.place} has no `extra`."
        self.extra = extra

    @property
    def fields(self) -> dict[str, ast.expr]:
        assert isinstance(self.extra, ast.Dict), self.place
        return {key.value: value for key, value in zip(self.extra.keys, self.extra.values, strict=True) if key}  # type: ignore[attr-defined]

    @property
    def events(self) -> set[str]:
        """What its event may be; it is written out in the call."""
        event = self.fields["event"]
        choices = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
        return {choice.value for choice in choices}  # type: ignore[attr-defined]


def lines() -> Iterator[Line]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=level)) if level in LEVELS:
                    yield Line(path, node)


def documented() -> dict[str, list[str]]:
    return table("docs/operations.md", "event | level | logger | fields | it means")


def test_each_line_has_an_event_and_names_that_are_free() -> None:
    found = list(lines())
    assert len(found) >= 15
    for line in found:
        assert line.events, line.place
        assert not line.fields.keys() & OF_EVERY_RECORD, line.place


def test_the_page_has_every_event_with_its_level_loggers_and_fields() -> None:
    rows = documented()
    assert {event for line in lines() for event in line.events} == rows.keys()
    for event, (_event, level, loggers, fields, _meaning) in rows.items():
        those = [line for line in lines() if event in line.events]
        assert {line.level for line in those} == {level}, event
        assert {line.logger for line in those} == set(re.findall(r"`([\w.]+)`", loggers)), event
        named = {name for line in those for name in line.fields} - {"event"}
        assert named == set(re.findall(r"`(\w+)`", fields)), event


class Json(logging.Formatter):
    """As formatters for JSON do it: the sentence, and whatever else there is."""

    def format(self, record: logging.LogRecord) -> str:
        more = {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}
        return json.dumps({"message": record.getMessage(), **more})


@pytest.mark.django_db
def test_a_call_is_told_in_numbers(simulator: Any, caplog: pytest.LogCaptureFixture) -> None:
    run = services.push([make_customer(), make_customer(firstname="x" * 65)])
    with caplog.at_level(logging.INFO, logger="blueshift_sync"):
        drain(job_id="a-job")
    call = ApiCall.objects.get()
    [told] = [json.loads(Json().format(record)) for record in caplog.records if record.event == "call_finished"]
    assert told.pop("duration_ms") == call.duration_ms
    assert told == {
        "message": f"Call {call.pk} CUSTOMERS_BULK: ANSWERED, 2 records.",
        "event": "call_finished",
        "call_id": call.pk,
        "run_id": run.pk,
        "endpoint": "CUSTOMERS_BULK",
        "outcome": "ANSWERED",
        "state": "PARTIAL",
        "status_code": 200,
        "records": 2,
        "failed": 1,
    }


@pytest.mark.django_db
def test_a_stop_and_its_end_are_told(simulator: Any, caplog: pytest.LogCaptureFixture) -> None:
    make_customer()
    simulator.fail("status", status=401, next=1)
    with caplog.at_level(logging.WARNING, logger="blueshift_sync"):
        drain()
        SendingStop.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
        drain()
    assert [record.event for record in caplog.records] == ["sending_stopped", "sending_resumed"]
