"""How a test of removals begins, and what it asks at the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from blueshift_sync.client import Answer, CallOutcome, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.removals import claim_removals, removal_batch
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, SyncRun
from tests.factories import (
    make_customer,
)

from ..conftest import RunForChanges
from ..one_call import open_call

HOUR = timedelta(hours=1)
DONE = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED, "accepted_for_processing"),))


def hold(blueshift: Any, *customers: dict[str, Any]) -> None:
    """Lets the simulator hold these customers."""
    rows = [make_customer(**{"customer_id": None, "email": "", **customer}) for customer in customers]
    drain()
    assert len(blueshift.customers) == len(customers)
    Customer.objects.filter(pk__in=[row.pk for row in rows]).delete()
    ApiCall.objects.all().delete()
    SyncRun.objects.all().delete()


def ids(blueshift: Any) -> set[str]:
    return {customer["customer_id"] for customer in blueshift.customers}


def fate(removal: CustomerRemoval) -> tuple[str, str]:
    removal.refresh_from_db()
    return removal.state, removal.error_code


def reason(removal: CustomerRemoval) -> str:
    removal.refresh_from_db()
    assert (removal.state, removal.due_at) == ("PENDING", None)
    assert removal.error_message
    return removal.error_code


def excluded_because_in_use(removal: CustomerRemoval) -> str:
    assert fate(removal) == ("EXCLUDED", "identifier_in_use")
    assert (removal.due_at, removal.waiting_since, removal.claim_token) == (None, None, None)
    return removal.error_message


def detach(customer: Customer) -> None:
    customer.source_id = None
    customer.mark_changed(due_at=timezone.now(), error_code="source_deleted")
    customer.save()


def carry(claim: Any) -> tuple[Batch, ApiCall]:
    """Opens the call of claimed customers."""
    batch = customers_batch(claim)
    with make_client() as client:
        return batch, open_call(batch, client.prepare(batch.request), "")


def open_removal(name_run: RunForChanges) -> tuple[Batch, ApiCall]:
    (claim,) = claim_removals(name_run, 1)
    batch = removal_batch(claim)
    with make_client() as client:
        return batch, open_call(batch, client.prepare(batch.request), "")
