"""Databases without SKIP LOCKED and RETURNING, as old MySQL and MariaDB are: slower, and as safe.

The server of the suite is told to do without them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from django.db import connection, connections

from blueshift_sync.delivery import customers, memberships, removals
from blueshift_sync.delivery.claim import Claim
from blueshift_sync.delivery.customers import claim_customers
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.memberships import claim_memberships
from blueshift_sync.delivery.removals import claim_removals
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncRun
from tests.delivery.conftest import RunForChanges
from tests.factories import make_customer, make_list, make_membership, make_removal

pytestmark = pytest.mark.django_db(transaction=True)

MISSING = ("has_select_for_update_skip_locked", "can_return_rows_from_bulk_insert")
#: Seconds after which a worker that waits is taken to hang.
PATIENCE = 30


@pytest.fixture(autouse=True)
def old_database(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection's database lacks what is missing."""
    for name in MISSING:
        monkeypatch.setattr(type(connection.features), name, False)


def in_thread(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connections.close_all()


def make_work(count: int) -> None:
    """So many due customers, memberships and removals."""
    customer_list = make_list(list_id=7, identifier_key="customer_id")
    for number in range(count):
        make_customer(customer_id=f"c{number}")
        member = make_customer(customer_id=f"m{number}", state="SYNCED", synced_version=1, due_at=None)
        make_membership(customer_list=customer_list, customer=member)
        make_removal()


class Claiming(NamedTuple):
    """A kind of records, and how they are claimed."""

    model: Any
    module: Any
    claim: Callable[..., list[Claim]]


KINDS = [
    pytest.param(Claiming(Customer, customers, claim_customers), id="customers"),
    pytest.param(Claiming(ListMembership, memberships, claim_memberships), id="memberships"),
    pytest.param(Claiming(CustomerRemoval, removals, claim_removals), id="removals"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_who_claims_while_another_does_gets_none_of_the_same(
    kind: Claiming, run_for_changes: RunForChanges, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The first one stands still in the middle of its transaction, its rows read and locked."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 2}
    make_work(6)
    for each in SyncRun.Kind:
        run_for_changes(each)
    original = kind.module.take
    inside, go_on = threading.Event(), threading.Event()

    def take(*arguments: Any, **columns: Any) -> list[Claim]:
        if not inside.is_set():
            inside.set()
            assert go_on.wait(PATIENCE)
        return list(original(*arguments, **columns))

    monkeypatch.setattr(kind.module, "take", take)
    with ThreadPoolExecutor(2) as workers:
        slow = workers.submit(in_thread, lambda: kind.claim(run_for_changes, 1))
        assert inside.wait(PATIENCE)
        quick = workers.submit(in_thread, lambda: kind.claim(run_for_changes, 1))
        with pytest.raises(TimeoutError):
            quick.result(0.5)  # it can't tell which rows are free
        go_on.set()
        claims = [*slow.result(PATIENCE), *quick.result(PATIENCE)]
    assert_each_is_in_one(claims)
    held = {record.pk: claim.token for claim in claims for record in claim.records}
    assert held == dict(kind.model.objects.filter(state="SENDING").values_list("pk", "claim_token"))


def assert_each_is_in_one(claims: Sequence[Claim]) -> None:
    holders = Counter(record.pk for claim in claims for record in claim.records)
    assert holders
    assert set(holders.values()) == {1}


def test_claimers_side_by_side_share_the_backlog(run_for_changes: RunForChanges, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 5}
    make_work(60)
    run_for_changes(SyncRun.Kind.CUSTOMERS)

    def claim_all() -> list[Claim]:
        found: list[Claim] = []
        while Customer.objects.filter(state="PENDING").exists():
            found += claim_customers(run_for_changes, 2)
        return found

    with ThreadPoolExecutor(2) as workers:
        each = [workers.submit(in_thread, claim_all) for _ in range(2)]
        claims = [claim for worker in each for claim in worker.result(2 * PATIENCE)]
    assert_each_is_in_one(claims)
    assert sum(len(claim.records) for claim in claims) == Customer.objects.filter(state="SENDING").count() == 60


def test_two_drains_send_everything_once(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 5}
    unthrottled.create_list(7, source="customer_id")
    make_work(40)
    with ThreadPoolExecutor(2) as workers:
        for drained in [workers.submit(in_thread, drain) for _ in range(2)]:
            drained.result(2 * PATIENCE)
    for model in (Customer, ListMembership, CustomerRemoval):
        assert not model._default_manager.filter(state__in=["PENDING", "SENDING", "FAILED"]).exists()
    assert len(unthrottled.requests) == ApiCall.objects.filter(state="SUCCEEDED").count() == ApiCall.objects.count()
    assert set(Counter(RecordResult.objects.values_list("customer", "call__endpoint")).values()) == {1}
    assert RecordResult.objects.count() == 3 * 40
