"""The Python calls: push, lists, retry, resend, and saving by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery import push as push_module
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncRun
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def simulator(blueshift: Any, settings: Any) -> Any:
    blueshift.scenario(calls_per_second=None)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    return blueshift


def test_push_sends_what_is_in_step_already(simulator: Any) -> None:
    user = get_user_model().objects.create_user("operator")
    make_customer(state="SYNCED", synced_version=1, due_at=None)
    run = services.push(Customer.objects.all(), requested_by=user, trigger=SyncRun.Trigger.ADMIN)
    assert (run.kind, run.trigger, run.requested_by, run.total, run.state) == ("CUSTOMERS", "ADMIN", user, 1, "QUEUED")
    drain()
    run.refresh_from_db()
    assert (run.state, run.accepted, run.calls_made) == ("SUCCEEDED", 1, 1)
    assert ApiCall.objects.get().run == run


def test_push_leaves_out_the_excluded_and_those_a_source_must_mend() -> None:
    make_customer(state="EXCLUDED", error_code="excluded", due_at=None)
    make_customer(state="FAILED", error_code="source_error", due_at=None)
    make_customer(state="FAILED", error_code="email_invalid", due_at=None)
    assert services.push(Customer.objects.all()).total == 1


def test_push_takes_many_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.push.CHUNK", 10)
    Customer.objects.bulk_create(Customer(customer_id=f"c{number}", state="SYNCED") for number in range(25))
    run = services.push(Customer.objects.all())
    assert run.total == 25
    assert Customer.objects.filter(state="PENDING", run=run).count() == 25


@pytest.mark.parametrize("change", [services.add_to_list, services.remove_from_list])
def test_only_customers_go_on_a_list(change: Any) -> None:
    """The key of another object would be taken for that of a customer."""
    news, customer = make_list(), make_customer()
    user = get_user_model().objects.create_user("somebody", pk=customer.pk)
    for objects in ([user], [customer, user], get_user_model().objects.all()):
        with pytest.raises(BlueshiftSyncError, match=r"not User objects.*hand over an ObjectSelection"):
            change(news, objects)
    assert not ListMembership.objects.exists()
    assert not SyncRun.objects.exists()


def test_nobody_goes_on_a_list_that_was_deleted() -> None:
    gone, customer = make_list(), make_customer()
    CustomerList.objects.all().delete()
    with pytest.raises(BlueshiftSyncError, match="The customer list was deleted on this site"):
        services.add_to_list(gone, [customer])
    assert not SyncRun.objects.exists()


def test_an_empty_push_of_a_queryset_ends_at_once() -> None:
    run = services.push(Customer.objects.none())
    assert (run.total, run.state) == (0, "SUCCEEDED")


@pytest.mark.parametrize("records", [[], [make_run], [object()]])
def test_push_says_what_it_cannot_send(records: list[Any]) -> None:
    with pytest.raises(BlueshiftSyncError, match=r"\.$"):
        services.push(records)


def test_push_refuses_two_kinds_in_one_run() -> None:
    with pytest.raises(BlueshiftSyncError, match="push them separately"):
        services.push([make_customer(), make_membership()])


def test_a_push_over_a_push_lets_both_runs_end(simulator: Any) -> None:
    customer = make_customer()
    first, second = services.push([customer]), services.push([customer])
    drain()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.total, first.accepted) == ("SUCCEEDED", 1, 0)
    assert (second.state, second.total, second.accepted) == ("SUCCEEDED", 1, 1)


def test_adding_and_removing_members(simulator: Any) -> None:
    simulator.create_list(7, source="email")
    news = make_list(list_id=7)
    customers = [make_customer(email=f"c{number}@example.com") for number in range(3)]
    run = services.add_to_list(news, Customer.objects.all())
    assert (run.kind, run.total) == ("LISTS", 3)
    drain()
    assert sorted(simulator.members(7)) == ["c0@example.com", "c1@example.com", "c2@example.com"]
    services.remove_from_list(news, customers[:2])
    drain()
    assert simulator.members(7) == ["c2@example.com"]
    assert ListMembership.objects.filter(synced_is_member=False, state="SYNCED").count() == 2


def test_adding_and_removing_before_anything_is_sent_makes_one_call(simulator: Any) -> None:
    simulator.create_list(7, source="email")
    news, customer = make_list(list_id=7), make_customer(state="SYNCED", due_at=None)
    for change in (services.add_to_list, services.remove_from_list, services.add_to_list):
        change(news, [customer])
    drain()
    assert [call.endpoint for call in ApiCall.objects.all()] == ["LIST_ADD"]


def test_retry_sends_the_failed_records_of_a_run_again(simulator: Any) -> None:
    run = make_run(state="PARTIAL")
    make_customer(state="SYNCED", run=run, due_at=None)
    failed = make_customer(state="FAILED", run=run, attempts=8, error_code="http_503", due_at=None)
    make_customer(state="FAILED", error_code="http_503", due_at=None)
    again = services.retry(run)
    assert (again.trigger, again.retry_of, again.total) == ("RETRY", run, 1)
    failed.refresh_from_db()
    assert (failed.state, failed.attempts, failed.error_code) == ("PENDING", 0, "")
    drain()
    again.refresh_from_db()
    assert again.state == "SUCCEEDED"


def test_cancelling_stops_what_has_not_been_sent(simulator: Any) -> None:
    in_step = make_customer(state="SYNCED", synced_version=1, due_at=None)
    behind = make_customer(state="FAILED", version=2, synced_version=1, due_at=None)
    run = services.push([in_step, behind])
    services.cancel(run)
    drain()
    assert simulator.requests == []
    assert (run.state, run.total, run.accepted, run.rejected) == ("CANCELLED", 2, 0, 0)
    in_step.refresh_from_db()
    behind.refresh_from_db()
    assert (in_step.state, behind.state, behind.error_code) == ("SYNCED", "FAILED", "cancelled")
    assert services.push([behind]).total == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_cancelled_while_it_is_filled_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "CHUNK", 2)
    pks = [make_customer(state="SYNCED", due_at=None, synced_version=1).pk for _ in range(6)]
    run = make_run(trigger="COMMAND")

    def cancelled_on_the_way() -> Iterator[int]:
        yield from pks[:3]
        services.cancel(run)
        yield from pks[3:]

    push_module.push_records(Customer, cancelled_on_the_way(), run)
    assert (run.state, run.total) == ("CANCELLED", 2)
    assert set(Customer.objects.values_list("state", flat=True)) == {"SYNCED"}


def test_cancelling_an_ended_run_changes_nothing() -> None:
    run = services.push(Customer.objects.none())
    assert services.cancel(run).state == "SUCCEEDED"


def test_a_cancelled_run_ends_with_its_last_call_in_flight(simulator: Any) -> None:
    customer = make_customer()
    run = services.push([customer])
    Customer.objects.update(
        state="SENDING", claim_token=uuid4(), claim_expires_at=timezone.now() - timedelta(hours=1), claimed_version=1
    )
    assert services.cancel(run).state == "QUEUED"
    sweep()
    run.refresh_from_db()
    customer.refresh_from_db()
    assert (run.state, customer.state, customer.error_code) == ("CANCELLED", "FAILED", "cancelled")


def test_resend_sends_the_records_of_calls_of_both_kinds() -> None:
    customer, membership = make_customer(state="SYNCED"), make_membership()
    calls = [make_call(), make_call(endpoint="LIST_ADD")]
    make_result(call=calls[0], customer=customer)
    make_result(call=calls[1], customer=membership.customer, membership=membership)
    runs = services.resend(ApiCall.objects.all())
    assert sorted((run.kind, run.total) for run in runs) == [("CUSTOMERS", 1), ("LISTS", 1)]


def test_resend_of_a_call_without_records_sends_nothing() -> None:
    assert services.resend([make_call(endpoint="LIST_READ")]) == []


def test_a_hand_made_customer_is_sent_when_it_is_saved(simulator: Any) -> None:
    customer = Customer(customer_id="ada", email="ada@example.com")
    services.save_edited(customer)
    drain()
    customer.refresh_from_db()
    assert (customer.state, simulator.customer(customer_id="ada")["email"]) == ("SYNCED", "ada@example.com")
    customer.firstname = "Ada"
    services.save_edited(customer)
    drain()
    assert simulator.customer(customer_id="ada")["firstname"] == "Ada"


def test_an_edit_does_not_undo_a_claim_made_meanwhile(simulator: Any) -> None:
    customer = make_customer(customer_id="ada")
    Customer.objects.update(state="SENDING", claim_token=uuid4(), claim_expires_at=timezone.now(), claimed_version=1)
    customer.firstname = "Ada"
    services.save_edited(customer)
    customer.refresh_from_db()
    assert (customer.state, customer.version, customer.firstname) == ("SENDING", 2, "Ada")
    assert customer.claim_token is not None


def test_a_customer_left_over_from_a_deleted_object_cannot_be_edited() -> None:
    customer = make_customer(source_type="shop.customer", source_id=None, state="EXCLUDED", due_at=None)
    with pytest.raises(BlueshiftSyncError, match="isn't sent any more"):
        services.save_edited(customer)


def test_a_row_that_a_source_owns_cannot_be_edited() -> None:
    customer = make_customer(source_type="shop.customer", source_id="1")
    with pytest.raises(BlueshiftSyncError, match=r"belongs to shop\.customer 1; change it there"):
        services.save_edited(customer)
