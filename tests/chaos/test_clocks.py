"""Two workers whose clocks are ten minutes apart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.utils import timezone

from blueshift_sync.delivery.sweep import sweep
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
#: So many calls at least by each of the clocks.
CALLS = 25
#: So many sweeps by the fast clock at least while calls by the true one are in flight.
SWEEPS = 10


@pytest.fixture
def simulator(simulator: Any, settings: Any) -> Any:
    """Nobody dies here. A lease that only a clock can end, and time-outs that hardly a machine is too slow for."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "LEASE_SECONDS": SHIFT_SECONDS / 4, "TIMEOUT": [10, 30]}
    return simulator


@pytest.fixture
def fast_worker(simulator: Any, start_worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker whose clock is fast."""
    with monkeypatch.context() as shifted:
        shifted.setenv("PYTHONPATH", os.pathsep.join([str(CLOCK), os.environ.get("PYTHONPATH", "")]))
        shifted.setenv("TEST_CLOCK_SHIFT", str(SHIFT_SECONDS))
        return start_worker()


def calls_by_each_clock() -> tuple[int, int]:
    """How many calls were opened by the true clock, and by the fast one."""
    in_between = timezone.now() + timedelta(seconds=SHIFT_SECONDS / 2)
    calls = ApiCall.objects.all()
    return calls.filter(started_at__lt=in_between).count(), calls.filter(started_at__gt=in_between).count()


def sweep_by_the_fast_clock() -> bool:
    """Sweeps as the fast worker does. Says whether calls by the true clock were in flight, or just had been."""
    now = timezone.now
    in_flight = ApiCall.objects.filter(state=ApiCall.State.OPEN, started_at__lt=now()).exists()
    with pytest.MonkeyPatch.context() as shifted:
        shifted.setattr(timezone, "now", lambda: now() + timedelta(seconds=SHIFT_SECONDS))
        sweep()
    return in_flight


def test_a_worker_with_a_fast_clock_takes_nothing_from_another(
    simulator: Any, shop: BusyShop, crew: Crew, fast_worker: Any, received: Callable[[], int]
) -> None:
    began = time.monotonic()
    sweeps = 0
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.2, 0.8]}])
    shop.open(800)
    crew.hire(1)

    def both_have_worked() -> bool:
        nonlocal sweeps
        seen = received()
        shop.trade(5)
        enqueue_drain()
        # By cron a sweep runs on either worker, and by either clock.
        django_rq.get_queue("default").enqueue("blueshift_sync.tasks.sweep", result_ttl=0)
        evidence.wait_for_calls(crew, received, beyond=seen)
        sweeps += sweep_by_the_fast_clock()
        return min(calls_by_each_clock()) >= CALLS and sweeps >= SWEEPS

    wait_until(both_have_worked, seconds=120)
    worked = {"calls": calls_by_each_clock(), "sweeps": sweeps}
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report("clocks", simulator, shop, crew, seconds=time.monotonic() - began, **worked, failed=pushed)
    assert fast_worker.poll() is None
    assert not ApiCall.objects.filter(state=ApiCall.State.UNKNOWN).exists()
    evidence.assert_all_is_well(simulator)
