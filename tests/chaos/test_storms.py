"""Every fault that the simulator has, each striking three calls of ten, while the shop goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from blueshift_sync.models import Customer, ListMembership
from tests.chaos import evidence
from tests.chaos.crew import Crew, calls_received
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

SHARE = 0.3
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
}
CALLS = 60


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_loses_nothing(simulator: Any, shop: BusyShop, crew: Crew, storm: str) -> None:
    began = time.monotonic()
    shop.open(500)
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.01, 0.2], "share": SHARE}, *STORMS[storm]])
    crew.hire(2)

    def it_blew_over() -> bool:
        shop.trade(2)
        crew.look_after()
        return calls_received(simulator) >= CALLS

    wait_until(it_blew_over)
    failed = [model.objects.filter(state="FAILED").count() for model in (Customer, ListMembership)]
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report(storm, simulator, shop, crew, seconds=time.monotonic() - began, failed_in_storm=failed, pushed=pushed)
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_the_books_add_up()
    evidence.assert_no_record_was_in_two_calls(simulator)
