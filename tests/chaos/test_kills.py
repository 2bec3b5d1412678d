"""Workers killed with SIGKILL at random moments, under load and faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from blueshift_sync.delivery.wake import enqueue_drain
from tests.chaos import evidence
from tests.chaos.conftest import DATABASE
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

#: Elsewhere the same with less of it.
KILLS, CUSTOMERS = (32, 2500) if DATABASE == "postgres" else (10, 800)
FAULTS = [
    {"fault": "latency", "seconds": [0.05, 0.4]},
    {"fault": "status", "status": 503, "share": 0.03},
    {"fault": "status", "status": 429, "share": 0.02},
    {"fault": "reset", "share": 0.02},
    {"fault": "reset_after", "share": 0.02},
    {"fault": "cut", "share": 0.02},
    {"fault": "empty", "share": 0.02},
]


def test_killed_workers_lose_nothing(
    simulator: Any, shop: BusyShop, crew: Crew, rng: Random, received: Callable[[], int]
) -> None:
    began = time.monotonic()
    simulator.scenario(faults=FAULTS)
    shop.open(CUSTOMERS)
    crew.hire(3)
    while crew.kills < KILLS:
        seen = received()
        shop.trade(5)
        enqueue_drain()  # beside the shop's own wake-ups, so that several work at once
        if crew.kills % 5 == 0:
            shop.push_some()
        evidence.wait_for_calls(crew, received, beyond=seen)
        shop.trade(rng.randint(0, 10))
        time.sleep(rng.uniform(0, 0.4))
        crew.kill_one(rng)
        crew.look_after()
    stormy = time.monotonic() - began
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("kills", simulator, shop, crew, seconds=time.monotonic() - began, stormy=stormy, failed=pushed)
    evidence.assert_all_is_well(simulator)
