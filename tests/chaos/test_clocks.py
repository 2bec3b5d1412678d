"""Two workers whose clocks are ten minutes apart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django_rq
import pytest

from blueshift_sync.delivery.wake import enqueue_drain
from blueshift_sync.models import ApiCall
from tests.chaos import evidence
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

SHIFT_SECONDS = 600
CLOCK = Path(__file__).parent / "clock"


@pytest.fixture
def fast_worker(start_worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Starts a worker whose clock is fast."""

    def start() -> Any:
        with monkeypatch.context() as shifted:
            shifted.setenv("PYTHONPATH", os.pathsep.join([str(CLOCK), os.environ.get("PYTHONPATH", "")]))
            shifted.setenv("TEST_CLOCK_SHIFT", str(SHIFT_SECONDS))
            return start_worker()

    return start


def test_a_worker_with_a_fast_clock_takes_nothing_from_another(
    simulator: Any, shop: BusyShop, crew: Crew, fast_worker: Callable[[], Any]
) -> None:
    began = time.monotonic()
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.2, 0.8]}])
    shop.open(800)
    fast = fast_worker()
    crew.hire(1)
    finished_after = time.monotonic() + 15

    def business_goes_on() -> bool:
        shop.trade(3)
        crew.look_after()
        if not len(django_rq.get_queue("default")):
            enqueue_drain()
            # By cron a sweep runs on either worker, and by either clock.
            django_rq.get_queue("default").enqueue("blueshift_sync.tasks.sweep", result_ttl=0)
        return time.monotonic() > finished_after

    wait_until(business_goes_on)
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("clocks", simulator, shop, crew, seconds=time.monotonic() - began, failed=pushed)
    assert fast.poll() is None
    started = ApiCall.objects.order_by("started_at").values_list("started_at", flat=True)
    assert (started[len(started) - 1] - started[0]).total_seconds() > SHIFT_SECONDS - 60, "Only one clock was at work."
    assert not ApiCall.objects.filter(state=ApiCall.State.UNKNOWN).exists()
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_the_books_add_up()
    evidence.assert_no_record_was_in_two_calls(simulator)
