"""Lists take turns: none waits until another's millions are sent. And who waits for something else costs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync.delivery.drain import drain, seconds_until_due
from blueshift_sync.delivery.memberships import ListTurns
from blueshift_sync.delivery.work import Work
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership
from tests.factories import make_list

pytestmark = pytest.mark.django_db

Fill = Callable[..., CustomerList]


@pytest.fixture
def fill(db: None) -> Fill:
    """Makes a synchronous list with so many due members, 25 for a call."""
    people = [Customer(customer_id=f"c{number}", email=f"c{number}@example.com") for number in range(500)]
    Customer.objects.bulk_create(people)
    Customer.objects.update(state="SYNCED", synced_version=1, due_at=None)
    pks = list(Customer.objects.values_list("pk", flat=True))

    def make(members: int, **fields: Any) -> CustomerList:
        row = make_list(mode="sync")
        rows = [ListMembership(customer_list=row, customer_id=pk, **fields) for pk in pks[:members]]
        ListMembership.objects.bulk_create(rows)
        return row

    return make


def served(work: Work, takes: int, calls: int) -> Counter[int | None]:
    """How many calls each list got; customers are under None."""
    counted: Counter[int | None] = Counter()
    for _ in range(takes):
        for batch in work.take(calls, is_urgent=True):
            counted[batch.customer_list.pk if batch.customer_list else None] += 1
    return counted


@pytest.mark.parametrize("calls", [1, 4])
def test_a_small_list_does_not_wait_behind_a_large_one(fill: Fill, calls: int) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    large = fill(500, due_at=long_ago)
    small = [fill(5), fill(5)]
    counted = served(Work(), 6 // calls + 1, calls)
    assert {each.pk: counted[each.pk] for each in small} == dict.fromkeys([each.pk for each in small], 1)
    assert counted[large.pk] >= 1


def test_large_lists_get_equally_many_calls(fill: Fill) -> None:
    lists = [fill(500), fill(500), fill(500)]
    counted = served(Work(), 12, 1)
    assert [counted[each.pk] for each in lists] == [4, 4, 4]


def test_lists_and_customers_get_equally_many_calls(fill: Fill) -> None:
    news = fill(500)
    Customer.objects.bulk_create(Customer(customer_id=f"due{number}") for number in range(1000))
    counted = served(Work(), 16, 1)
    assert (counted[news.pk], counted[None]) == (8, 8)


def test_a_small_list_does_not_wait_for_the_customers_either(fill: Fill) -> None:
    Customer.objects.bulk_create(Customer(customer_id=f"due{number}") for number in range(1000))
    news = fill(5)
    assert served(Work(), 2, 1)[news.pk] == 1


def test_the_next_worker_begins_with_the_list_that_waits_for_longest(fill: Fill) -> None:
    now = timezone.now()
    fill(5, due_at=now - timedelta(minutes=1))
    longest = fill(5, due_at=now - timedelta(hours=1))
    assert ListTurns().next() == (longest.pk, 1)


def test_additions_and_removals_of_a_list_go_side_by_side(fill: Fill) -> None:
    """One removal in between doesn't make two small calls of a large one."""
    news = fill(40)
    odd = ListMembership.objects.order_by("pk")[3]
    ListMembership.objects.filter(pk=odd.pk).update(is_member=False)
    batches = Work().take(8, is_urgent=True)
    assert sorted((batch.endpoint, len(batch.records)) for batch in batches if batch.customer_list == news) == [
        ("LIST_ADD", 14),
        ("LIST_ADD", 25),
        ("LIST_REMOVE", 1),
    ]


def test_lists_to_be_read_do_not_hold_up_the_members_of_others(fill: Fill) -> None:
    """A thousand that are read anew each day would take minutes."""
    news = fill(200)
    for _ in range(20):
        make_list(read_due_at=timezone.now())
    work = Work()
    endpoints = Counter(batch.endpoint for _ in range(8) for batch in work.take(1, is_urgent=True))
    assert endpoints == {"LIST_READ": 4, "LIST_ADD": 4}
    assert news.memberships.filter(state="SENDING").count() == 100


def test_ten_thousand_parked_memberships_cost_no_claim(fill: Fill, unthrottled: Any) -> None:
    for _ in range(20):
        fill(500, due_at=None, error_code="customer_waiting")
    assert seconds_until_due() is None
    with CaptureQueriesContext(connection) as queries:
        drain()
    assert ListMembership.objects.filter(due_at=None).count() == 10_000
    assert not ApiCall.objects.exists()
    assert not [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(queries) < 40


def test_members_that_turn_out_to_have_to_wait_do_not_hold_up_those_of_other_lists(fill: Fill) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    for _ in range(3):
        stopped = fill(60, due_at=long_ago)
        CustomerList.objects.filter(pk=stopped.pk).update(
            is_ready=False, stopped_at=timezone.now(), error_code="list_deleted"
        )
    news = fill(5)
    assert served(Work(), 1, 1) == {news.pk: 1}


def test_those_of_a_stopped_list_are_looked_at_once(fill: Fill, unthrottled: Any) -> None:
    news = fill(500)
    CustomerList.objects.filter(pk=news.pk).update(
        is_ready=False, stopped_at=timezone.now(), error_code="list_deleted", error_message="Gone."
    )
    drain()
    assert set(ListMembership.objects.values_list("due_at", "error_code")) == {(None, "list_deleted")}
    with CaptureQueriesContext(connection) as queries:
        drain()
    assert not [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert not unthrottled.requests
