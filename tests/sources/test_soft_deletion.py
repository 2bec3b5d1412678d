"""Objects whose manager hides them: a save, a capture and a backfill have one mind about them."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from blueshift_sync.sources.backfill import backfill, parts_of
from blueshift_sync.sources.registry import sources_of
from tests.site.models import Subscriber

from .conftest import Register
from .helpers import mirrored, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscribers(registered: Register) -> type[CustomerSource]:
    @registered(Subscriber)
    class Subscribers(CustomerSource):
        email = "email"
        attributes = {"deleted": "deleted"}

    @registered(Subscriber)
    class News(MembershipSource):
        customer = lambda subscriber: subscriber  # noqa: E731
        list_id = 7

        def include(self, subscriber: Subscriber) -> bool:
            return not subscriber.deleted

    return Subscribers


@pytest.fixture
def deleted() -> Subscriber:
    """A subscriber that was deleted before anything was captured."""
    with services.disabled():
        return Subscriber.objects.create(email="ada@example.com", deleted=True)


def backfill_all() -> int:
    return sum(backfill(part, lambda count: None).changed for part in parts_of(sources_of(Subscriber)))


def said() -> list[tuple[Any, ...]]:
    rows = Customer.objects.values_list("source_type", "source_id", "state", "fingerprint")
    return [*rows, *ListMembership.objects.values_list("customer__source_id", "is_member")]


@pytest.mark.usefixtures("subscribers")
def test_a_backfill_says_what_a_save_says(deleted: Subscriber) -> None:
    deleted.save()
    saved = said()
    assert saved
    assert backfill_all() == 0
    Customer.objects.all().delete()
    assert backfill_all() > 0
    assert said() == saved


def test_include_leaves_it_out(subscribers: Any, deleted: Subscriber) -> None:
    subscribers.include = lambda self, subscriber: not subscriber.deleted
    backfill_all()
    assert mirrored(deleted).state == "EXCLUDED"
    deleted.deleted = False
    deleted.save()
    assert told(deleted)["email"] == "ada@example.com"
    deleted.deleted = True
    deleted.save()
    assert mirrored(deleted).state == "EXCLUDED"
    assert backfill_all() == 0


@pytest.mark.usefixtures("subscribers")
def test_it_is_taken_off_its_lists(deleted: Subscriber) -> None:
    deleted.deleted = False
    deleted.save()
    assert ListMembership.objects.get().is_member
    deleted.deleted = True
    deleted.save()
    assert not ListMembership.objects.get().is_member
