"""A worker that stands still for longer than its leases last, and then goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from blueshift_sync import services
from blueshift_sync.delivery.throttle import pause_calls
from blueshift_sync.models import ApiCall
from project.shop.models import Customer
from tests.chaos import evidence
from tests.chaos.crew import Crew, signal_with_children
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

#: How long calls wait for their turn, or for their answer: time enough to freeze the worker meanwhile.
HOLD = 4
SETTINGS = {"LEASE_SECONDS": 12, "TIMEOUT": [1, HOLD + 1]}


@pytest.fixture
def at_work(simulator: Any, shop: BusyShop, crew: Crew, settings: Any) -> subprocess.Popen[bytes]:
    """The one worker; the shop has two hundred customers, and all is in step."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, **SETTINGS}
    shop.open(200)
    crew.hire(1)
    evidence.bring_into_step(crew, simulator)
    return crew.workers[0]


def rename_all(name: str) -> None:
    """Changes every customer at once: four calls."""
    with transaction.atomic():
        Customer.objects.update(given_name=name)
        services.capture(Customer.objects.all())


def freeze(worker: subprocess.Popen[bytes]) -> bool:
    """Stops a worker between two transactions. False: it was in the middle of one, and goes on."""
    signal_with_children(worker, signal.SIGSTOP)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        if cursor.fetchone()[0] == 0:
            return True
    signal_with_children(worker, signal.SIGCONT)
    return False


def others_take_over(crew: Crew, simulator: Any) -> None:
    rename_all("Newer")
    crew.hire(2)
    evidence.bring_into_step(crew, simulator)


def thaw(worker: subprocess.Popen[bytes]) -> None:
    """The worker goes on with what it was at, and ends."""
    signal_with_children(worker, signal.SIGCONT)
    worker.terminate()
    worker.wait(timeout=60)


def test_what_it_had_not_sent_by_then_is_never_sent(
    at_work: subprocess.Popen[bytes], simulator: Any, crew: Crew, received: Callable[[], int]
) -> None:
    seen = received()
    pause_calls(HOLD)
    rename_all("New")
    wait_until(lambda: ApiCall.objects.filter(state=ApiCall.State.OPEN).exists())
    wait_until(lambda: freeze(at_work))
    unsent = list(ApiCall.objects.filter(state=ApiCall.State.OPEN).values_list("pk", flat=True))
    assert received() == seen, "The machine is so slow that the calls left before their worker could be stopped."
    others_take_over(crew, simulator)
    seen = received()
    thaw(at_work)
    assert received() == seen
    calls = ApiCall.objects.filter(pk__in=unsent)
    assert set(calls.values_list("state", "error_code", "status_code")) == {("UNKNOWN", "worker_died", None)}
    evidence.bring_into_step(crew, simulator)
    evidence.assert_all_is_well(simulator)


def test_what_it_had_sent_goes_again_when_the_answer_turns_up(
    at_work: subprocess.Popen[bytes], simulator: Any, crew: Crew, received: Callable[[], int]
) -> None:
    simulator.scenario(faults=[{"fault": "latency", "seconds": HOLD}])
    seen = received()
    rename_all("New")
    wait_until(lambda: received() > seen)
    wait_until(lambda: freeze(at_work))
    sent = list(ApiCall.objects.filter(state=ApiCall.State.OPEN).values_list("pk", flat=True))
    assert sent, "The machine is so slow that the answers came before the worker could be stopped."
    others_take_over(crew, simulator)
    seen = received()
    thaw(at_work)
    evidence.bring_into_step(crew, simulator)
    calls = ApiCall.objects.filter(pk__in=sent)
    assert set(calls.values_list("state", "error_code")) == {("UNKNOWN", "worker_died")}
    assert received() > seen
    evidence.assert_all_is_well(simulator)
