"""What becomes of the records of a worker that died, be it by its own hand or because of one of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync.delivery import work
from blueshift_sync.delivery.audit import open_calls
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.claim import Claim
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult
from tests.delivery.conftest import RunForChanges
from tests.delivery.one_call import claim_customers, claim_memberships
from tests.factories import make_call, make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=1)


@pytest.fixture
def die(run_for_changes: RunForChanges) -> Callable[..., ApiCall | None]:
    """A worker claims what is due, opens its call or doesn't, and is dead; its lease is over."""

    def claimed_by_the_dead(
        claim_records: Callable[[RunForChanges], Claim | None] = claim_customers,
        batch_of: Callable[[Claim], Batch] = work.customers_batch,
        *,
        opens: bool = True,
    ) -> ApiCall | None:
        Customer.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
        claim = claim_records(run_for_changes)
        assert claim is not None
        call = _open(batch_of(claim)) if opens else None
        for model in (Customer, ListMembership):
            model._default_manager.filter(state="SENDING").update(claim_expires_at=timezone.now() - LONG_AGO)
        return call

    return claimed_by_the_dead


def _open(batch: Batch) -> ApiCall:
    with make_client() as client:
        [call] = open_calls([(batch, client.prepare(batch.request))], "job")
    return call


# What is said of the records in the audit


def results_of(call: ApiCall) -> list[Any]:
    names = ("position", "identifier", "customer__customer_id", "outcome", "code")
    return list(call.results.order_by("position").values_list(*names))


UNKNOWN = ("UNKNOWN", "worker_died")


def test_of_records_deleted_meanwhile_the_results_remain(die: Callable[..., Any]) -> None:
    for name in ("ada", "bob", "eve"):
        make_customer(customer_id=name)
    call = die()
    Customer.objects.filter(customer_id="bob").delete()
    sweep()
    assert results_of(call) == [(0, "ada", "ada", *UNKNOWN), (1, "bob", None, *UNKNOWN), (2, "eve", "eve", *UNKNOWN)]
    call.refresh_from_db()
    assert (call.state, call.error_count) == ("UNKNOWN", 3)


def test_a_call_all_of_whose_records_are_gone_still_says_whom_it_carried(die: Callable[..., Any]) -> None:
    make_customer(customer_id="ada")
    make_customer(customer_id=None, email="bob@example.com")
    call = die()
    Customer.objects.all().delete()
    ApiCall.objects.update(started_at=timezone.now() - LONG_AGO)
    sweep()
    sweep()
    assert results_of(call) == [(0, "ada", None, *UNKNOWN), (1, "bob@example.com", None, *UNKNOWN)]
    call.refresh_from_db()
    assert (call.state, call.error_code, call.error_count) == ("UNKNOWN", "worker_died", 2)


def test_of_a_deleted_list_too(die: Callable[..., Any]) -> None:
    make_membership(
        customer_list=make_list(identifier_key="email"),
        customer=make_customer(state="SYNCED", due_at=None, email="ada@example.com"),
    )
    call = die(claim_memberships, work.memberships_batch)
    CustomerList.objects.all().delete()
    ApiCall.objects.update(started_at=timezone.now() - LONG_AGO)
    sweep()
    assert list(RecordResult.objects.values_list("call", "identifier", "membership", "outcome")) == [
        (call.pk, "ada@example.com", None, "UNKNOWN")
    ]


def test_the_identifier_is_the_one_that_was_sent(die: Callable[..., Any], settings: Any) -> None:
    customer = make_customer(customer_id=None, email="old@example.com")
    call = die()
    Customer.objects.filter(pk=customer.pk).update(email="new@example.com")
    sweep()
    assert [row[1] for row in results_of(call)] == ["old@example.com"]


def test_masked_identifiers_stay_masked(die: Callable[..., Any], settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["email"]}
    make_customer(customer_id=None, email="ada@example.com")
    make_customer(customer_id=None, email="bob@example.com")
    call = die()
    Customer.objects.filter(email__startswith="bob").delete()
    sweep()
    assert [row[1] for row in results_of(call)] == ["***", "***"]


def test_a_call_that_carried_nobody_has_no_results() -> None:
    call = make_call(
        endpoint="LIST_READ", request_body="", record_count=0, state="OPEN", started_at=timezone.now() - LONG_AGO
    )
    sweep()
    call.refresh_from_db()
    assert (call.state, call.results.count()) == ("UNKNOWN", 0)
