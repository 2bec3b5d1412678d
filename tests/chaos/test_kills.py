"""Workers killed with SIGKILL at random moments, under load and faults."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest

from tests.chaos import evidence
from tests.chaos.crew import Crew, calls_received
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

KILLS = 30
FAULTS = [
    {"fault": "latency", "seconds": [0.05, 0.4]},
    {"fault": "status", "status": 503, "share": 0.03},
    {"fault": "status", "status": 429, "share": 0.02},
    {"fault": "reset", "share": 0.02},
    {"fault": "reset_after", "share": 0.02},
    {"fault": "cut", "share": 0.02},
    {"fault": "empty", "share": 0.02},
]


def test_thirty_killed_workers_lose_nothing(simulator: Any, shop: BusyShop, crew: Crew, rng: Random) -> None:
    began = time.monotonic()
    simulator.scenario(faults=FAULTS)
    shop.open(2500)
    crew.hire(3)
    while crew.kills < KILLS:
        seen = calls_received(simulator)
        struck_at = time.monotonic() + rng.uniform(0.3, 1.2)

        def business_goes_on(seen: int = seen, struck_at: float = struck_at) -> bool:
            shop.trade(5)
            crew.look_after()
            return time.monotonic() > struck_at and calls_received(simulator) > seen

        wait_until(business_goes_on)
        if crew.kills % 5 == 0:
            shop.push_some()
        crew.kill_one(rng)
        crew.look_after()
    stormy = time.monotonic() - began
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("kills", simulator, shop, crew, seconds=time.monotonic() - began, stormy=stormy, failed=pushed)
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_the_books_add_up()
    evidence.assert_no_record_was_in_two_calls(simulator)
