"""The database cuts the workers' connections in the middle of whatever they do."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from django.db import connection

from tests.chaos import evidence
from tests.chaos.crew import Crew, calls_received
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

CUTS = 15


def cut_all_but_ours() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_cut_database_connections_lose_nothing(simulator: Any, shop: BusyShop, crew: Crew, rng: Random) -> None:
    began = time.monotonic()
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.05, 0.4]}])
    shop.open(1500)
    crew.hire(2)
    cut = 0
    for _ in range(CUTS):
        seen, struck_at = calls_received(simulator), time.monotonic() + rng.uniform(0.1, 0.8)

        def business_goes_on(seen: int = seen, struck_at: float = struck_at) -> bool:
            shop.trade(2)
            crew.look_after()
            return time.monotonic() > struck_at and calls_received(simulator) > seen

        wait_until(business_goes_on)
        cut += cut_all_but_ours()
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("cuts", simulator, shop, crew, seconds=time.monotonic() - began, cut=cut, failed=pushed)
    assert cut > 0
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_the_books_add_up()
    evidence.assert_no_record_was_in_two_calls(simulator)
