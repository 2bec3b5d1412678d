"""Who gets how many of the free places in flight. Removals, the third kind, are asked as the others are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blueshift_sync import services
from blueshift_sync.delivery.claim import into_calls
from blueshift_sync.delivery.work import Work
from blueshift_sync.models import Customer, CustomerRemoval, ListMembership, SyncRun
from tests.factories import make_customer, make_list, make_removal

pytestmark = pytest.mark.django_db


@pytest.fixture
def many() -> Callable[[int, int], None]:
    """Makes so many due customers and memberships, the latter of customers in step, on lists of one each."""

    def make(customers: int, memberships: int) -> None:
        Customer.objects.bulk_create(Customer(customer_id=f"c{number}") for number in range(customers))
        for number in range(memberships):
            member = make_customer(
                customer_id=f"m{number}", email=f"m{number}@example.com", state="SYNCED", due_at=None
            )
            ListMembership.objects.create(customer_list=make_list(), customer=member)

    return make


def taken(work: Work, calls: int, *, is_urgent: bool = False) -> tuple[int, int]:
    """How many calls of customers and of memberships were taken."""
    batches = work.take(calls, is_urgent=is_urgent)
    return sum(batch.model is Customer for batch in batches), sum(batch.model is ListMembership for batch in batches)


def test_all_kinds_share_what_is_free(many: Callable[[int, int], None]) -> None:
    many(500, 9)
    work = Work()
    assert taken(work, 8) == (3, 3)
    assert taken(work, 2) == (1, 1)  # there are no removals: their share is free for the others


def test_removals_have_a_share(many: Callable[[int, int], None]) -> None:
    many(500, 9)
    for _ in range(5):
        make_removal()
    assert taken(Work(), 8) == (3, 3)
    assert CustomerRemoval.objects.filter(state="SENDING").count() == 2


def test_with_one_place_they_take_turns(many: Callable[[int, int], None]) -> None:
    many(500, 9)
    work = Work()
    assert [taken(work, 1) for _ in range(4)] == [(1, 0), (0, 1), (1, 0), (0, 1)]


def test_who_has_nothing_leaves_its_share(many: Callable[[int, int], None]) -> None:
    many(500, 0)
    work = Work()
    assert taken(work, 8) == (3, 0)
    assert taken(work, 5) == (5, 0)  # the other kinds aren't asked again at once


def test_without_other_work_everybody_is_asked(many: Callable[[int, int], None]) -> None:
    work = Work()
    assert taken(work, 8) == (0, 0)
    many(0, 2)
    assert taken(work, 8) == (0, 0)
    assert taken(work, 8, is_urgent=True) == (0, 2)


def test_a_run_that_is_cancelled_gets_no_more_records(many: Callable[[int, int], None]) -> None:
    many(60, 0)
    work = Work()
    taken(work, 1)
    cancelled = SyncRun.objects.get()
    services.cancel(cancelled)
    taken(work, 1, is_urgent=True)
    cancelled.refresh_from_db()
    assert (cancelled.total, SyncRun.objects.exclude(pk=cancelled.pk).get().total) == (50, 10)


def test_many_calls_are_of_one_run_each_and_bear_their_company() -> None:
    rows = [
        Customer(pk=pk, run_id=run_id, batch_limit=limit)
        for pk, run_id, limit in [
            (9, 1, None),
            (8, 2, None),
            (7, 1, 2),
            (6, 1, None),
            (5, 1, None),
            (4, 2, 1),
            (3, 2, None),
        ]
    ]
    calls = [[row.pk for row in call] for call in into_calls(rows, size=3, calls=9)]
    assert calls == [[7, 9], [8], [5, 6], [4], [3]]
