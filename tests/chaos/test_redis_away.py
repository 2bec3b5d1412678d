"""Redis loses everything, and then is away for a while. The shop doesn't notice, and nothing is lost."""

from __future__ import annotations

import time
from typing import Any

import django_rq
import pytest

from project.embedded_redis import EmbeddedRedis
from tests.chaos import evidence
from tests.chaos.crew import Crew, calls_received
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

#: Seconds; far above what a transaction takes, far below what a site would wait for a Redis that doesn't answer.
BOUND = 10


def test_redis_flushed_and_away_loses_nothing(
    own_redis: EmbeddedRedis, simulator: Any, shop: BusyShop, crew: Crew
) -> None:
    began = time.monotonic()
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.05, 0.4]}])
    shop.open(800)
    crew.hire(2)
    for _ in range(4):
        seen = calls_received(simulator)

        def more_was_sent(seen: int = seen) -> bool:
            shop.trade(2)
            crew.look_after()
            return calls_received(simulator) > seen + 5

        wait_until(more_was_sent)
        django_rq.get_connection("default").flushall()
    own_redis.stop()
    shop.slowest = 0
    for _ in range(15):
        shop.trade(2)
        crew.look_after()
    while_away = shop.slowest
    with own_redis:
        shop.nobody_is_a_test_account()
        pushed = evidence.bring_into_step(crew, simulator)
        report("redis", simulator, shop, crew, seconds=time.monotonic() - began, away=while_away, failed=pushed)
        crew.kill_all()
    assert while_away < BOUND
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_the_books_add_up()
    evidence.assert_no_record_was_in_two_calls(simulator)
