"""What is sent of a removal, and what the audit keeps of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blueshift_sync.client import Exchange
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, RecordResult, SyncRun
from tests.factories import (
    make_detached_customer,
    make_removal,
)

from ..conftest import RunForChanges
from ..one_call import settle
from .scenes import DONE, fate, hold, ids, open_removal

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "path", "endpoint"),
    [
        ("DELETE", "/api/v1/customers/delete?delete_all_matching_customers=true", "CUSTOMER_DELETE"),
        ("FORGET", "/api/v1/customers/forget", "CUSTOMER_FORGET"),
    ],
)
def test_a_removed_customer_is_gone_and_the_audit_says_how(
    unthrottled: Any, kind: str, path: str, endpoint: str
) -> None:
    hold(unthrottled, {"customer_id": "7"}, {"customer_id": "8"})
    removal = make_removal(kind=kind, customer=make_detached_customer(customer_id="7"))
    drain()
    assert ids(unthrottled) == {"8"}
    request = unthrottled.requests[-1]
    assert request.json == {"customer_id": "7"}

    call = ApiCall.objects.get()
    assert (call.endpoint, call.state, call.record_count, call.attempt) == (endpoint, "SUCCEEDED", 1, 1)
    assert call.url.endswith(path)
    assert json.loads(call.request_body) == {"customer_id": "7"}
    result = RecordResult.objects.get()
    assert (result.call, result.customer, result.membership, result.identifier) == (call, removal.customer, None, "7")
    assert (result.outcome, result.code, result.version) == ("ACCEPTED", "accepted_for_processing", 1)

    assert fate(removal) == ("SYNCED", "")
    assert removal.synced_at is not None
    run = SyncRun.objects.get()
    assert (run.kind, run.trigger, run.state) == ("CUSTOMERS", "SIGNAL", "SUCCEEDED")
    assert (run.total, run.accepted, run.rejected, run.calls_made) == (1, 1, 0, 1)
    assert removal.run == run


def test_by_an_address_only_the_first_profile_goes(unthrottled: Any) -> None:
    shared = {"email": "a@example.com"}
    hold(unthrottled, {"customer_id": "8", **shared}, {"customer_id": "9", **shared})
    customer = make_detached_customer(customer_id=None, email="A@example.com")
    make_removal(identifier_key="email", identifier="A@example.com", customer=customer)
    drain()
    assert ids(unthrottled) == {"9"}
    assert unthrottled.requests[-1].json == {"email": "A@example.com"}


def test_a_customer_whose_row_is_gone_is_removed_all_the_same(unthrottled: Any) -> None:
    hold(unthrottled, {"customer_id": "7"})
    removal = make_removal(customer=None, identifier="7")
    drain()
    assert unthrottled.customers == []
    assert fate(removal) == ("SYNCED", "")
    assert RecordResult.objects.get().customer is None


@pytest.mark.django_db(transaction=True)
def test_the_row_may_go_before_the_answer_is_written_down(unthrottled: Any, run_for_changes: RunForChanges) -> None:
    removal = make_removal()
    batch, call = open_removal(run_for_changes)
    assert removal.customer
    removal.customer.delete()
    settle(batch, call, Exchange(status=200), DONE)
    assert fate(removal) == ("SYNCED", "")
    assert RecordResult.objects.get().customer is None


def test_the_row_may_go_meanwhile(unthrottled: Any) -> None:
    removal = make_removal()
    assert removal.customer
    removal.customer.delete()
    drain()
    assert fate(removal) == ("SYNCED", "")


def test_masked_fields_are_masked_here_too(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["email"]}
    make_removal(identifier_key="email", identifier="secret@example.com", customer=None)
    drain()
    assert unthrottled.requests[-1].json == {"email": "secret@example.com"}
    stored = str(list(ApiCall.objects.values())) + str(list(RecordResult.objects.values()))
    assert "secret@example.com" not in stored


def test_nobody_waits_for_anybody(unthrottled: Any) -> None:
    for _ in range(10):
        make_removal()
    Customer.objects.bulk_create(Customer(customer_id=f"c{number}") for number in range(600))
    drain()
    assert not CustomerRemoval.objects.exclude(state="SYNCED").exists()
    order = list(ApiCall.objects.order_by("pk").values_list("endpoint", flat=True))
    assert order.count("CUSTOMERS_BULK") == 12
    assert min(order[:12].count(endpoint) for endpoint in ("CUSTOMERS_BULK", "CUSTOMER_DELETE")) >= 4, order
