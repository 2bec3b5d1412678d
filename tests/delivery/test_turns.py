"""When calls leave: the rate limit, calls that are late, and the end of a drain and of a lease."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import django_rq
import pytest

from blueshift_sync.client import Exchange, HttpCall, connections
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.lease import Lease
from blueshift_sync.delivery.redis import account_key
from blueshift_sync.delivery.throttle import Turn
from blueshift_sync.models import ApiCall, Customer, RecordResult

from .backlog import make_customers, states

pytestmark = pytest.mark.django_db


def test_no_more_calls_than_allowed_in_any_second(blueshift: Any) -> None:
    make_customers(600)
    drain()
    assert states() == {"SYNCED": 600}
    assert len(blueshift.requests) == 12
    assert blueshift.calls_in_any_second() <= 5
    assert not ApiCall.objects.filter(status_code=429).exists()


def test_a_429_loses_nothing_and_is_nobodys_attempt(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    make_customers(2)
    unthrottled.fail("status", status=429, next=1)
    drain()
    assert states() == {"SYNCED": 2}


def test_at_a_slow_rate_each_drain_makes_the_call_whose_turn_has_come_and_leaves_the_others(
    unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn comes every 521 seconds, and no drain waits for longer than 30: the sweep starts another one.

    The turn has come before the call is stored and connected: it leaves all the same, for no other turn is near.
    """
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": 0.002}
    original = drain_module.open_calls

    def open_slowly(*args: Any) -> list[ApiCall]:
        time.sleep(0.1)
        return original(*args)

    monkeypatch.setattr(drain_module, "open_calls", open_slowly)
    make_customers(120)
    for sent in (0, 50, 100, 120):
        drain()
        assert Customer.objects.filter(state="SYNCED").count() == sent
        assert not Customer.objects.filter(state="SENDING").exists()
        time_passes(521)
    assert django_rq.get_queue("default").jobs == []
    assert not ApiCall.objects.exclude(state="SUCCEEDED").exists()


def time_passes(seconds: int) -> None:
    """The account's next turn comes so much earlier."""
    redis = django_rq.get_connection("default")
    turn, name = redis.get(account_key("throttle")).split()
    redis.set(account_key("throttle"), b"%d %s" % (int(turn) - seconds * 1_000_000, name))


def test_when_time_is_over_a_fresh_job_goes_on(unthrottled: Any) -> None:
    make_customers(60)
    drain(seconds=0)
    assert states() == {"PENDING": 60}
    assert [job.func_name for job in django_rq.get_queue("default").jobs] == ["blueshift_sync.tasks.drain"]


def test_a_call_that_is_held_up_takes_another_turn(blueshift: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads stand still past their turns: all at once then, their calls would be too many for one second."""
    make_customers(300)
    original = drain_module.Drain._send_at
    held_up = iter([0.7, 0.5, 0.3])

    def send_at(self: drain_module.Drain, turn: Turn, http_call: HttpCall, lease: Lease | None) -> Exchange:
        time.sleep(max(0.0, turn.moment + next(held_up, 0) - time.monotonic()))
        return original(self, turn, http_call, lease)

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


def test_more_calls_than_the_rate_takes_in_half_a_minute_end_no_drain(
    settings: Any, blueshift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a CONCURRENCY of 200, or a rate of one call in five seconds: some have no turn yet, nothing is paused."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1}
    monkeypatch.setattr(drain_module, "LONGEST_WAIT", 1.5)
    make_customers(10)
    drain()
    assert states() == {"SYNCED": 10}
