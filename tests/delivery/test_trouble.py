"""Trouble with records, batches, the API and the key: what goes again, what is failed, and what stops everything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, RecordResult, SendingStop, SyncRun
from tests.factories import make_customer

from .backlog import make_customers, states

pytestmark = pytest.mark.django_db

LONG_NAME = "x" * 65  # Blueshift takes 64 characters


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
    assert (call.state, call.record_count, call.error_count, call.rejected_count) == ("PARTIAL", 50, 2, 2)
    assert call.results.filter(outcome="REJECTED").count() == 2
    assert set(call.results.values_list("position", flat=True)) == set(range(50))
    run = SyncRun.objects.get()
    assert (run.state, run.accepted, run.rejected) == ("PARTIAL", 48, 2)


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_batch_is_halved_and_that_is_nobodys_attempt(unthrottled: Any, settings: Any, status: int) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    make_customers(16)
    unthrottled.fail("status", status=status, endpoint="CUSTOMERS_BULK", next=1, apply=False)
    drain()
    assert states() == {"SYNCED": 16}
    assert list(ApiCall.objects.order_by("id").values_list("record_count", "state")) == [
        (16, "FAILED"),
        (8, "SUCCEEDED"),
        (8, "SUCCEEDED"),
    ]


def test_halving_goes_on_until_the_guilty_record_stands_alone(
    unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    make_customers(15)
    make_customer(customer_id="guilty")
    original = BlueshiftClient.send

    def send(client: BlueshiftClient, call: HttpCall, **options: Any) -> Exchange:
        return Exchange(status=400) if b"guilty" in (call.body or b"") else original(client, call, **options)

    monkeypatch.setattr(BlueshiftClient, "send", send)
    drain()
    assert states() == {"FAILED": 1, "SYNCED": 15}
    assert Customer.objects.get(state="FAILED").customer_id == "guilty"
    refused = ApiCall.objects.filter(status_code=400).order_by("pk").values_list("record_count", flat=True)
    assert list(refused) == [16, 8, 4, 2, 1]


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


def test_a_record_that_cannot_be_written_as_json_holds_up_nobody(unthrottled: Any) -> None:
    """No source makes one, but any code may save a row. Its group of calls stays claimed, again after each lease."""
    make_customers(3)
    make_customer(customer_id="poison", attributes=["not", "an", "object"])
    drain()
    assert states() == {"FAILED": 1, "SYNCED": 3}
