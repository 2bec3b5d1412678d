"""One rate for the account, over two workers, by the receiver's count."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.delivery.wake import enqueue_drain
from blueshift_sync.models import ApiCall
from tests.chaos import evidence
from tests.chaos.crew import Crew
from tests.chaos.shop import BusyShop

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

RATE = 5


def test_two_workers_keep_one_rate(simulator: Any, shop: BusyShop, crew: Crew, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": RATE, "LEASE_SECONDS": 60}
    simulator.scenario(calls_per_second=RATE)
    shop.open(1500)
    enqueue_drain()  # beside the one of the shop's own wake-up: one for each worker
    crew.hire(2)
    evidence.bring_into_step(crew, simulator)
    assert len(simulator.requests) >= 30
    assert len(set(ApiCall.objects.values_list("job_id", flat=True))) >= 2
    assert simulator.calls_in_any_second() <= RATE
    assert not ApiCall.objects.exclude(state=ApiCall.State.SUCCEEDED).exists()
    evidence.assert_all_is_well(simulator)
