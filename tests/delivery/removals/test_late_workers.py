"""Removals of workers that died, or are late."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval
from tests.factories import (
    make_customer,
    make_detached_customer,
    make_removal,
)

from ..conftest import RunForChanges
from ..one_call import claim_customers, settle
from .scenes import DONE, HOUR, carry, detach, excluded_because_in_use, fate, open_removal

pytestmark = pytest.mark.django_db


def test_a_dead_workers_removal_is_unknown_and_goes_again(unthrottled: Any, run_for_changes: RunForChanges) -> None:
    removal = make_removal()
    _, call = open_removal(run_for_changes)
    CustomerRemoval.objects.update(claim_expires_at=timezone.now() - HOUR)
    sweep()
    call.refresh_from_db()
    assert (call.state, call.error_code) == ("UNKNOWN", "worker_died")
    result = call.results.get()
    assert (result.outcome, result.identifier, result.customer) == ("UNKNOWN", removal.identifier, removal.customer)
    removal.refresh_from_db()
    assert (removal.state, removal.attempts) == ("PENDING", 1)
    drain()
    assert fate(removal) == ("SYNCED", "")


def test_an_open_call_isnt_orphaned_while_its_claim_lasts(run_for_changes: RunForChanges) -> None:
    make_removal()
    _, call = open_removal(run_for_changes)
    ApiCall.objects.update(started_at=timezone.now() - HOUR)
    sweep()
    call.refresh_from_db()
    assert call.state == "OPEN"


def lose_lease() -> None:
    for model in (Customer, CustomerRemoval):
        model._default_manager.filter(state="SENDING").update(claim_expires_at=timezone.now() - HOUR)
    sweep()


def test_a_late_call_of_the_customer_may_have_brought_it_back(unthrottled: Any, run_for_changes: RunForChanges) -> None:
    customer = make_customer(source_type="site.person", source_id="1")
    batch, call = carry(claim_customers(run_for_changes))
    customer.refresh_from_db()
    detach(customer)
    lose_lease()
    removal = make_removal(customer=customer)
    drain()
    assert fate(removal) == ("SYNCED", "")
    settle(batch, call, Exchange(status=200), Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),)))
    assert fate(removal) == ("PENDING", "")
    drain()
    assert fate(removal) == ("SYNCED", "")
    assert ApiCall.objects.filter(endpoint="CUSTOMER_DELETE").count() == 2


def test_a_late_removal_may_have_hit_who_came_back(unthrottled: Any, run_for_changes: RunForChanges) -> None:
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    batch, call = open_removal(run_for_changes)
    lose_lease()
    customer = Customer.objects.get()
    customer.source_id = "1"
    customer.mark_changed(due_at=timezone.now())
    customer.save()
    drain()
    excluded_because_in_use(removal)
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
    settle(batch, call, Exchange(status=200), DONE)
    customer.refresh_from_db()
    assert customer.state == "PENDING"
    drain()
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
    assert fate(removal)[0] == "EXCLUDED"
