"""A transaction of the site is never the victim of a deadlock with a worker.

The site's part is played here; the worker's in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery import locks, retention
from blueshift_sync.delivery import settle as settling
from blueshift_sync.delivery.audit import open_calls
from blueshift_sync.delivery.batches import Finished
from blueshift_sync.delivery.claim import Claim
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import claim_customers as claim_several
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.runs import close_run
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from tests.delivery.one_call import claim_customers, claim_memberships, open_call, settle
from tests.factories import make_call, make_customer, make_membership, make_result, make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]

#: As psycopg and mysqlclient name it.
REPEATABLE_READ = {"postgresql": 3, "mysql": "repeatable read"}

Collide = Callable[[Any, Any, Callable[[], object]], None]


@pytest.fixture
def worker_met_the_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Says whether the worker waits for a lock of the site's, or, where it doesn't wait at all, was refused one."""
    refusals = []
    original = locks._is_held_by_somebody

    def note(error: OperationalError) -> bool:
        refusals.append(error)
        return original(error)

    monkeypatch.setattr(locks, "_is_held_by_somebody", note)
    return somebody_waits_for_a_lock if connection.vendor == "postgresql" else lambda: bool(refusals)


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else the same all through a transaction
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


@pytest.fixture
def collide(worker_met_the_lock: Callable[[], bool]) -> Collide:
    """The site locks `first`; the worker's `work` meets that lock; then the site wants `second`."""

    def collide(first: Any, second: Any, work: Callable[[], object]) -> None:
        def work_in_thread() -> object:
            try:
                return work()
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as worker:
            with transaction.atomic():
                lock(first)
                working = worker.submit(work_in_thread)
                wait_until(lambda: worker_met_the_lock() or working.done())  # not every database needs that lock
                lock(second)
            working.result()

    return collide


def lock(row: Any) -> None:
    """As a capture does it."""
    type(row).objects.select_for_update().get(pk=row.pk)


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


def test_opening_calls(customers: list[Customer], collide: Collide) -> None:
    runs = [make_run(), make_run()]
    for customer, run in zip(customers, runs, strict=True):
        Customer.objects.filter(pk=customer.pk).update(run=run)
    batches = [customers_batch(claim) for claim in claim_several(lambda kind: make_run().pk, calls=2)]
    with make_client() as client:
        to_open = [(batch, client.prepare(batch.request)) for batch in batches]
    collide(runs[1], runs[0], lambda: open_calls(to_open, job_id="job"))
    assert set(SyncRun.objects.values_list("state", "calls_made")) == {("RUNNING", 1)}


def test_settling(customers: list[Customer], collide: Collide) -> None:
    batch = claimed(customers)
    with make_client() as client:
        call = open_call(batch, client.prepare(batch.request), job_id="job")
    answer = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),) * 2)
    collide(customers[1], customers[0], lambda: settle(batch, call, Exchange(status=200), answer))
    assert states() == {"SYNCED"}


def test_settling_under_a_stricter_isolation_level(customers: list[Customer], monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL then refuses to change what somebody else has changed since the transaction began."""
    batch = claimed(customers)
    with make_client() as client:
        call = open_call(batch, client.prepare(batch.request), job_id="job")
    answer = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),) * 2)

    def change() -> None:
        Customer.objects.filter(pk=customers[0].pk).update(version=F("version") + 1)
        connection.close()

    changes = iter([change])
    original = settling.close_calls

    def close_calls_meanwhile(finished: Any) -> Any:
        ours = original(finished)
        with ThreadPoolExecutor(1) as site:
            for each in changes:
                site.submit(each).result()
        return ours

    monkeypatch.setattr(settling, "close_calls", close_calls_meanwhile)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", REPEATABLE_READ[connection.vendor])
    connection.close()
    try:
        settle(batch, call, Exchange(status=200), answer)
    finally:
        connection.close()
    assert states() == {"PENDING", "SYNCED"}


def test_recovering(customers: list[Customer], collide: Collide) -> None:
    claimed(customers)
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(days=1))
    collide(customers[1], customers[0], recover_expired_claims)
    assert states() == {"PENDING"}


def test_a_row_that_the_site_holds_for_long_stalls_no_worker(customers: list[Customer]) -> None:
    """Each recovers dead workers' claims before it sends anything."""
    claimed(customers)
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(days=1))

    def recover() -> None:
        try:
            recover_expired_claims()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        lock(customers[0])
        worker.submit(recover).result(timeout=20)
    recover_expired_claims()
    assert states() == {"PENDING"}


def test_pushing(customers: list[Customer], collide: Collide) -> None:
    Customer.objects.update(state="SYNCED", due_at=None)
    collide(customers[1], customers[0], lambda: services.push(Customer.objects.all()))
    assert states() == {"PENDING"}


def test_cancelling(customers: list[Customer], collide: Collide) -> None:
    run = services.push(Customer.objects.all())
    collide(customers[1], customers[0], lambda: services.cancel(run))
    assert states() == {"FAILED"}


def test_parking_a_membership(collide: Collide) -> None:
    customer = make_customer(due_at=timezone.now() + timedelta(days=1))
    membership = make_membership(customer=customer)
    collide(customer, membership, lambda: claim_memberships(lambda kind: make_run(kind="LISTS").pk))
    assert ListMembership.objects.get().error_code == "customer_waiting"


def test_a_row_that_the_site_holds_keeps_no_other_call_from_being_settled(customers: list[Customer]) -> None:
    """Of the two calls that have ended, one can be settled; its worker waits for the other one instead."""
    batches = [customers_batch(claim) for claim in claims_of_one(customers)]
    with make_client() as client:
        calls = open_calls([(batch, client.prepare(batch.request)) for batch in batches], job_id="job")
    answer = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),))
    finished = [Finished(batch, call, Exchange(status=200), answer) for batch, call in zip(batches, calls, strict=True)]

    def settle_both() -> None:
        try:
            settling.settle(finished)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker:
        with transaction.atomic():
            lock(customers[0])
            working = worker.submit(settle_both)
            wait([working], timeout=5)
            seen_meanwhile = states()
        working.result()
    assert "SYNCED" in seen_meanwhile


def claims_of_one(customers: list[Customer]) -> list[Any]:
    Customer.objects.update(batch_limit=1)
    claims = claim_several(lambda kind: make_run().pk, len(customers))
    assert len(claims) == len(customers)
    return claims


def test_a_membership_that_somebody_holds_keeps_no_other_list_waiting() -> None:
    in_step = {"state": "SYNCED", "due_at": None}
    held = make_membership(customer=make_customer(**in_step), due_at=timezone.now() - timedelta(hours=1))
    free = make_membership(customer=make_customer(**in_step))

    def claim_in_thread() -> Claim | None:
        try:
            return claim_memberships(lambda kind: make_run(kind=kind).pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        lock(held)
        claim = worker.submit(claim_in_thread).result(timeout=20)
    assert claim is not None
    assert [record.pk for record in claim.records] == [free.pk]


def test_ending_a_run(collide: Collide) -> None:
    run, customer = make_run(), make_customer()
    collide(run, customer, lambda: close_run(run.pk))
    run.refresh_from_db()
    assert run.state == "SUCCEEDED"


# Taking the audit away


def old_calls(count: int) -> list[ApiCall]:
    """Calls of a hundred days ago, with a result each."""
    calls = [
        make_call(started_at=timezone.now() - timedelta(days=100, seconds=count - number)) for number in range(count)
    ]
    for call in calls:
        make_result(call=call)
    return calls


def prune_in_thread() -> None:
    try:
        retention.prune_for(60)
    finally:
        connection.close()


def test_retention_waits_for_nobody_and_goes_on_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CALLS", 2)
    first, second, *_rest = old_calls(8)
    with ThreadPoolExecutor(1) as worker, transaction.atomic():
        lock(first)
        worker.submit(prune_in_thread).result(timeout=30)
        assert set(ApiCall.objects.values_list("pk", flat=True)) == {first.pk, second.pk}
    retention.prune_for(60)
    assert not ApiCall.objects.exists()
    assert not RecordResult.objects.exists()


def test_whoever_writes_to_the_audit_hardly_notices_that_it_is_taken_away() -> None:
    count = 4000
    old = timezone.now() - timedelta(days=100)
    calls = ApiCall.objects.bulk_create(
        ApiCall(endpoint="CUSTOMERS_BULK", state="SUCCEEDED", record_count=5, started_at=old, request_body="{}" * 500)
        for _ in range(count)
    )
    RecordResult.objects.bulk_create(
        (
            RecordResult(call_id=pk, position=position, identifier="x", version=1, outcome="ACCEPTED")
            for pk in ApiCall.objects.values_list("pk", flat=True)
            for position in range(5)
        ),
        batch_size=2000,
    )
    waits = []
    with ThreadPoolExecutor(1) as worker:
        pruning = worker.submit(prune_in_thread)
        while not pruning.done():
            began = time.monotonic()
            with transaction.atomic():
                make_result(call=make_call())
                make_customer()
            waits.append(time.monotonic() - began)
        pruning.result()
    assert len(calls) == count
    assert ApiCall.objects.filter(started_at=old).count() == 0
    assert len(waits) == ApiCall.objects.count() > 20
    assert max(waits) < 1, "A slice is over after a part of a second."
