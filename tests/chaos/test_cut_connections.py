"""The database cuts the workers' connections in the middle of whatever they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.db import connection

from tests.chaos import evidence
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

CUTS = 15


def cut_all_but_ours() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_cut_database_connections_lose_nothing(
    simulator: Any, shop: BusyShop, crew: Crew, rng: Random, received: Callable[[], int]
) -> None:
    began = time.monotonic()
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.05, 0.4]}])
    shop.open(1500)
    crew.hire(2)
    cut = 0
    for _ in range(CUTS):
        seen = received()
        shop.trade(5)
        evidence.wait_for_calls(crew, received, beyond=seen)
        shop.trade(rng.randint(0, 5))
        time.sleep(rng.uniform(0, 0.3))
        cut += cut_all_but_ours()
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("cuts", simulator, shop, crew, seconds=time.monotonic() - began, cut=cut, failed=pushed)
    assert cut > 0
    evidence.assert_all_is_well(simulator)
