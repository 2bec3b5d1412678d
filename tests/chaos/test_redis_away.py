"""Redis loses everything, and then is away in every way. The shop doesn't notice, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import django_rq
import pytest

from blueshift_sync.models import ApiCall
from project.embedded_redis import EmbeddedRedis
from tests.chaos import evidence
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.redis_trouble import Trouble, in_trouble
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]


def nothing_is_in_flight(crew: Crew) -> bool:
    crew.look_after()
    return not ApiCall.objects.filter(state=ApiCall.State.OPEN).exists()


def test_redis_flushed_and_away_loses_nothing(
    own_redis: EmbeddedRedis, simulator: Any, shop: BusyShop, crew: Crew, received: Callable[[], int]
) -> None:
    began = time.monotonic()
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.05, 0.4]}])
    shop.open(800)
    crew.hire(2)
    for _ in range(4):
        seen = received()
        shop.trade(5)
        evidence.wait_for_calls(crew, received, beyond=seen + 4)
        django_rq.get_connection("default").flushall()
    for trouble in Trouble:
        seen = received()
        shop.trade(5)
        evidence.wait_for_calls(crew, received, beyond=seen)
        with in_trouble(own_redis, trouble):
            wait_until(lambda: nothing_is_in_flight(crew))
            seen = received()
            shop.trade(10)
            crew.look_after()
            assert received() == seen, "Something was sent without the rate limit's clock."
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("redis", simulator, shop, crew, seconds=time.monotonic() - began, failed=pushed)
    crew.kill_all()
    evidence.assert_all_is_well(simulator)
