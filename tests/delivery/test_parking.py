"""The sweep's look after parked memberships: a bounded part of them each time, all of them in the end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync.delivery import parking
from blueshift_sync.delivery.figures import note_sweep
from blueshift_sync.delivery.parking import tend_parked
from blueshift_sync.models import Customer, CustomerList, ListMembership, SweepRecord
from tests.delivery.test_query_plans import analyze, assert_read_by_index
from tests.factories import make_list

pytestmark = pytest.mark.django_db

PARKED = 50


@pytest.fixture
def parked() -> CustomerList:
    """A list that has stopped with fifty parked members who say something else, and a sweep before this one."""
    note_sweep(timezone.now() - timedelta(minutes=1))
    return park(PARKED)


def park(count: int) -> CustomerList:
    customer_list = make_list(is_ready=False, stopped_at=timezone.now(), error_code="list_deleted", read_due_at=None)
    customers = Customer.objects.bulk_create(Customer(customer_id=f"c{number}") for number in range(count))
    Customer.objects.update(state="SYNCED", due_at=None)
    ListMembership.objects.bulk_create(
        ListMembership(customer_list=customer_list, customer=customer, due_at=None, error_code="list_unread")
        for customer in customers
    )
    return customer_list


def told() -> int:
    return ListMembership.objects.filter(error_code="list_deleted").count()


def test_one_look_is_bounded_and_the_next_sweep_goes_on(parked: CustomerList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "LOOK", 20)
    monkeypatch.setattr(parking, "LOOK_SECONDS", 0)
    for looked_at in (20, 40, 50):
        tend_parked()
        assert told() == looked_at
    CustomerList.objects.update(is_ready=True, stopped_at=None, error_code="")
    for woken in (20, 40, 50):
        tend_parked()
        assert ListMembership.objects.filter(due_at__isnull=False).count() == woken


def test_a_sweep_with_time_looks_at_each_of_them_once(parked: CustomerList, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the one before has ended."""
    monkeypatch.setattr(parking, "LOOK", 7)
    for last in (0, *ListMembership.objects.order_by("pk").values_list("pk", flat=True)[10:40:13], 10**12):
        SweepRecord.objects.update(last_parked=last)
        ListMembership.objects.update(error_code="list_unread")
        with CaptureQueriesContext(connection) as queries:
            tend_parked()
        assert told() == PARKED
        assert sum("error_code" in query["sql"] and "SELECT" in query["sql"] for query in queries) <= PARKED / 7 + 3


def test_where_nothing_has_changed_nothing_is_written(parked: CustomerList) -> None:
    tend_parked()
    with CaptureQueriesContext(connection) as queries:
        tend_parked()
    assert len(queries) < 8
    assert not [query["sql"] for query in queries if query["sql"].startswith("UPDATE") and "listm" in query["sql"]]


def test_it_reads_no_more_than_it_looks_at(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty thousand that wait a part, by the index."""
    monkeypatch.setattr(parking, "LOOK", 50)
    monkeypatch.setattr(parking, "LOOK_SECONDS", 0)
    note_sweep(timezone.now() - timedelta(minutes=1))
    park(20_000)
    analyze()
    assert_read_by_index(tend_parked)
    assert told() == 50
