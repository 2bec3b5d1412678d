"""Our side, to be run in processes of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.redis import redis_connection
from blueshift_sync.delivery.throttle import reserve_call

from .counting import count_round_trips

#: More than any benchmark takes.
HOURS = 3600 * 2


def draining() -> Callable[[], None]:
    """One worker's drain, until nothing is due."""
    return lambda: drain(seconds=HOURS, job_id="benchmark")


def grants_for(seconds: float) -> Callable[[], dict[str, object]]:
    """The moments of the calls that our limiter allows one process, and how often Redis was asked."""
    redis_connection().ping()  # what connecting takes isn't counted
    round_trips = count_round_trips()

    def measured() -> dict[str, object]:
        moments: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            turn = reserve_call(longest_wait=60)
            time.sleep(turn.delay if turn else 0)
            moments.append(time.monotonic())
        return {"moments": moments, "round_trips": round_trips()}

    return measured


def grants(count: int) -> Callable[[], None]:
    """So many grants as fast as they come."""

    def measured() -> None:
        for _ in range(count):
            reserve_call(longest_wait=60)

    return measured
