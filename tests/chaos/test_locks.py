"""A transaction of the site is never the victim of a deadlock with a worker.

The site's part is played here; the worker's in a thread. The lock that the worker waits for is seen in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.models import Customer, ListMembership
from tests.delivery.one_call import claim_customers, claim_memberships, open_call, settle
from tests.factories import make_customer, make_membership, make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else the same all through a transaction
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def lock(row: Any) -> None:
    """As a capture does it."""
    type(row).objects.select_for_update().get(pk=row.pk)


def collide(first: Any, second: Any, work: Callable[[], object]) -> None:
    """The site locks `first`; the worker's `work` waits for it; then the site wants `second`."""

    def work_in_thread() -> object:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker:
        with transaction.atomic():
            lock(first)
            working = worker.submit(work_in_thread)
            wait_until(somebody_waits_for_a_lock)
            lock(second)
        working.result()


@pytest.fixture
def customers() -> list[Customer]:
    return [make_customer(), make_customer()]


def claimed(customers: list[Customer]) -> Any:
    claim = claim_customers(lambda kind: make_run().pk)
    assert claim is not None
    assert len(claim.records) == len(customers)
    return customers_batch(claim)


def states() -> set[str]:
    return set(Customer.objects.values_list("state", flat=True))


def test_settling(customers: list[Customer]) -> None:
    batch = claimed(customers)
    with make_client() as client:
        call = open_call(batch, client.prepare(batch.request), job_id="job")
    answer = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),) * 2)
    collide(customers[1], customers[0], lambda: settle(batch, call, Exchange(status=200), answer))
    assert states() == {"SYNCED"}


def test_recovering(customers: list[Customer]) -> None:
    claimed(customers)
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(days=1))
    collide(customers[1], customers[0], recover_expired_claims)
    assert states() == {"PENDING"}


def test_pushing(customers: list[Customer]) -> None:
    Customer.objects.update(state="SYNCED", due_at=None)
    collide(customers[1], customers[0], lambda: services.push(Customer.objects.all()))
    assert states() == {"PENDING"}


def test_parking_a_membership() -> None:
    customer = make_customer(due_at=timezone.now() + timedelta(days=1))
    membership = make_membership(customer=customer)
    collide(customer, membership, lambda: claim_memberships(lambda kind: make_run(kind="LISTS").pk))
    assert ListMembership.objects.get().error_code == "customer_waiting"
