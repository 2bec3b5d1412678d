"""An identifier that somebody has again isn't removed."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.removals import claim_removals
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, SyncRun
from blueshift_sync.signals import call_finished
from tests.factories import (
    make_customer,
    make_detached_customer,
    make_removal,
)

from ..conftest import RunForChanges
from ..one_call import claim_customers
from .scenes import detach, excluded_because_in_use, fate, hold, ids

pytestmark = pytest.mark.django_db


def test_an_id_that_somebody_has_again_isnt_removed(unthrottled: Any) -> None:
    hold(unthrottled, {"customer_id": "7"})
    back = make_customer(customer_id="7", source_type="site.person", source_id="12", state="SYNCED", due_at=None)
    removal = make_removal(customer=back)
    drain()
    message = excluded_because_in_use(removal)
    assert message == "Not removed: customer ID '7' is in use again, by site.person 12."
    assert ids(unthrottled) == {"7"}
    assert not ApiCall.objects.exists()
    run = SyncRun.objects.get()
    assert (run.state, run.accepted, run.rejected) == ("SUCCEEDED", 0, 0)


@pytest.mark.parametrize("customer_id", [None, "another"])
def test_an_address_that_somebody_has_isnt_removed(unthrottled: Any, customer_id: str | None) -> None:
    make_customer(customer_id=customer_id, email="ada@EXAMPLE.com", state="FAILED", due_at=None)
    removal = make_removal(identifier_key="email", identifier="Ada@example.com", customer=None)
    drain()
    assert "e-mail address 'Ada@example.com' is in use again, by a customer made by hand" in excluded_because_in_use(
        removal
    )


def test_the_address_of_a_customer_with_an_id_may_be_shared(unthrottled: Any) -> None:
    make_customer(email="a@example.com", state="SYNCED", due_at=None)
    removal = make_removal(customer=make_detached_customer(email="a@example.com"))
    drain()
    assert fate(removal) == ("SYNCED", "")


@pytest.mark.parametrize(
    ("fields", "is_in_use"),
    [
        ({"state": "EXCLUDED", "error_code": "excluded", "due_at": None}, False),
        ({"state": "EXCLUDED", "error_code": "excluded", "due_at": None, "synced_version": 1}, True),
        ({"state": "EXCLUDED", "error_code": "source_deleted", "source_id": None, "due_at": None}, False),
        ({"state": "FAILED", "error_code": "source_error", "due_at": None}, True),
        ({"state": "SENDING"}, True),
    ],
)
def test_who_counts_as_somebody_who_stays(unthrottled: Any, fields: dict[str, Any], is_in_use: bool) -> None:
    make_customer(customer_id="7", **{"source_type": "site.person", "source_id": "1", **fields})
    removal = make_removal(customer=None, identifier="7")
    drain()
    assert fate(removal)[0] == ("EXCLUDED" if is_in_use else "SYNCED")


def test_an_unknown_outcome_isnt_repeated_once_the_customer_is_back(unthrottled: Any) -> None:
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    unthrottled.fail("reset", endpoint="CUSTOMER_DELETE", next=1)

    def come_back(**kwargs: Any) -> None:
        Customer.objects.filter(customer_id="7", source_id=None).update(
            source_id="1", state="PENDING", error_code="", due_at=timezone.now(), version=3
        )

    call_finished.connect(come_back)
    try:
        drain()
    finally:
        call_finished.disconnect(come_back)
    excluded_because_in_use(removal)
    assert ApiCall.objects.filter(endpoint="CUSTOMER_DELETE").count() == 1
    assert ids(unthrottled) == {"7"}


def test_once_excluded_it_is_never_sent(unthrottled: Any) -> None:
    removal = make_removal(state="EXCLUDED", error_code="identifier_in_use", due_at=None)
    services.retry_removals([removal])
    services.approve_removals([removal])
    sweep()
    drain()
    assert fate(removal) == ("EXCLUDED", "identifier_in_use")
    assert not ApiCall.objects.exists()


def test_who_comes_back_after_the_removal_is_sent_as_new(unthrottled: Any) -> None:
    """The mirror doesn't believe any more that Blueshift has this customer."""
    customer = make_customer(customer_id="7", source_type="site.person", source_id="1")
    customer.fingerprint = customer.fingerprint_of_payload()
    customer.save()
    drain()
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
    detach(customer)
    make_removal(customer=customer)
    drain()
    assert unthrottled.customers == []

    customer.refresh_from_db()
    customer.source_id = "1"
    customer.mark_changed(due_at=timezone.now())
    customer.save()
    drain()
    assert ids(unthrottled) == {"7"}


def test_a_customer_and_its_removal_are_never_on_their_way_together(run_for_changes: RunForChanges) -> None:
    removal = make_removal(customer=None, identifier="7")
    by_address = make_removal(customer=None, identifier_key="email", identifier="A@example.com")
    assert len(claim_removals(run_for_changes, 8)) == 2
    make_customer(customer_id="7")
    make_customer(customer_id=None, email="a@example.com")
    free = make_customer(customer_id="8")
    claim = claim_customers(run_for_changes)
    assert claim is not None
    assert [record.pk for record in claim.records] == [free.pk]
    CustomerRemoval.objects.filter(pk__in=[removal.pk, by_address.pk]).update(state="SYNCED", claim_token=None)
    Customer.objects.filter(state="PENDING").update(due_at=timezone.now())
    claim = claim_customers(run_for_changes)
    assert claim is not None
    assert len(claim.records) == 2
