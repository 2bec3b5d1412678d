"""What becomes of the records of a worker that died, be it by its own hand or because of one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import pytest
from django.db import connections
from django.db.models import F, Min
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery import work
from blueshift_sync.delivery.audit import open_calls
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.claim import Claim
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult
from blueshift_sync.signals import records_failed
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


def columns(*names: str) -> list[Any]:
    return list(Customer.objects.order_by("pk").values_list(*names))


def test_they_come_back_in_half_the_company_and_in_the_end_alone(die: Callable[..., Any]) -> None:
    for _ in range(8):
        make_customer()
    sizes = []
    for _ in range(5):
        sizes.append(die().record_count)
        sweep()
    assert sizes == [8, 4, 2, 1, 1]
    assert columns("attempts") == [(2,), *[(0,)] * 7]


def test_in_company_a_dead_worker_counts_as_nobodys_attempt(die: Callable[..., Any], settings: Any) -> None:
    """Else eight deployments in a bad hour would fail whom they happened to hit."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    make_customer()
    make_customer()
    die()
    sweep()
    assert columns("state", "attempts", "batch_limit") == [("PENDING", 0, 1)] * 2


def test_the_first_success_ends_the_smaller_batches(die: Callable[..., Any], unthrottled: Any) -> None:
    for _ in range(4):
        make_customer()
    die()
    sweep()
    drain()
    assert columns("state", "batch_limit", "attempts") == [("SYNCED", None, 0)] * 4


@pytest.mark.parametrize("opens", [True, False])
def test_who_ends_a_worker_alone_again_and_again_is_failed(die: Callable[..., Any], settings: Any, opens: bool) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 3}
    customer = make_customer()
    told: list[dict[str, Any]] = []

    def hear(**arguments: Any) -> None:
        told.append(arguments)

    records_failed.connect(hear)
    run = services.push([customer])
    seen = []
    calls = []
    for _ in range(3):
        calls.append(die(opens=opens))
        sweep()
        seen += columns("state", "attempts")
    assert seen == [("PENDING", 1), ("PENDING", 2), ("FAILED", 3)]
    customer.refresh_from_db()
    assert (customer.error_code, customer.due_at, customer.waiting_since) == ("worker_died", None, None)
    assert "alone, at attempt 3, the last one" in customer.error_message
    run.refresh_from_db()
    assert (run.state, run.total, run.rejected) == ("FAILED", 1, 1)
    assert [each["call_id"] for each in told] == ([calls[-1].pk] if opens else [])
    services.push([customer])
    assert columns("state", "attempts", "error_code") == [("PENDING", 0, "")]


def test_what_changed_meanwhile_is_tried_as_it_is_now(die: Callable[..., Any], settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    customer = make_customer()
    die()
    customer.refresh_from_db()
    customer.mark_changed(due_at=timezone.now())
    customer.save()
    sweep()
    assert columns("state", "error_code") == [("PENDING", "")]


def test_those_that_ended_workers_alone_are_tried_apart(die: Callable[..., Any], settings: Any) -> None:
    """Side by side, the guilty one would take the innocent ones with it until all of them are FAILED."""
    for _ in range(3):
        make_customer(batch_limit=1)
    for _ in range(3):
        die()
    sweep()
    moments = sorted(moment for (moment,) in columns("due_at"))
    longest_call = sum(settings.BLUESHIFT_SYNC.get("TIMEOUT", (5, 30)))
    gaps = [round((after - before).total_seconds()) for before, after in pairwise(moments)]
    assert gaps == [longest_call, longest_call]
    assert columns("attempts") == [(1,)] * 3


# With real processes


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes the call of the customer "poison" is dead, as by a fault in a library."""
    original = work.customers_batch

    def make_batch(claim: Claim) -> Batch:
        if any(record.customer_id == "poison" for record in claim.records):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(claim)

    monkeypatch.setattr(work, "customers_batch", make_batch)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_record_that_kills_its_worker_is_found_and_fails_alone(
    poisoned: None, unthrottled: Any, settings: Any
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 3, "CUSTOMERS_PER_CALL": 4}
    for number in range(11):
        make_customer(customer_id=f"c{number}")
    make_customer(customer_id="poison")
    deaths = 0
    while first := Customer.objects.aggregate(first=Min("due_at"))["first"]:
        Customer.objects.update(due_at=F("due_at") - (first - timezone.now()))  # until the next one is due
        connections.close_all()
        worker = get_context("fork").Process(target=drain)
        worker.start()
        worker.join()
        deaths += worker.exitcode == -signal.SIGKILL
        Customer.objects.filter(state="SENDING").update(claim_expires_at=timezone.now() - LONG_AGO)
        sweep()
    assert set(Customer.objects.exclude(customer_id="poison").values_list("state", "batch_limit", "attempts")) == {
        ("SYNCED", None, 0)
    }
    poison = Customer.objects.get(customer_id="poison")
    assert (poison.state, poison.error_code, poison.attempts) == ("FAILED", "worker_died", 3)
    assert deaths == 2 + 3  # in a company of four and of two, and then alone
    assert len(unthrottled.customers) == 11


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
