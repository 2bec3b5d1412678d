"""The whole way: an object of the shop is deleted, and what Blueshift has of it then."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery import removal_guards
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, CustomerRemoval
from project.shop.models import Customer, Newsletter, NewsletterSignup
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def simulator(blueshift: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Removals go at once, each of them for good."""
    blueshift.scenario(calls_per_second=None)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None, "ON_SOURCE_DELETE": "forget"}
    monkeypatch.setattr("blueshift_sync.sources.removals.GRACE_SECONDS", 0)
    return blueshift


def shopper(number: str) -> Customer:
    return Customer.objects.create(customer_number=number, email=f"{number}@example.com")


def held(simulator: Any) -> set[str]:
    return {customer["customer_id"] for customer in simulator.customers}


def test_who_is_deleted_in_the_shop_is_forgotten_and_off_every_list(simulator: Any) -> None:
    simulator.create_list(77, source="customer_id")
    news = Newsletter.objects.create(name="News", blueshift_list_id=77)
    leaving, staying = shopper("K-1"), shopper("K-2")
    for customer in (leaving, staying):
        NewsletterSignup.objects.create(customer=customer, newsletter=news, confirmed=True)
    drain()
    assert held(simulator) == {"K-1", "K-2"}
    assert set(simulator.members(77)) == {"K-1", "K-2"}

    leaving.delete()
    drain()
    assert held(simulator) == {"K-2"}
    assert simulator.members(77) == ["K-2"]
    last = list(ApiCall.objects.order_by("pk").values_list("endpoint", flat=True))[-2:]
    assert last == ["LIST_REMOVE", "CUSTOMER_FORGET"]


def test_by_default_blueshift_keeps_who_is_deleted(simulator: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ON_SOURCE_DELETE": "keep"}
    customer = shopper("K-1")
    drain()
    customer.delete()
    drain()
    assert held(simulator) == {"K-1"}


def test_who_is_made_again_before_the_removal_leaves_stays(simulator: Any) -> None:
    customer = shopper("K-1")
    drain()
    with transaction.atomic():
        customer.delete()
        shopper("K-1")
    drain()
    assert held(simulator) == {"K-1"}
    assert CustomerRemoval.objects.get().error_code == "identifier_in_use"
    assert not ApiCall.objects.filter(endpoint="CUSTOMER_FORGET").exists()


def test_who_is_made_again_afterwards_is_sent_again(simulator: Any) -> None:
    customer = shopper("K-1")
    drain()
    customer.delete()
    drain()
    assert held(simulator) == set()
    shopper("K-1")
    drain()
    assert held(simulator) == {"K-1"}


def test_a_mass_deletion_waits_for_the_operators_yes(simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_guards, "MANY", 5)
    for number in range(8):
        shopper(f"K-{number}")
    drain()
    Customer.objects.exclude(customer_number="K-0").delete()
    drain()
    assert len(held(simulator)) == 8
    services.cancel_removals(CustomerRemoval.objects.filter(identifier="K-1"))
    services.approve_removals(CustomerRemoval.objects.all())
    drain()
    assert held(simulator) == {"K-0", "K-1"}


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_a_worker_does_it_all(simulator: Any, start_worker: Any) -> None:
    customer = shopper("K-1")
    start_worker()
    wait_until(lambda: held(simulator) == {"K-1"})
    wait_until(lambda: ApiCall.objects.filter(state="SUCCEEDED").exists())
    customer.delete()
    wait_until(lambda: held(simulator) == set())
    wait_until(lambda: CustomerRemoval.objects.get().state == "SYNCED")
    removal = CustomerRemoval.objects.get()
    assert removal.synced_at is not None
    assert removal.synced_at <= timezone.now()
