"""How much of the allowed rate real workers use, with an API that takes 0.8 s for each call."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from blueshift_sync.delivery.wake import enqueue_drain

from .harness import ROOT, Row, check_all_delivered, fill, our_environment, simulator

CALLS_PER_SECOND = 5
BATCH = 50
SECONDS = 24
LATENCY = 0.8


def run() -> list[Row]:
    return [row for workers in (1, 4) for row in _with_workers(workers)]


def _with_workers(workers: int) -> list[Row]:
    records = CALLS_PER_SECOND * BATCH * SECONDS
    fill(records)
    faults = [{"fault": "latency", "seconds": LATENCY}]
    with simulator(keep=True, log_bodies=False, faults=faults) as blueshift:
        _work(workers, blueshift.url)
        check_all_delivered(records)
        arrivals = [request.arrived_at for request in blueshift.requests]
        most = max(_in_the_second_from(start, arrivals) for start in arrivals)
        most = max(most, blueshift.calls_in_any_second())  # its own count, which is another way to find out
    used = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) / CALLS_PER_SECOND
    name = "one worker" if workers == 1 else f"{workers} workers"
    return [
        Row(
            f"share used of the allowed 250 customers/s, {name}",
            used,
            target=0.95,
            note=f"{len(arrivals)} calls in {arrivals[-1] - arrivals[0]:.1f} s, {LATENCY} s each",
        ),
        Row(
            f"calls in any rolling second at the receiver, {name}",
            most,
            unit="calls",
            target=CALLS_PER_SECOND,
            at_most=True,
            note="as the simulator counts them",
            details={
                "calls_that_begin_a_second_of_too_many": [
                    number
                    for number, start in enumerate(arrivals, start=1)
                    if _in_the_second_from(start, arrivals) > CALLS_PER_SECOND
                ],
                "milliseconds_between_calls": [round((after - before) * 1000) for before, after in pairwise(arrivals)],
            },
        ),
    ]


def _work(workers: int, url: str) -> None:
    """Real workers take one drain each and leave when the queue is empty."""
    environment = our_environment({"BASE_URL": url, "CALLS_PER_SECOND": CALLS_PER_SECOND})
    for _ in range(workers):
        enqueue_drain()
    command = [sys.executable, "manage.py", "rqworker", "default", "--burst", "--verbosity", "0"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    for process in processes:
        process.wait()


def _in_the_second_from(start: float, arrivals: list[float]) -> int:
    return sum(start <= moment < start + 1 for moment in arrivals)
