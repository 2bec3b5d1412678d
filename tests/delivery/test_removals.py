"""Removing customers from Blueshift: what is sent, in which order, and what is held back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery import removal_guards
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.drain import drain, seconds_until_due
from blueshift_sync.delivery.removals import claim_removals, removal_batch
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncRun
from blueshift_sync.signals import call_finished
from tests.factories import (
    make_customer,
    make_detached_customer,
    make_list,
    make_membership,
    make_removal,
    make_run,
)

from .conftest import RunForChanges
from .one_call import claim_customers, open_call, settle

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three removals within an hour are as many as may go by themselves."""
    monkeypatch.setattr(removal_guards, "MANY", 3)


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


# What is sent


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


# What the answers mean


@pytest.mark.parametrize("fault", ["reset", "reset_after", "cut_json", "empty"])
def test_what_is_unknown_goes_again(unthrottled: Any, fault: str) -> None:
    hold(unthrottled, {"customer_id": "7"})
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    unthrottled.fail(fault, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert list(ApiCall.objects.order_by("pk").values_list("state", flat=True)) == ["UNKNOWN", "SUCCEEDED"]
    assert fate(removal) == ("SYNCED", "")
    assert unthrottled.customers == []


def test_who_isnt_there_any_more_is_removed(unthrottled: Any) -> None:
    removal = make_removal()
    unthrottled.fail("status", status=404, endpoint="CUSTOMER_DELETE")
    drain()
    assert fate(removal) == ("SYNCED", "")
    call = ApiCall.objects.get()
    assert (call.state, call.status_code, call.results.get().code) == ("SUCCEEDED", 404, "not_found")


def test_a_refused_removal_is_failed_and_can_be_retried(unthrottled: Any) -> None:
    hold(unthrottled, {"customer_id": "7"})
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    unthrottled.fail("status", status=422, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert fate(removal) == ("FAILED", "unprocessable")
    first = SyncRun.objects.get()
    assert (first.state, first.rejected) == ("FAILED", 1)
    again = services.retry_removals(CustomerRemoval.objects.all())
    assert (again.kind, again.trigger, again.total) == ("CUSTOMERS", "RETRY", 1)
    drain()
    assert fate(removal) == ("SYNCED", "")
    again.refresh_from_db()
    assert again.state == "SUCCEEDED"


def test_temporary_failures_end_after_max_attempts(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 2}
    removal = make_removal()
    unthrottled.fail("status", status=409, endpoint="CUSTOMER_DELETE")
    drain()
    assert fate(removal) == ("FAILED", "conflict")
    assert ApiCall.objects.count() == 2


def test_a_refused_key_fails_nothing(unthrottled: Any) -> None:
    removal = make_removal()
    unthrottled.fail("status", status=401, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert fate(removal)[0] == "PENDING"


def test_a_run_is_retried_with_its_removals(unthrottled: Any) -> None:
    run = make_run()
    make_customer(state="FAILED", run=run, due_at=None)
    make_removal(state="FAILED", run=run, due_at=None)
    make_removal(state="FAILED", due_at=None)
    again = services.retry(run)
    assert again.total == 2
    drain()
    again.refresh_from_db()
    assert (again.state, again.accepted, again.calls_made) == ("SUCCEEDED", 2, 2)


def test_a_run_is_cancelled_with_its_removals() -> None:
    run = services.retry_removals([make_removal(state="FAILED", due_at=None)])
    services.cancel(run)
    assert (run.state, run.total) == ("CANCELLED", 1)
    assert fate(CustomerRemoval.objects.get()) == ("FAILED", "cancelled")


def test_sending_a_call_again_sends_no_removal_again(unthrottled: Any) -> None:
    removal = make_removal()
    drain()
    services.resend(ApiCall.objects.all())
    drain()
    assert ApiCall.objects.count() == 1
    assert fate(removal) == ("SYNCED", "")


# In use again


def excluded_because_in_use(removal: CustomerRemoval) -> str:
    assert fate(removal) == ("EXCLUDED", "identifier_in_use")
    assert (removal.due_at, removal.waiting_since, removal.claim_token) == (None, None, None)
    return removal.error_message


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


def detach(customer: Customer) -> None:
    customer.source_id = None
    customer.mark_changed(due_at=timezone.now(), error_code="source_deleted")
    customer.save()


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


# Which goes first


def carry(claim: Any) -> tuple[Batch, ApiCall]:
    """Opens the call of claimed customers."""
    batch = customers_batch(claim)
    with make_client() as client:
        return batch, open_call(batch, client.prepare(batch.request), "")


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


# Suspiciously many


def make_many(count: int, apart: timedelta = timedelta(seconds=1), **fields: Any) -> list[CustomerRemoval]:
    """Removals that were asked for one after the other until now."""
    now = timezone.now()
    moments = [now - apart * number for number in reversed(range(count))]
    return [make_removal(**{"customer": None, "created_at": moment, **fields}) for moment in moments]


def waiting_for_approval() -> int:
    return CustomerRemoval.objects.filter(state="PENDING", due_at=None, error_code="approval_needed").count()


def sent() -> int:
    return ApiCall.objects.count()


def test_a_few_go_by_themselves(unthrottled: Any, few: None) -> None:
    make_many(3)
    drain()
    assert (sent(), waiting_for_approval()) == (3, 0)


def test_many_wait_for_a_yes_and_say_so(unthrottled: Any, few: None) -> None:
    removal, *_ = make_many(4)
    drain()
    sweep()
    drain()
    assert (sent(), waiting_for_approval()) == (0, 4)
    removal.refresh_from_db()
    assert removal.error_message.startswith("More than 50 removals were asked for within an hour")
    assert not SyncRun.objects.exists()


def test_those_that_are_not_due_yet_count(unthrottled: Any, few: None) -> None:
    """Objects are deleted one by one: the first removal mustn't leave before the others are seen."""
    make_many(1)
    make_many(3, due_at=timezone.now() + HOUR)
    drain()
    assert (sent(), waiting_for_approval()) == (0, 4)


def test_those_that_were_sent_count(unthrottled: Any, few: None) -> None:
    make_many(3)
    drain()
    make_many(1)
    drain()
    assert (sent(), waiting_for_approval()) == (3, 1)


def test_it_matters_when_they_were_asked_for_and_not_when_they_are_sent(unthrottled: Any, few: None) -> None:
    """Sending was switched off for a day: what is due is no mass deletion for that, and no less of one either."""
    make_many(6, apart=timedelta(minutes=21))
    drain()
    assert (sent(), waiting_for_approval()) == (6, 0)
    yesterday = timezone.now() - 24 * HOUR
    for _ in range(4):
        make_removal(customer=None, created_at=yesterday)
    drain()
    assert (sent(), waiting_for_approval()) == (6, 4)


def test_all_of_that_hour_wait_and_no_others(unthrottled: Any, few: None) -> None:
    now = timezone.now()
    alone = make_removal(customer=None, created_at=now - 3 * HOUR)
    early = make_removal(customer=None, created_at=now - timedelta(minutes=59))
    make_many(3)
    drain()
    assert fate(alone) == ("SYNCED", "")
    assert reason(early) == "approval_needed"
    assert (sent(), waiting_for_approval()) == (1, 4)


def test_a_mass_is_parked_without_looking_at_each(
    few: None, run_for_changes: RunForChanges, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    CustomerRemoval.objects.bulk_create(
        CustomerRemoval(kind="DELETE", identifier_key="customer_id", identifier=f"c{number}", created_at=now)
        for number in range(2500)
    )
    with django_assert_max_num_queries(60):
        assert claim_removals(run_for_changes, 3) == []
    assert waiting_for_approval() == 2500


def test_what_is_approved_is_sent_and_counts_no_more(unthrottled: Any, few: None) -> None:
    operator = get_user_model().objects.create_user("operator")
    many = make_many(5)
    drain()
    run = services.approve_removals(many[:4], requested_by=operator)
    assert (run.kind, run.trigger, run.requested_by, run.total) == ("CUSTOMERS", "COMMAND", operator, 4)
    drain()
    run.refresh_from_db()
    assert (run.state, run.accepted) == ("SUCCEEDED", 4)
    assert (sent(), waiting_for_approval()) == (4, 1)
    many[0].refresh_from_db()
    assert (many[0].state, many[0].decided_by) == ("SYNCED", operator)
    assert many[0].decided_at is not None

    make_many(2)
    drain()
    assert (sent(), waiting_for_approval()) == (6, 1)


def test_an_approved_one_is_still_not_removed_while_in_use(unthrottled: Any, few: None) -> None:
    many = make_many(4)
    drain()
    make_customer(customer_id=many[0].identifier, state="SYNCED", due_at=None)
    run = services.approve_removals(CustomerRemoval.objects.all())
    drain()
    sweep()
    run.refresh_from_db()
    assert (run.state, run.total, run.accepted) == ("SUCCEEDED", 4, 3)
    excluded_because_in_use(many[0])


def test_only_what_waits_for_a_yes_can_be_approved(few: None) -> None:
    make_removal(state="FAILED", due_at=None)
    make_removal(due_at=None, error_code="lists_first")
    make_removal(state="SYNCED", due_at=None)
    run = services.approve_removals(CustomerRemoval.objects.all())
    assert (run.state, run.total) == ("SUCCEEDED", 0)
    assert not CustomerRemoval.objects.exclude(decided_at=None).exists()


def test_what_is_cancelled_is_never_sent(unthrottled: Any, few: None) -> None:
    operator = get_user_model().objects.create_user("operator")
    many = make_many(4)
    drain()
    assert services.cancel_removals(CustomerRemoval.objects.all(), requested_by=operator) == 4
    assert services.cancel_removals(CustomerRemoval.objects.all()) == 0
    drain()
    assert fate(many[0]) == ("EXCLUDED", "cancelled")
    assert (many[0].decided_by, many[0].waiting_since) == (operator, None)
    assert many[0].error_message == "Cancelled: Blueshift keeps this customer."
    services.approve_removals(many)
    drain()
    assert sent() == 0


def test_one_that_is_on_its_way_cant_be_cancelled(run_for_changes: RunForChanges) -> None:
    removal = make_removal()
    claim_removals(run_for_changes, 1)
    assert services.cancel_removals([removal]) == 0
    assert fate(removal)[0] == "SENDING"


def test_a_run_whose_last_removal_is_cancelled_ends() -> None:
    run = services.retry_removals([make_removal(state="FAILED", due_at=None)])
    assert run.state == "QUEUED"
    services.cancel_removals(CustomerRemoval.objects.all())
    run.refresh_from_db()
    assert run.state == "SUCCEEDED"


# When a worker dies, or is late


def open_removal(name_run: RunForChanges) -> tuple[Batch, ApiCall]:
    (claim,) = claim_removals(name_run, 1)
    batch = removal_batch(claim)
    with make_client() as client:
        return batch, open_call(batch, client.prepare(batch.request), "")


DONE = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED, "accepted_for_processing"),))


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
