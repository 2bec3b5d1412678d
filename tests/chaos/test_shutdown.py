"""SIGTERM in the middle of slow calls, as a deployment sends it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import django_rq
import pytest

from blueshift_sync.models import ApiCall, Customer
from tests.chaos import evidence
from tests.chaos.crew import Crew, signal_with_children
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]


def to_the_worker(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)


def to_all_its_processes(worker: subprocess.Popen[bytes]) -> None:
    signal_with_children(worker, signal.SIGTERM)


@pytest.mark.parametrize("terminate", [to_the_worker, to_all_its_processes])
def test_a_worker_asked_to_stop_finishes_its_calls_and_hands_over(
    simulator: Any, shop: BusyShop, crew: Crew, settings: Any, *, received: Callable[[], int], terminate: Any
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 2, "LEASE_SECONDS": 60, "TIMEOUT": [1, 10]}
    simulator.scenario(faults=[{"fault": "latency", "seconds": 1}])
    shop.open(1000)
    crew.hire(1)
    (worker,) = crew.workers
    wait_until(lambda: received() >= 2)
    terminate(worker)
    worker.wait(timeout=30)
    # It had time for twenty calls, two at once and a second each; it finished those in flight, and perhaps two more.
    sent = received()
    assert sent <= 6
    assert ApiCall.objects.filter(state=ApiCall.State.SUCCEEDED).count() == ApiCall.objects.count() == sent
    assert not Customer.objects.filter(state=Customer.State.SENDING).exists()
    assert Customer.objects.filter(state=Customer.State.PENDING).exists()
    assert [job.func_name for job in django_rq.get_queue("default").jobs] == ["blueshift_sync.tasks.drain"]
    simulator.scenario(faults=[])
    crew.hire(1)
    wait_until(lambda: not Customer.objects.exclude(state=Customer.State.SYNCED).exists())
    evidence.bring_into_step(crew, simulator)
    assert not ApiCall.objects.exclude(state=ApiCall.State.SUCCEEDED).exists()
    evidence.assert_all_is_well(simulator)
