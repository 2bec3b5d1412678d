"""Our drain, watched: under cProfile, and statement by statement."""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from django.db import connection

from .ours import HOURS, drain
from .statements import short

LINES = 40


def functions() -> Callable[[], str]:
    """A table of functions. The profiler makes everything in Python slower, and leaves the waiting as it is."""

    def measured() -> str:
        profile = cProfile.Profile()
        profile.runcall(drain, seconds=HOURS, job_id="profile")
        text = io.StringIO()
        statistics = pstats.Stats(profile, stream=text).strip_dirs()
        statistics.sort_stats("cumulative").print_stats(LINES)
        statistics.sort_stats("tottime").print_stats(LINES)
        return text.getvalue()

    return measured


def statements() -> Callable[[], dict[str, tuple[int, float]]]:
    """By statement: how often, and how many seconds in all, from Django's call of the driver to its return."""
    times: dict[str, list[float]] = defaultdict(list)

    def timed(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, *args)
        finally:
            times[short(sql)].append(time.perf_counter() - started)

    def measured() -> dict[str, tuple[int, float]]:
        with connection.execute_wrapper(timed):
            drain(seconds=HOURS, job_id="profile")
        return {statement: (len(each), sum(each)) for statement, each in times.items()}

    return measured
