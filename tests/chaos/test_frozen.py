"""A worker that stands still for longer than its leases last, and then goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from django.db import connection

from blueshift_sync.models import ApiCall
from project.shop.models import Customer
from tests.chaos import evidence
from tests.chaos.crew import Crew, calls_received, signal_with_children
from tests.chaos.shop import BusyShop
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]


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


def test_a_frozen_worker_sends_nothing_that_is_not_its_own_any_more(
    simulator: Any, shop: BusyShop, crew: Crew, settings: Any
) -> None:
    # Four calls, each of which has to wait for its turn: some are claimed and not yet sent when the worker freezes.
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": 2, "LEASE_SECONDS": 5}
    shop.open(200)
    crew.hire(1)
    (frozen,) = crew.workers
    wait_until(lambda: calls_received(simulator) and ApiCall.objects.filter(state=ApiCall.State.OPEN).count() > 1)
    wait_until(lambda: freeze(frozen))
    for customer in Customer.objects.all():
        customer.given_name = "New name"
        customer.save()
    crew.hire(2)
    evidence.bring_into_step(crew, simulator)
    signal_with_children(frozen, signal.SIGCONT)
    frozen.terminate()  # it finishes what it is at
    frozen.wait(timeout=30)
    evidence.bring_into_step(crew, simulator)
    evidence.assert_exact(simulator)
    evidence.assert_the_audit_is_complete(simulator)
    evidence.assert_no_record_was_in_two_calls(simulator)
