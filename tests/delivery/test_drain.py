"""From due records to Blueshift and back, over real sockets."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall, connections
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.lease import Lease
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SendingStop, SyncRun
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db

LONG_NAME = "x" * 65  # Blueshift takes 64 characters


def make_customers(count: int, **fields: Any) -> None:
    Customer.objects.bulk_create(
        Customer(customer_id=f"c{number}", email=f"c{number}@example.com", **fields) for number in range(count)
    )


def states() -> dict[str, int]:
    found = Customer.objects.values_list("state", flat=True)
    return {state: list(found).count(state) for state in sorted(set(found))}


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


def test_the_key_is_kept_nowhere(unthrottled: Any, caplog: pytest.LogCaptureFixture) -> None:
    make_customer()
    with caplog.at_level("DEBUG"):
        drain()
    stored = str(list(ApiCall.objects.values())) + caplog.text
    assert unthrottled.api_key not in stored
    assert "c2ltdWxhdG9yLWtleTo" not in stored  # base64 of "simulator-key:"
    assert ApiCall.objects.get().request_headers["Authorization"] == "Basic ***"


def test_bad_records_never_hold_up_the_good_ones(unthrottled: Any) -> None:
    make_customers(48)
    make_customer(customer_id="bad-1", firstname=LONG_NAME)
    make_customer(customer_id="bad-2", lastname=LONG_NAME)
    drain()
    assert states() == {"FAILED": 2, "SYNCED": 48}
    failed = Customer.objects.get(customer_id="bad-1")
    assert failed.error_code
    assert failed.error_message
    call = ApiCall.objects.get()
    assert (call.state, call.record_count, call.error_count) == ("PARTIAL", 50, 2)
    assert call.results.filter(outcome="REJECTED").count() == 2
    assert set(call.results.values_list("position", flat=True)) == set(range(50))
    run = SyncRun.objects.get()
    assert (run.state, run.accepted, run.rejected) == ("PARTIAL", 48, 2)


def test_a_refused_batch_is_halved_until_the_guilty_record_stands_alone(unthrottled: Any) -> None:
    make_customers(16)
    unthrottled.fail("status", status=400, endpoint="CUSTOMERS_BULK", next=1, apply=False)
    drain()
    assert states() == {"SYNCED": 16}
    assert list(ApiCall.objects.order_by("id").values_list("record_count", "state")) == [
        (16, "FAILED"),
        (8, "SUCCEEDED"),
        (8, "SUCCEEDED"),
    ]
    assert not Customer.objects.exclude(attempts=0).exists()


def test_an_unreadable_answer_is_unknown_and_the_records_go_one_by_one(unthrottled: Any) -> None:
    make_customers(3)
    unthrottled.fail("empty", next=1)
    drain()
    assert states() == {"SYNCED": 3}
    first, *others = ApiCall.objects.order_by("id")
    assert (first.state, first.record_count) == ("UNKNOWN", 3)
    assert [(call.state, call.record_count) for call in others] == [("SUCCEEDED", 1)] * 3
    assert RecordResult.objects.filter(call=first, outcome="UNKNOWN").count() == 3


@pytest.mark.parametrize(
    ("fault", "rule", "state", "outcome"),
    [
        ("reset", {}, "UNKNOWN", "UNKNOWN"),
        ("cut", {}, "UNKNOWN", "UNKNOWN"),
        ("html", {"status": 502}, "FAILED", "RETRY"),
        ("status", {"status": 503}, "FAILED", "RETRY"),
        ("status", {"status": 409}, "FAILED", "RETRY"),
    ],
)
def test_temporary_trouble_passes(unthrottled: Any, fault: str, rule: dict[str, Any], state: str, outcome: str) -> None:
    make_customers(2)
    unthrottled.fail(fault, next=1, **rule)
    drain()
    assert states() == {"SYNCED": 2}
    first, second = ApiCall.objects.order_by("id")
    assert (first.state, second.state, second.attempt) == (state, "SUCCEEDED", 2)
    assert set(first.results.values_list("outcome", flat=True)) == {outcome}
    assert first.error
    assert SyncRun.objects.get().state == "SUCCEEDED"


def test_after_max_attempts_a_record_is_failed_with_the_last_reason(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 3}
    make_customers(2)
    unthrottled.fail("reject", share=1, status=503)
    drain()
    assert states() == {"FAILED": 2}
    customer = Customer.objects.first()
    assert customer is not None
    assert customer.attempts == 3
    assert customer.error_message
    assert ApiCall.objects.count() == 3
    assert SyncRun.objects.get().state == "FAILED"


@pytest.mark.parametrize("fault", [("status", {"status": 503}), ("reset", {}), ("html", {"status": 502})])
def test_an_outage_uses_up_nobodys_attempts(unthrottled: Any, settings: Any, fault: tuple[str, Any]) -> None:
    # One attempt when the trouble begins, and one for a call that was still under way when it ended, are in order.
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 3}
    make_customers(120)
    kind, rule = fault
    unthrottled.fail(kind, next=60, **rule)
    drain()
    assert states() == {"SYNCED": 120}
    assert ApiCall.objects.exclude(state="SUCCEEDED").count() == 60


def test_a_record_that_breaks_the_api_ends_alone_and_failed(unthrottled: Any, settings: Any) -> None:
    """Each call that carries it gets a 500, and there is nothing else to send."""
    make_customers(40)
    make_customer(customer_id="poison")
    original = BlueshiftClient.send

    def send(client: BlueshiftClient, call: HttpCall, **options: Any) -> Exchange:
        return Exchange(status=500) if b"poison" in (call.body or b"") else original(client, call, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlueshiftClient, "send", send)
        drain()
    assert Customer.objects.get(customer_id="poison").state == "FAILED"
    assert Customer.objects.filter(state="FAILED").count() == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_sending_and_fails_nobody(unthrottled: Any, status: int) -> None:
    make_customers(120)
    unthrottled.fail("status", status=status)
    drain()
    assert states() == {"PENDING": 120}
    assert not Customer.objects.exclude(attempts=0).exists()
    stop = SendingStop.objects.get()
    assert stop.reason.endswith(".")
    calls = len(unthrottled.requests)
    assert calls <= 3
    drain()  # stopped, and no probe is due yet
    assert ApiCall.objects.count() == len(unthrottled.requests) == calls


def test_a_probe_finds_out_when_the_key_is_good_again(unthrottled: Any) -> None:
    make_customers(2)
    unthrottled.fail("status", status=401, next=2)
    drain()
    SendingStop.objects.update(probe_at=timezone.now())
    drain()  # the probe is refused as well
    stop = SendingStop.objects.get()
    assert (stop.probes, stop.probe_at > timezone.now() + timedelta(seconds=100)) == (1, True)
    SendingStop.objects.update(probe_at=timezone.now())
    drain()
    assert states() == {"SYNCED": 2}
    assert not SendingStop.objects.exists()
    assert [call.endpoint for call in ApiCall.objects.order_by("pk")] == [
        "CUSTOMERS_BULK",
        "CUSTOMER_FIND",
        "CUSTOMER_FIND",
        "CUSTOMERS_BULK",
    ]


def test_with_a_new_key_sending_goes_on_at_once(unthrottled: Any, settings: Any) -> None:
    unthrottled.scenario(api_keys=["old-key-no-more"])
    make_customers(2)
    drain()
    assert states() == {"PENDING": 2}
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": "old-key-no-more"}
    drain()
    assert states() == {"SYNCED": 2}


def test_nothing_is_sent_when_sending_is_off(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    make_customers(1)
    drain()
    assert (states(), unthrottled.requests) == ({"PENDING": 1}, [])


def test_no_more_calls_than_allowed_in_any_second(blueshift: Any) -> None:
    make_customers(600)
    drain()
    assert states() == {"SYNCED": 600}
    assert len(blueshift.requests) == 12
    assert blueshift.calls_in_any_second() <= 5
    assert not ApiCall.objects.filter(status_code=429).exists()


def test_a_429_slows_down_and_loses_nothing(unthrottled: Any) -> None:
    make_customers(2)
    unthrottled.fail("status", status=429, next=1)
    drain()
    assert states() == {"SYNCED": 2}
    assert not Customer.objects.exclude(attempts=0).exists()


def test_when_time_is_over_a_fresh_job_goes_on(unthrottled: Any) -> None:
    import django_rq

    make_customers(60)
    drain(seconds=0)
    assert states() == {"PENDING": 60}
    assert [job.func_name for job in django_rq.get_queue("default").jobs] == ["blueshift_sync.tasks.drain"]


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


def test_a_call_that_is_held_up_takes_another_turn(blueshift: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads stand still past their turns: all at once then, their calls would be too many for one second."""
    make_customers(300)
    original = drain_module.Drain._send_at
    held_up = iter([0.7, 0.5, 0.3])

    def send_at(self: drain_module.Drain, moment: float, http_call: HttpCall, lease: Lease | None) -> Exchange:
        time.sleep(max(0.0, moment + next(held_up, 0) - time.monotonic()))
        return original(self, moment, http_call, lease)

    monkeypatch.setattr(drain_module.Drain, "_send_at", send_at)
    drain()
    assert states() == {"SYNCED": 300}
    assert blueshift.calls_in_any_second() <= 5
    assert len(blueshift.requests) == ApiCall.objects.count() == 6


def test_connections_that_take_their_time_are_made_before_the_turn(
    blueshift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those with TLS do. Made after the turn, a thread's first call would come late, and the next one too soon."""
    make_customers(400)
    original = connections._WatchedConnection.connect

    def connect(self: connections._WatchedConnection) -> None:
        time.sleep(0.15)
        original(self)

    monkeypatch.setattr(connections._WatchedConnection, "connect", connect)
    drain()
    assert states() == {"SYNCED": 400}
    assert blueshift.calls_in_any_second() <= 5
    moments = [request.arrived_at for request in blueshift.requests]
    assert min(later - earlier for earlier, later in pairwise(moments)) > 0.1


def test_after_its_lease_a_worker_sends_nothing(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_customers(100)
    over = iter([True])
    monkeypatch.setattr(Lease, "is_over", property(lambda lease: next(over, False)))
    monkeypatch.setattr(drain_module, "note_trouble", lambda batch: pytest.fail("It wasn't Blueshift's fault."))
    drain()
    held_back = ApiCall.objects.get(error_code="lease_over")
    assert (held_back.state, held_back.status_code, held_back.record_count) == ("FAILED", None, 50)
    assert set(held_back.results.values_list("outcome", "code")) == {("RETRY", "lease_over")}
    assert states() == {"SYNCED": 100}
    assert len(unthrottled.requests) == 2
    assert not RecordResult.objects.exclude(call=held_back).exclude(outcome="ACCEPTED").exists()


def test_an_outage_leaves_the_batches_whole(settings: Any, blueshift: Any) -> None:
    """Nobody listens: recovering must not take more calls than the backlog needs."""
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "BASE_URL": "http://127.0.0.1:9",
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
    }
    make_customers(200)
    drain(seconds=3)
    assert ApiCall.objects.filter(state="FAILED").count() > 4
    assert not Customer.objects.exclude(batch_limit=None).exists()
    assert not Customer.objects.exclude(attempts=0).exists()


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
    customer_list.refresh_from_db()
    customer_list.status = "DELETED"
    customer_list.save()
    sweep()
    assert set(ListMembership.objects.values_list("error_code", flat=True)) == {"list_deleted"}


def test_more_calls_than_the_rate_takes_in_half_a_minute_end_no_drain(
    settings: Any, blueshift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a CONCURRENCY of 200, or a rate of one call in five seconds: some have no turn yet, nothing is paused."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1}
    monkeypatch.setattr(drain_module, "LONGEST_WAIT", 1.0)
    make_customers(10)
    drain()
    assert states() == {"SYNCED": 10}


def test_a_record_that_cannot_be_written_as_json_holds_up_nobody(unthrottled: Any) -> None:
    """No source makes one, but any code may save a row. Its group of calls stays claimed, again after each lease."""
    make_customers(3)
    make_customer(customer_id="poison", attributes=["not", "an", "object"])
    drain()
    assert states() == {"FAILED": 1, "SYNCED": 3}
