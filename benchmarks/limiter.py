"""Our rate limiter beside two libraries on the same Redis: what a grant costs, and how evenly grants come."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from redis import Redis

from project.embedded_redis import EmbeddedRedis

from .harness import Row, Side, alternate, measure_together

PROCESSES = 4
SECONDS = 5
RATE = 5
GRANTS = 3000
ROUNDS = 3

#: What a connection says of itself, and what measuring asks.
NOT_THE_LIMITER = {"config|resetstat", "hello", "select", "client|setinfo", "script|load", "ping", "flushdb"}
NAMES = {"ours": "ours", "limits": "limits (moving window)", "pyrate": "pyrate-limiter"}


def run() -> list[Row]:
    """On a Redis of their own, for the server counts its commands over all databases and clients."""
    with (
        TemporaryDirectory() as directory,
        EmbeddedRedis(Path(directory)) as server,
        patch.dict(os.environ, {"BENCH_REDIS_URL": server.url}),
    ):
        return _run(Redis.from_url(server.url))


def _run(redis: Redis) -> list[Row]:
    speed = alternate(ROUNDS, **{name: _grants_per_second(redis, name) for name in NAMES})
    return [row for name in NAMES for row in _rows(redis, name, median(speed[name]))]


def _rows(redis: Redis, name: str, grants_per_second: float) -> list[Row]:
    redis.flushdb()
    sides = [_side("grants_for", name, seconds=SECONDS) for _ in range(PROCESSES)]
    redis.config_resetstat()
    outcomes = measure_together(sides)
    commands = _commands(redis.info("commandstats"))
    moments = sorted(moment for outcome in outcomes for moment in outcome.result["moments"])
    trips = sum(outcome.result["round_trips"] for outcome in outcomes)
    most = max(sum(start <= moment < start + 1 for moment in moments) for start in moments)
    gaps = [after - before for before, after in pairwise(moments)]
    commands_per_grant = {command: round(calls / len(moments), 2) for command, calls in commands.items()}
    return [
        Row(
            f"limiter, {NAMES[name]}: commands that Redis runs per grant",
            sum(commands.values()) / len(moments),
            unit="commands",
            note=f"in {trips / len(moments):.1f} round trips; {PROCESSES} processes share {RATE} calls/s",
            details={"commands_per_grant": commands_per_grant},
        ),
        Row(
            f"limiter, {NAMES[name]}: most calls in any rolling second",
            most,
            unit="calls",
            target=RATE if name == "ours" else None,
            at_most=True,
            note=(
                f"{len(moments)} grants in {moments[-1] - moments[0]:.1f} s, {min(gaps) * 1000:.0f} to "
                f"{max(gaps) * 1000:.0f} ms apart"
            ),
        ),
        Row(
            f"limiter, {NAMES[name]}: grants/s of one process without a limit",
            grants_per_second,
            unit="grants/s",
        ),
    ]


def _commands(statistics: dict[str, Any]) -> dict[str, int]:
    calls = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in statistics.items()}
    return {name: count for name, count in calls.items() if name not in NOT_THE_LIMITER}


def _grants_per_second(redis: Redis, name: str) -> Callable[[], float]:
    def measured() -> float:
        redis.flushdb()
        outcome = measure_together([_side("grants", name, count=GRANTS)])[0]
        return GRANTS / outcome.seconds

    return measured


def _side(function: str, name: str, **arguments: Any) -> Side:
    if name == "ours":
        limit = RATE if function == "grants_for" else None
        return Side(f"ours:{function}", blueshift={"CALLS_PER_SECOND": limit}, **arguments)
    return Side(f"rivals:{function}", rival=True, limiter=name, **arguments)
