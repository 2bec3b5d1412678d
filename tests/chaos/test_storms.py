"""Every fault that the simulator has, each striking three calls of ten, while the shop goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.testing.faults import FAULTS
from tests.chaos import evidence
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

SHARE = 0.3
#: Whatever carries records. A list that could not be read is read again after half a minute.
CALLS = {"path": "*bulk*"}
LATENCY = {"fault": "latency", "seconds": [0.01, 0.2], "share": SHARE}
STORMS: dict[str, list[dict[str, Any]]] = {
    "status": [{"fault": "status", "status": status, "share": SHARE / 3} for status in (500, 503, 504)],
    "rate limit": [{"fault": "status", "status": 429, "share": SHARE}],
    "resets": [{"fault": "reset", "share": SHARE / 2}, {"fault": "reset_after", "share": SHARE / 2}],
    "cut": [{"fault": "cut", "share": SHARE / 2}, {"fault": "cut_json", "share": SHARE / 2}],
    "pages": [{"fault": "html", "share": SHARE / 2}, {"fault": "empty", "share": SHARE / 2}],
    "rejections": [
        {"fault": "reject", "customers": "c*1*", "share": SHARE / 2},
        {"fault": "reject", "customers": "c*2*", "status": 503, "share": SHARE / 2},
    ],
    # Longer than anybody waits for an answer; and then without effect, for nobody can undo what comes that late.
    "time-outs": [
        rule
        for number in range(5, 60, 10)
        for rule in ({"fault": "latency", "seconds": 2.5, "nth": number}, {"fault": "reset", "nth": number})
    ],
}
ROUNDS = 12


def test_every_fault_is_in_a_storm() -> None:
    assert {rule["fault"] for storm in STORMS.values() for rule in storm} == FAULTS.keys()


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_loses_nothing(
    simulator: Any, shop: BusyShop, crew: Crew, received: Callable[[], int], storm: str
) -> None:
    began = time.monotonic()
    shop.open(500)
    simulator.scenario(faults=[rule | CALLS for rule in [*STORMS[storm], LATENCY]])
    crew.hire(2)
    for _ in range(ROUNDS):
        seen = received()
        shop.trade(3)
        evidence.wait_for_calls(crew, received, beyond=seen + 4)
    struck = {request.fault for request in simulator.requests}
    failed = [model.objects.filter(state="FAILED").count() for model in (Customer, ListMembership)]
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report(storm, simulator, shop, crew, seconds=time.monotonic() - began, failed_in_storm=failed, pushed=pushed)
    assert struck >= {rule["fault"] for rule in STORMS[storm]} - {"latency"}
    evidence.assert_all_is_well(simulator)
