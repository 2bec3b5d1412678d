"""From due records to Blueshift and back, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership, SyncRun
from tests.factories import make_customer, make_list, make_membership

from .backlog import make_customers, states

pytestmark = pytest.mark.django_db


def test_everything_due_arrives_in_full_batches(unthrottled: Any) -> None:
    make_customers(120)
    drain()
    assert states() == {"SYNCED": 120}
    assert {customer["customer_id"] for customer in unthrottled.customers} == {f"c{number}" for number in range(120)}
    assert sorted(ApiCall.objects.values_list("record_count", flat=True)) == [20, 50, 50]
    run = SyncRun.objects.get()
    assert (run.state, run.total, run.accepted, run.rejected, run.calls_made) == ("SUCCEEDED", 120, 120, 0, 3)


def test_a_customer_is_sent_as_the_mirror_has_it(unthrottled: Any) -> None:
    make_customer(
        customer_id="ada",
        email="Ada@Example.com",
        firstname="Ada",
        lastname="",
        attributes={"plan": "gold", "spent": 12.5, "vip": False, "note": None},
        subscription_groups=[{"id": "sg-news", "subscribed": True}],
    )
    drain()
    (request,) = unthrottled.requests
    assert request.json == {
        "customers": [
            {
                "customer_id": "ada",
                "email": "Ada@Example.com",
                "firstname": "Ada",
                "lastname": "",
                "plan": "gold",
                "spent": 12.5,
                "vip": False,
                "note": None,
                "subscription_groups": [{"id": "sg-news", "subscribed": True}],
            }
        ]
    }


def test_the_audit_holds_what_went_over_the_wire(unthrottled: Any) -> None:
    make_customer(customer_id="ada")
    drain()
    (request,) = unthrottled.requests
    call = ApiCall.objects.get()
    assert (call.method, call.request_body) == (request.method, request.body)
    assert (call.status_code, call.request_id) == (request.status, request.request_id)
    assert json.loads(call.response_body) == {"customers": [], "errors": []}
    assert (call.state, call.attempt, call.record_count, call.error_count) == ("SUCCEEDED", 1, 1, 0)
    assert call.duration_ms is not None
    assert call.response_headers["x-request-id"] == request.request_id


@pytest.mark.django_db(transaction=True)
def test_each_call_is_committed_before_it_leaves_and_its_thread_needs_no_database(
    unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = BlueshiftClient.send
    committed: list[int] = []
    connected: list[bool] = []

    def send(client: BlueshiftClient, call: HttpCall, *, before_leaving: Callable[[], None]) -> Exchange:
        def look() -> None:
            before_leaving()
            connected.append(connection.connection is not None)
            committed.append(ApiCall.objects.filter(state="OPEN", request_body=(call.body or b"").decode()).count())
            connection.close()

        return original(client, call, before_leaving=look)

    monkeypatch.setattr(BlueshiftClient, "send", send)
    make_customers(120)
    drain()
    assert committed == [1, 1, 1]
    assert connected == [False, False, False]


def test_a_drain_frees_what_a_dead_worker_held(unthrottled: Any) -> None:
    dead = timezone.now() - timedelta(seconds=1)
    make_customer(state="SENDING", claim_token=uuid4(), claimed_version=1, claim_expires_at=dead)
    drain()
    assert states() == {"SYNCED": 1}


def test_the_key_is_kept_nowhere(unthrottled: Any, caplog: pytest.LogCaptureFixture) -> None:
    make_customer()
    with caplog.at_level("DEBUG"):
        drain()
    stored = str(list(ApiCall.objects.values())) + caplog.text
    assert unthrottled.api_key not in stored
    assert "c2ltdWxhdG9yLWtleTo" not in stored  # base64 of "simulator-key:"
    assert ApiCall.objects.get().request_headers["Authorization"] == "Basic ***"


def test_nothing_is_sent_when_sending_is_off(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    make_customers(1)
    drain()
    assert (states(), unthrottled.requests) == ({"PENDING": 1}, [])


@pytest.mark.parametrize(("limit", "claimed"), [(None, 4), (1000, 2)])
def test_only_without_a_limit_the_next_calls_are_claimed_early_and_given_back_in_the_end(
    unthrottled: Any, settings: Any, limit: int | None, claimed: int
) -> None:
    ours = {"CALLS_PER_SECOND": limit, "CONCURRENCY": 2, "CUSTOMERS_PER_CALL": 1}
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, **ours}
    make_customers(10)
    drain(asked_to_stop=lambda: ApiCall.objects.count() == 2)
    assert states() == {"PENDING": 8, "SYNCED": 2}
    assert len(unthrottled.requests) == 2
    assert SyncRun.objects.get().total == claimed


@pytest.mark.parametrize(("by_name", "sent"), [(True, 2), (False, 8)])
def test_what_was_claimed_early_stays_here_when_its_run_is_cancelled(
    unthrottled: Any, settings: Any, by_name: bool, sent: int
) -> None:
    """The run holds all ten where they were asked for by name, else those that its drain has claimed so far."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 2, "CUSTOMERS_PER_CALL": 1}
    make_customers(10)
    if by_name:
        services.push(Customer.objects.all())
    runs: list[SyncRun] = []

    def cancel_what_was_claimed_early() -> bool:
        opened = ApiCall.objects.values_list("claim_token", flat=True)
        claimed_early = Customer.objects.filter(state="SENDING").exclude(claim_token__in=list(opened))
        if claimed_early.count() == 2 and not runs:
            runs.append(services.cancel(SyncRun.objects.get()))
        return False

    drain(asked_to_stop=cancel_what_was_claimed_early)
    (run,) = runs
    run.refresh_from_db()
    assert (run.state, run.calls_made, run.accepted, ApiCall.objects.filter(run=run).count()) == ("CANCELLED", 2, 2, 2)
    assert len(unthrottled.requests) == sent
    assert states() == {"SYNCED": sent, "FAILED": 10 - sent}
    assert set(Customer.objects.filter(state="FAILED").values_list("error_code", flat=True)) == {"cancelled"}


def test_what_was_claimed_early_stays_here_when_it_is_excluded(unthrottled: Any, settings: Any) -> None:
    """Each call carries two of them; whoever was to go with somebody who was excluded goes without."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 2, "CUSTOMERS_PER_CALL": 2}
    make_customers(12)
    pushed = services.push(Customer.objects.all())
    excluded: list[str] = []

    def exclude_one_of_those_claimed_early() -> bool:
        opened = ApiCall.objects.values_list("claim_token", flat=True)
        claimed_early = Customer.objects.filter(state="SENDING").exclude(claim_token__in=list(opened)).order_by("pk")
        if claimed_early.count() == 4 and not excluded:
            one = claimed_early[0]
            services.exclude(services.Selection.of([one], Customer))
            excluded.append(one.customer_id)
        return False

    drain(asked_to_stop=exclude_one_of_those_claimed_early)
    assert states() == {"EXCLUDED": 1, "SYNCED": 11}
    sent = [customer["customer_id"] for request in unthrottled.requests for customer in request.json["customers"]]
    assert sorted([*sent, *excluded]) == sorted(f"c{number}" for number in range(12))
    pushed.refresh_from_db()
    assert (pushed.state, pushed.total, pushed.accepted) == ("SUCCEEDED", 12, 11)


def test_a_run_of_which_all_was_excluded_after_it_was_claimed_early_ends(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 1, "CUSTOMERS_PER_CALL": 1}
    make_customers(1)
    last = make_customer(customer_id="last")
    run = services.push([last])

    def exclude_the_last() -> bool:
        if ApiCall.objects.exists() and Customer.objects.filter(pk=last.pk, state="SENDING", error_code="").exists():
            services.exclude(services.Selection.of([last], Customer))
        return False

    drain(asked_to_stop=exclude_the_last)
    assert states() == {"EXCLUDED": 1, "SYNCED": 1}
    run.refresh_from_db()
    assert (run.state, run.calls_made) == ("SUCCEEDED", 0)


def test_the_calls_of_other_runs_go_on_when_one_is_cancelled(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 4, "CUSTOMERS_PER_CALL": 1}
    make_customers(4)
    first, second = Customer.objects.order_by("pk")[:2]
    cancelled = services.push(Customer.objects.filter(pk__in=[first.pk]))
    wanted = services.push(Customer.objects.filter(pk__in=[second.pk]))
    # As if a worker had claimed before it was cancelled.
    SyncRun.objects.filter(pk=cancelled.pk).update(cancel_requested_at=timezone.now())
    drain()
    for run in (cancelled, wanted):
        run.refresh_from_db()
    assert (cancelled.state, cancelled.calls_made, wanted.state) == ("CANCELLED", 0, "SUCCEEDED")
    assert states() == {"SYNCED": 3, "FAILED": 1}
    assert len(unthrottled.requests) == 3


def test_memberships_follow_their_customers(unthrottled: Any) -> None:
    unthrottled.create_list(7, source="customer_id")
    customer_list = make_list(list_id=7, identifier_key="")
    for number in range(3):
        make_membership(customer_list=customer_list, customer=make_customer(customer_id=f"c{number}"))
    drain()
    assert sorted(unthrottled.members(7)) == ["c0", "c1", "c2"]
    membership = ListMembership.objects.first()
    assert membership is not None
    assert (membership.state, membership.synced_is_member) == ("SYNCED", True)
    customer_list.refresh_from_db()
    assert (customer_list.identifier_key, customer_list.name) == ("customer_id", "List 7")
    kinds = SyncRun.objects.values_list("kind", "state", "total", "accepted")
    assert set(kinds) == {("CUSTOMERS", "SUCCEEDED", 3, 3), ("LISTS", "SUCCEEDED", 3, 3)}


@pytest.mark.parametrize(
    ("status", "ours", "code"), [("deleted", "DELETED", "list_deleted"), ("old", "UNSUPPORTED", "list_unsupported")]
)
def test_a_lists_own_trouble_stops_that_list_alone(unthrottled: Any, status: str, ours: str, code: str) -> None:
    unthrottled.create_list(7, source="email", status=status)
    unthrottled.create_list(8, source="email")
    broken, sound = make_list(list_id=7), make_list(list_id=8)
    customer = make_customer(email="ada@example.com")
    stuck = make_membership(customer_list=broken, customer=customer)
    make_membership(customer_list=sound, customer=customer)
    drain()
    assert unthrottled.members(8) == ["ada@example.com"]
    broken.refresh_from_db()
    stuck.refresh_from_db()
    assert (broken.status, broken.error_code, stuck.state, stuck.due_at) == (ours, code, "PENDING", None)
    assert stuck.error_message == broken.error_message


def test_a_membership_that_lacked_its_identifier_follows_once_the_customer_has_it(unthrottled: Any) -> None:
    unthrottled.create_list(7, source="email")
    membership = make_membership(customer=make_customer(email=""), customer_list=make_list(list_id=7))
    drain()
    membership.refresh_from_db()
    assert (membership.state, membership.error_code) == ("FAILED", "identifier_missing")
    customer = membership.customer
    customer.email = "ada@example.com"
    services.save_edited(customer)
    drain()
    assert unthrottled.members(7) == ["ada@example.com"]


@pytest.mark.parametrize("moved_before", [False, True])
def test_a_removal_goes_by_the_address_that_blueshift_knows(unthrottled: Any, moved_before: bool) -> None:
    unthrottled.create_list(7, source="email")
    customer = make_customer(customer_id="ada", email="ada@example.com")
    membership = make_membership(customer=customer, customer_list=make_list(list_id=7))
    drain()
    if moved_before:
        move(customer, "lovelace@example.com")
    unthrottled.fail("reject", customers="ada")
    move(customer, "refused@example.com")
    assert Customer.objects.get().state == "FAILED"
    membership.refresh_from_db()
    membership.set_member(False, due_at=timezone.now())
    membership.save()
    drain()
    assert unthrottled.members(7) == []


def move(customer: Customer, email: str) -> None:
    customer.refresh_from_db()
    customer.email = email
    services.save_edited(customer)
    drain()


def test_runs_end_without_the_memberships_that_have_to_wait(unthrottled: Any) -> None:
    customer_list, customer = make_list(list_id=7), make_customer(state="EXCLUDED", error_code="excluded", due_at=None)
    asked_for = services.add_to_list(customer_list, [customer])
    make_membership(customer=make_customer(state="FAILED", due_at=None), customer_list=customer_list)
    drain()
    sweep()
    asked_for.refresh_from_db()
    assert (asked_for.state, asked_for.total, asked_for.accepted) == ("PARTIAL", 1, 0)
    assert asked_for.error.startswith("Some memberships wait")
    by_itself = SyncRun.objects.get(trigger="SIGNAL", kind="LISTS")
    assert (by_itself.state, by_itself.total) == ("SUCCEEDED", 0)


def test_a_parked_membership_says_what_it_waits_for_now(unthrottled: Any) -> None:
    unthrottled.create_list(7, source="email")
    customer_list = make_list(list_id=7, identifier_key="")
    reasons = {
        state: make_membership(customer=make_customer(state=state, due_at=None), customer_list=customer_list)
        for state in ("FAILED", "EXCLUDED")
    }
    drain()
    sweep()
    for membership in reasons.values():
        membership.refresh_from_db()
    assert {state: membership.error_code for state, membership in reasons.items()} == {
        "FAILED": "customer_failed",
        "EXCLUDED": "customer_excluded",
    }
    unthrottled.create_list(7, source="email", status="deleted")
    services.read_list(customer_list)
    drain()
    sweep()
    assert set(ListMembership.objects.values_list("error_code", flat=True)) == {"list_deleted"}
