"""Mirroring many objects: backfills and a capture after `update()`, against a plain loop that makes JSON of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from blueshift_sync.models import Customer

from .bulk_users import make_users
from .harness import Outcome, Row, empty, measure, median_ratio, spread

USERS = 20_000
MANY = 200_000
CHANGED = 10_000
ROUNDS = 5
TARGET = 0.25
MEGABYTE = 2**20

#: How many users, and what each round of them came to.
Measured = tuple[int, Sequence[Outcome]]


@dataclass
class Round:
    """The same users by each side: into an empty mirror, into a full one, and as JSON."""

    count: int
    plain: Outcome
    first: Outcome
    second: Outcome

    @classmethod
    def of(cls, count: int, *, backwards: bool = False) -> Round:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE blueshift_sync_customer CASCADE")
        plain = None if backwards else measure("bulk_users:plain_loop")
        first = _backfill(count, changed=count)
        second = _backfill(count, changed=0)
        return cls(count, plain or measure("bulk_users:plain_loop"), first, second)


def run() -> list[Row]:
    empty()
    make_users(USERS)
    rounds = [Round.of(USERS, backwards=bool(number % 2)) for number in range(ROUNDS)]
    captures = [(_capture(), measure("bulk_users:plain_loop")) for _ in range(ROUNDS)]
    empty()
    make_users(MANY)
    many = Round.of(MANY)
    return [
        _row(f"users/s of a first backfill of {USERS:,}, against a plain loop to JSON", "first", rounds, TARGET),
        _row(
            f"users/s of a second one of {USERS:,}, which changes nothing, against the same", "second", rounds, TARGET
        ),
        _row(f"users/s of a first backfill of {MANY:,}, against a plain loop to JSON", "first", [many], TARGET),
        _row(f"users/s of a second one of {MANY:,}, which changes nothing, against the same", "second", [many], TARGET),
        _captured(captures),
        _memory(many, rounds),
    ]


def _backfill(count: int, changed: int) -> Outcome:
    outcome = measure("bulk_users:backfilling")
    if outcome.result != {"read": count, "changed": changed} or Customer.objects.count() != count:
        sys.exit(f"The backfill of {count} users came to {outcome.result}: the figure would mean nothing.")
    return outcome


def _capture() -> Outcome:
    outcome = measure("bulk_users:capturing", count=CHANGED)
    if outcome.result != {"read": CHANGED, "changed": CHANGED}:
        sys.exit(f"The capture of {CHANGED} users came to {outcome.result}: the figure would mean nothing.")
    return outcome


def _row(what: str, side: str, rounds: list[Round], target: float) -> Row:
    ours, plain = [getattr(each, side) for each in rounds], [each.plain for each in rounds]
    return _compared(what, (rounds[0].count, ours), (rounds[0].count, plain), target=target)


def _captured(captures: list[tuple[Outcome, Outcome]]) -> Row:
    ours, plain = zip(*captures, strict=True)
    what = f"users/s of capture() of {CHANGED:,} after update(), against the same"
    return _compared(what, (CHANGED, ours), (USERS, plain))


def _compared(what: str, ours: Measured, plain: Measured, target: float | None = None) -> Row:
    sides = {"ours": ours, "plain": plain}
    speeds = {name: [count / each.seconds for each in rounds] for name, (count, rounds) in sides.items()}
    per_cpu_second = {name: [count / each.cpu_seconds for each in rounds] for name, (count, rounds) in sides.items()}
    of_cpu = median_ratio(per_cpu_second["ours"], per_cpu_second["plain"])
    middle: dict[str, Any] = {name: spread(values) for name, values in speeds.items()}
    return Row(
        what,
        median_ratio(speeds["ours"], speeds["plain"]),
        target=target,
        note=(
            f"{middle['ours']['median']:,.0f}/s against {middle['plain']['median']:,.0f}/s; "
            f"by processor time of the process {of_cpu:.2f} ×"
        ),
        details={"users_per_second": middle, "by_cpu": round(of_cpu, 3)},
    )


def _memory(many: Round, rounds: list[Round]) -> Row:
    few = min(each.first.resident_peak for each in rounds)
    most = max(many.first.resident_peak, many.second.resident_peak)
    return Row(
        f"peak memory of a backfill of {MANY:,}, against {USERS:,}",
        most / few,
        target=1.1,
        at_most=True,
        note=f"{most / MEGABYTE:.1f} MB against {few / MEGABYTE:.1f} MB",
    )
