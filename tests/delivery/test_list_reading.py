"""What follows when a list was read from Blueshift: all who waited for it are due."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync.delivery import parking
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.locks import is_in_transaction
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import CustomerList, ListMembership
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def unread(unthrottled: Any) -> CustomerList:
    """A list in Blueshift that hasn't been read, with five memberships that wait for it."""
    unthrottled.create_list(7, source="customer_id")
    customer_list = make_list(list_id=7, identifier_key="")
    for _ in range(5):
        customer = make_customer(state="SYNCED", synced_version=1, due_at=None)
        make_membership(customer_list=customer_list, customer=customer, due_at=None, error_code="list_unread")
    return customer_list


def test_they_are_freed_in_slices_each_a_transaction_of_its_own(
    unread: CustomerList, unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million of them in one would be locked for all that time, and the list's answer with them."""
    monkeypatch.setattr(parking, "SLICE", 2)
    original = parking._make_due
    freed: list[tuple[int, bool]] = []

    def make_due(pks: Any, now: Any) -> int:
        freed.append((len(pks), is_in_transaction()))
        return original(pks, now)

    monkeypatch.setattr(parking, "_make_due", make_due)
    drain()
    assert freed[:3] == [(2, False), (2, False), (1, False)]
    assert set(ListMembership.objects.values_list("state", flat=True)) == {"SYNCED"}


def test_those_who_wait_on_are_passed_over_but_once(unread: CustomerList, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be a million: passing over them again for each slice takes minutes, in which no call is settled."""
    monkeypatch.setattr(parking, "SLICE", 1)
    CustomerList.objects.update(identifier_key="customer_id", is_ready=True)
    with CaptureQueriesContext(connection) as queries:
        assert parking.wake_parked(ListMembership.objects.all(), timezone.now()) == 5
    looks = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(looks) == 2  # the second one finds nobody


def test_a_worker_that_dies_before_they_are_freed_leaves_it_to_the_sweep(
    unread: CustomerList, unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    def die(batch: Batch) -> None:
        raise PowerCut

    with monkeypatch.context() as dying:
        dying.setattr("blueshift_sync.delivery.settle.after_list_call", die)
        with pytest.raises(PowerCut):
            drain()
    unread.refresh_from_db()
    assert unread.identifier_key == "customer_id"
    sweep()
    drain()
    assert set(ListMembership.objects.values_list("state", flat=True)) == {"SYNCED"}
