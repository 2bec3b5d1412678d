"""How everything stands in a few numbers, over all kinds of records: for monitors and what they watch for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .runs import MODELS, SentModel
from .status import Status, take_status


@dataclass(frozen=True)
class Totals:
    """Records by where they stand. `is_exact` is False where some were only counted up to a bound, or a while ago.

    `workers` is None where Redis doesn't answer, and the ages are None where there is nothing that has one.
    """

    in_step: int
    waiting: int
    parked: int
    being_sent: int
    failed: int
    excluded: int
    is_exact: bool
    oldest_waiting_seconds: float | None
    sends: bool
    workers: int | None
    sweep_age_seconds: float | None


def totals_of(status: Status) -> Totals:
    """The sums of what the status tells of each kind of record."""

    def total(group: str) -> int:
        return sum(numbers.numbers[group].value for numbers in status.records)

    since = [numbers.oldest for numbers in status.records if numbers.oldest is not None]
    return Totals(
        in_step=total("in_step"),
        waiting=total("waiting"),
        parked=total("parked"),
        being_sent=total("sending"),
        failed=total("failed"),
        excluded=total("excluded"),
        is_exact=all(number.is_exact for numbers in status.records for number in numbers.numbers.values()),
        oldest_waiting_seconds=max(0.0, (status.taken_at - min(since)).total_seconds()) if since else None,
        sends=status.standstill is None,
        workers=status.workers.alive if status.workers else None,
        sweep_age_seconds=max(0.0, (status.taken_at - status.swept_at).total_seconds()) if status.swept_at else None,
    )


class Threshold(NamedTuple):
    """What a monitor may set a bound to: what it is, and why a status is beyond the bound, or an empty text.

    `group` names the records that it counts, if it counts any.
    """

    meaning: str
    beyond: Callable[[Totals, int], str]
    group: str = ""


def _at_most(value: float | None, bound: int, what: str) -> str:
    return f"{value:.0f} {what}, more than {bound}." if value is not None and value > bound else ""


def _workers(totals: Totals, bound: int) -> str:
    if totals.workers is None:
        return "Redis doesn't answer, so nobody knows how many workers there are." if bound else ""
    return f"{totals.workers} workers are alive, fewer than {bound}." if totals.workers < bound else ""


def _sweep(totals: Totals, bound: int) -> str:
    if totals.sweep_age_seconds is None:
        return "The periodic sweep has never run."
    return _at_most(totals.sweep_age_seconds, bound, "seconds since the last sweep")


THRESHOLDS: Mapping[str, Threshold] = {
    "max_waiting": Threshold(
        "records that wait for their turn", lambda of, n: _at_most(of.waiting, n, "records wait"), "waiting"
    ),
    "max_waiting_seconds": Threshold(
        "seconds that a record has waited for its turn",
        lambda of, n: _at_most(of.oldest_waiting_seconds, n, "seconds that the oldest record has waited"),
    ),
    "max_failed": Threshold("records that failed", lambda of, n: _at_most(of.failed, n, "records failed"), "failed"),
    "max_excluded": Threshold(
        "records that are excluded", lambda of, n: _at_most(of.excluded, n, "records are excluded"), "excluded"
    ),
    "min_workers": Threshold("workers that are alive, at least", _workers),
    "max_sweep_seconds": Threshold("seconds since the last periodic sweep", _sweep),
}


def status_for(bounds: Mapping[str, int], models: Sequence[SentModel] = MODELS) -> Status:
    """How everything stands, counted as far as it takes to tell whether it is beyond these bounds."""
    return take_status(models, {THRESHOLDS[name].group: bound for name, bound in bounds.items()})


def beyond(status: Status, bounds: Mapping[str, int]) -> dict[str, str]:
    """Those of the bounds, by the names of `THRESHOLDS`, that the status is beyond, or may be; each with a sentence."""
    totals = totals_of(status)
    found = {
        name: THRESHOLDS[name].beyond(totals, bound) or _of_many(status, THRESHOLDS[name], bound)
        for name, bound in bounds.items()
    }
    return {name: sentence for name, sentence in found.items() if sentence}


def _of_many(status: Status, threshold: Threshold, bound: int) -> str:
    """Of more than are counted at once: that they are beyond the bound, or why nobody can tell.

    What was counted long ago tells nothing.
    """
    numbers = [each.numbers[threshold.group] for each in status.records] if threshold.group else []
    if any(number.value >= bound for number in numbers if not number.is_exact and number.counted_at is None):
        return f"There are more than {bound} {threshold.meaning}."
    unknown = [number for number in numbers if not status.knows(number)]
    if not unknown:
        return ""
    counted = [number.counted_at for number in unknown if number.counted_at]
    last = f"last did so at {min(counted).isoformat(timespec='seconds')}" if counted else "has not done so yet"
    return (
        f"Nobody knows whether there are more than {bound} {threshold.meaning}: so many are counted by the periodic "
        f"sweep, which {last}."
    )


def why_not_sending(status: Status) -> str:
    """Why nothing is sent at all, be it a fault or somebody's choice; empty while it is."""
    return status.standstill.sentence if status.standstill else ""
