"""How everything stands, for programs: what `blueshift_status --json` says, and `status/` of the REST API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from .state_counts import Number, StateNumbers
from .status import Status


def as_json(status: Status) -> dict[str, Any]:
    """All of it as one JSON object."""
    return {
        "taken_at": _moment(status.taken_at),
        "ok": not status.faults,
        "problems": [{"code": problem.code, "sentence": problem.sentence} for problem in status.problems],
        "summary": status.summary,
        "records": {str(numbers.model._meta.model_name): _records(numbers) for numbers in status.records},
        "removals_for_approval": _number(status.for_approval),
        "sending": {
            "state": status.standstill.code if status.standstill else "on",
            "since": _moment(status.standstill.since if status.standstill else None),
        },
        "workers": asdict(status.workers) if status.workers else None,
        "swept_at": _moment(status.swept_at),
        "calls": {"last_minute": status.calls_last_minute, "allowed_per_minute": status.calls_allowed},
    }


def _records(numbers: StateNumbers) -> dict[str, Any]:
    counts = {group: _number(number) for group, number in numbers.numbers.items()}
    return {**counts, "oldest_waits_since": _moment(numbers.oldest)}


def _number(number: Number) -> dict[str, Any]:
    return {"number": number.value, "is_exact": number.is_exact, "counted_at": _moment(number.counted_at)}


def _moment(moment: datetime | None) -> str | None:
    """ISO 8601 with offset, on a site without time zones too."""
    if moment is None:
        return None
    return (timezone.make_aware(moment) if timezone.is_naive(moment) else moment).isoformat()
