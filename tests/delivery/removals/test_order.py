"""What has to go before a removal."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.drain import drain, seconds_until_due
from blueshift_sync.delivery.removals import claim_removals
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership
from tests.factories import (
    make_customer,
    make_list,
    make_membership,
    make_removal,
)

from ..conftest import RunForChanges
from ..one_call import claim_customers, settle
from .scenes import HOUR, carry, detach, fate, reason

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("outcome", [RecordOutcome.ACCEPTED, RecordOutcome.RETRY, RecordOutcome.REJECTED])
def test_a_call_that_carries_the_customer_goes_first(
    outcome: RecordOutcome, unthrottled: Any, run_for_changes: RunForChanges
) -> None:
    customer = make_customer(source_type="site.person", source_id="1")
    batch, call = carry(claim_customers(run_for_changes))
    customer.refresh_from_db()
    detach(customer)
    removal = make_removal(customer=customer)
    assert claim_removals(run_for_changes, 8) == []
    assert reason(removal) == "customer_sending"
    settle(batch, call, Exchange(status=200), Answer(CallOutcome.ANSWERED, (RecordAnswer(outcome),)))
    customer.refresh_from_db()
    assert customer.state == "EXCLUDED"
    removal.refresh_from_db()
    assert (removal.error_code, removal.error_message) == ("", "")
    drain()
    assert fate(removal) == ("SYNCED", "")


def test_a_call_of_a_dead_worker_is_waited_for_as_well(unthrottled: Any, run_for_changes: RunForChanges) -> None:
    customer = make_customer(source_type="site.person", source_id="1")
    carry(claim_customers(run_for_changes))
    customer.refresh_from_db()
    detach(customer)
    removal = make_removal(customer=customer)
    drain()
    assert reason(removal) == "customer_sending"
    Customer.objects.update(claim_expires_at=timezone.now() - HOUR)
    sweep()
    drain()
    assert fate(removal) == ("SYNCED", "")


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_customer_leaves_its_lists_first(unthrottled: Any, is_refused: bool) -> None:
    removal = make_removal()
    make_membership(customer=removal.customer, is_member=False, customer_list=make_list(list_id=1))
    unthrottled.create_list(1)
    if is_refused:
        unthrottled.fail("status", status=400, endpoint="LIST_REMOVE")
    drain()
    assert fate(removal) == ("SYNCED", "")
    endpoints = ApiCall.objects.order_by("pk").values_list("endpoint", flat=True)
    assert list(endpoints) == ["LIST_REMOVE", "CUSTOMER_DELETE"]


def test_a_list_that_cant_be_changed_holds_nobody_up(unthrottled: Any) -> None:
    removal = make_removal()
    make_membership(customer=removal.customer, is_member=False, customer_list=make_list(status="DELETED"))
    drain()
    drain()
    assert fate(removal) == ("SYNCED", "")
    assert ListMembership.objects.get().error_code == "list_deleted"


def test_the_sweep_finds_whose_wake_up_was_lost(unthrottled: Any) -> None:
    removal = make_removal(due_at=None, error_code="lists_first", error_message="The lists first.")
    mass = make_removal(due_at=None, error_code="approval_needed", error_message="Many.")
    sweep()
    assert reason(mass) == "approval_needed"
    drain()
    assert fate(removal) == ("SYNCED", "")


def test_a_drain_knows_when_a_removal_is_due() -> None:
    make_removal(due_at=timezone.now() + HOUR)
    seconds = seconds_until_due()
    assert seconds is not None
    assert 3500 < seconds <= 3600
