"""Records per second of one worker without a limit, the full audit included."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from urllib.parse import urlsplit

import requests

from .harness import (
    ROOT,
    Row,
    alternate,
    check_all_delivered,
    fill,
    measure,
    median_ratio,
    simulator,
    spread,
)

RECORDS = 5_000
BATCH = 50
ROUNDS = 5
#: Seconds that an API on the Internet may well take for an answer; the simulator alone takes almost none.
LATENCY = 0.1


def run() -> list[Row]:
    with simulator() as blueshift, segment_endpoint() as segment:
        measured = alternate(
            ROUNDS,
            ours=lambda: _ours(blueshift.url),
            plain=lambda: _plain(blueshift.url),
            segment=lambda: _segment(segment),
        )
        ceiling = median(_ceiling(blueshift.url) for _ in range(3))
        blueshift.fail("latency", seconds=LATENCY)
        distant = alternate(3, ours=lambda: _ours(blueshift.url), plain=lambda: _plain(blueshift.url))
    ours, plain, rival = measured["ours"], measured["plain"], measured["segment"]
    records_per_second = {name: spread(values) for name, values in measured.items()}
    return [
        Row(
            "records/s of one worker, against a plain requests loop",
            median_ratio(ours, plain),
            target=0.30,
            note=f"{median(ours):,.0f}/s against {median(plain):,.0f}/s",
            details=records_per_second,
        ),
        Row(
            "records/s of one worker, against Segment's library",
            median_ratio(ours, rival),
            target=1.0,
            note=f"{median(ours):,.0f}/s against {median(rival):,.0f}/s, which it keeps in memory only",
        ),
        Row(
            f"the same against the plain loop, with {LATENCY:g} s for each answer",
            median_ratio(distant["ours"], distant["plain"]),
            note=f"{median(distant['ours']):,.0f}/s against {median(distant['plain']):,.0f}/s",
        ),
        Row(
            "the simulator's own ceiling, against what our worker asks of it",
            ceiling * BATCH / median(ours),
            note=f"{ceiling:,.0f} calls/s, {ceiling * BATCH:,.0f} records/s; the loop reaches {median(plain):,.0f}/s",
        ),
    ]


def _ours(url: str) -> float:
    fill(RECORDS)
    outcome = measure("ours:draining", blueshift={"BASE_URL": url})
    check_all_delivered(RECORDS)
    return RECORDS / outcome.seconds


def _plain(url: str) -> float:
    outcome = measure("rivals:plain_loop", rival=True, url=url, count=RECORDS)
    _demand_all(outcome.result)
    return RECORDS / outcome.seconds


def _segment(url: str) -> float:
    outcome = measure("rivals:segment", rival=True, url=url, count=RECORDS)
    _demand_all(requests.get(url, timeout=10).json()["records"])
    return RECORDS / outcome.seconds


def _ceiling(url: str) -> float:
    address = [urlsplit(url).hostname, urlsplit(url).port]
    outcome = measure("rivals:flood", rival=True, address=address, count=1000, connections=4)
    return outcome.result / outcome.seconds


def _demand_all(delivered: int) -> None:
    if delivered != RECORDS:
        sys.exit(f"Of {RECORDS} records {delivered} arrived: the figure would mean nothing.")


@contextmanager
def segment_endpoint() -> Iterator[str]:
    """The address of a running endpoint for Segment's library."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.segment_endpoint", str(os.getpid())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()
