"""How long trouble keeps a record, or everybody, from being sent."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync.client import Answer, BlueshiftClient, CallOutcome, Exchange, HttpCall
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery import health, policy, settle
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.stop import stop_sending
from blueshift_sync.models import ApiCall, Customer

from .backlog import make_customers, states


@pytest.fixture
def ceilings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all delays that could be drawn, the longest is."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "BACKOFF_SECONDS": (3, 50), "CONCURRENCY": 4}

    def longest(low: float, high: float) -> float:
        assert low == 0  # full jitter
        return high

    for module in (policy, health):
        monkeypatch.setattr(module.random, "uniform", longest)


@pytest.mark.usefixtures("ceilings")
def test_a_records_delays_double_from_the_first_one_to_the_cap() -> None:
    assert [policy.backoff_seconds(attempts) for attempts in (1, 2, 3, 5, 6, 10_000)] == [3, 6, 12, 48, 50, 50]


@pytest.mark.usefixtures("ceilings")
def test_in_an_outage_the_pauses_double_with_each_round_of_calls() -> None:
    """There are four calls in a round; a minute is the longest pause."""
    assert [health.outage_pause(failures) for failures in (1, 3, 4, 8, 12, 16, 20, 10_000)] == [
        3, 3, 6, 12, 24, 48, 60, 60,
    ]  # fmt: skip


@pytest.mark.django_db
def test_the_next_attempt_is_kept_in_the_database(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "backoff_seconds", lambda attempts: 100.0 * attempts)
    make_customers(1)
    unthrottled.fail("status", status=409)
    for attempt in (1, 2):
        began = timezone.now()
        Customer.objects.update(due_at=began)
        drain()
        delay = Customer.objects.get().due_at - began
        assert timedelta(seconds=100 * attempt) <= delay < timedelta(seconds=100 * attempt + 60)
    assert ApiCall.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("headers", "pause"), [({}, 1), ({"Retry-After": "2"}, 2)])
def test_after_a_429_nobody_calls_for_a_second_or_as_long_as_blueshift_says(
    unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], pause: float
) -> None:
    """Those of other calls weren't refused anything, and wait as well."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1, "CONCURRENCY": 1}
    original = BlueshiftClient.send
    answered_at: list[float] = []

    def send(client: BlueshiftClient, call: HttpCall, **options: Any) -> Exchange:
        exchange = original(client, call, **options) if answered_at else Exchange(status=429, headers=headers)
        answered_at.append(time.monotonic())
        return exchange

    monkeypatch.setattr(BlueshiftClient, "send", send)
    make_customers(2)
    drain()
    assert states() == {"SYNCED": 2}
    refused_at, sent_at, _ = answered_at
    assert sent_at - refused_at >= pause


@pytest.mark.django_db
def test_in_an_outage_everybody_pauses(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(drain_module, "pause_calls", pauses.append)
    monkeypatch.setattr(drain_module, "outage_pause", lambda failures: 1000.0 + failures)
    make_customers(120)
    unthrottled.fail("status", status=503, next=6)
    drain()
    assert states() == {"SYNCED": 120}
    assert pauses
    assert pauses == sorted(set(pauses))


@pytest.mark.django_db
def test_a_stop_that_another_worker_found_is_heeded(
    unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1, "CONCURRENCY": 1}
    monkeypatch.setattr(drain_module, "STOP_LOOK", 0.0)
    make_customers(10)

    def another_is_refused() -> bool:
        if ApiCall.objects.count() == 2:
            stop_sending(Answer(CallOutcome.UNAUTHORIZED, (), "unauthorized", "The key is refused."))
        return False

    drain(asked_to_stop=another_is_refused)
    assert states() == {"PENDING": 8, "SYNCED": 2}
