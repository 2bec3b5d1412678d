"""What the sweep writes down for pages: that it ran, and how many records are in which state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rq import Worker
from rq.suspension import suspend

from blueshift_sync import tasks
from blueshift_sync.delivery import state_counts
from blueshift_sync.delivery.figures import last_sweep, note_sweep
from blueshift_sync.delivery.redis import account_key
from blueshift_sync.delivery.state_counts import Number, count_states, state_numbers
from blueshift_sync.delivery.throttle import pause_calls
from blueshift_sync.delivery.workers import Workers, workers
from blueshift_sync.exceptions import RedisUnavailable
from blueshift_sync.models import CallSum, Customer, CustomerRemoval, ListMembership, StateCount, SweepRecord
from project.embedded_redis import EmbeddedRedis
from tests.factories import make_call, make_customer, make_membership, make_removal
from tests.redis_trouble import Trouble, in_trouble

pytestmark = pytest.mark.django_db


# That the sweep ran


@pytest.mark.parametrize("run", [tasks.sweep, lambda: call_command("blueshift_sweep")], ids=["job", "command"])
def test_a_sweep_leaves_its_time_and_the_numbers(run: Any) -> None:
    assert last_sweep() is None
    make_call(started_at=timezone.now() - timedelta(hours=1))
    make_customer()
    run()
    ended = last_sweep()
    assert ended
    assert timezone.now() - ended < timedelta(minutes=1)
    assert CallSum.objects.get().calls == 1
    assert StateCount.objects.get(of="blueshift_sync.customer").counts["waiting"] == 1


def test_the_time_of_the_sweep_is_one_row_that_is_seldom_written() -> None:
    now = timezone.now()
    for seconds in (0, 1, 4):
        note_sweep(now + timedelta(seconds=seconds))
    assert last_sweep() == now
    note_sweep(now + timedelta(seconds=6))
    assert last_sweep() == now + timedelta(seconds=6)
    assert SweepRecord.objects.count() == 1


def test_a_time_that_lies_ahead_isnt_believed() -> None:
    now = timezone.now()
    note_sweep(now + timedelta(days=1))
    note_sweep(now)
    assert last_sweep() == now


# How many records are in which state


def test_few_records_are_counted_as_they_are() -> None:
    for _ in range(3):
        make_customer(state="SYNCED", due_at=None)
    make_customer(state="FAILED", due_at=None)
    make_customer(state="SENDING")
    make_customer(state="EXCLUDED", due_at=None)
    make_membership(customer=make_customer(), due_at=None)
    make_removal(customer=None)
    customers, memberships, removals = state_numbers([Customer, ListMembership, CustomerRemoval])
    assert {name: number.value for name, number in customers.numbers.items()} == {
        "in_step": 3,
        "waiting": 1,
        "parked": 0,
        "sending": 1,
        "failed": 1,
        "excluded": 1,
    }
    assert all(number.is_exact for number in customers.numbers.values())
    assert memberships.numbers["parked"].value == 1
    assert removals.numbers["waiting"].value == 1
    assert state_numbers([]) == []


def test_the_oldest_that_waits_isnt_the_one_that_is_due_first() -> None:
    now = timezone.now()
    make_customer(due_at=now, waiting_since=now)
    make_customer(due_at=now + timedelta(hours=1), waiting_since=now - timedelta(hours=2))
    make_customer(state="FAILED", due_at=None, waiting_since=now - timedelta(days=1))
    [customers] = state_numbers([Customer])
    assert customers.oldest == now - timedelta(hours=2)


def test_many_records_are_told_as_the_sweep_counted_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_counts, "BOUND", 3)
    for _ in range(5):
        make_customer()
    [customers] = state_numbers([Customer])
    assert customers.numbers["waiting"] == Number(3, is_exact=False)
    count_states([Customer])
    [customers] = state_numbers([Customer])
    counted_at = StateCount.objects.get().counted_at
    assert customers.numbers["waiting"] == Number(5, is_exact=False, counted_at=counted_at)
    assert customers.numbers["failed"] == Number(0)
    StateCount.objects.update(counts={"waiting": 2})  # there were fewer when they were counted
    [customers] = state_numbers([Customer])
    assert customers.numbers["waiting"] == Number(3, is_exact=False)


def test_a_count_that_took_long_isnt_soon_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 7.0])
    monkeypatch.setattr(state_counts, "monotonic", lambda: next(clock))
    count_states([Customer])
    row = StateCount.objects.get()
    assert row.counted_at
    assert row.due_at - row.counted_at == timedelta(seconds=700)


def test_of_several_sweeps_one_counts() -> None:
    count_states([Customer])
    with CaptureQueriesContext(connection) as queries:
        count_states([Customer])
    assert not any("blueshift_sync_customer" in query["sql"].replace('"', "`") for query in queries)
    assert StateCount.objects.count() == 1


def test_a_count_that_was_given_up_is_begun_anew() -> None:
    make_customer()
    count_states([Customer])
    StateCount.objects.update(counts={}, counted_at=None)
    count_states([Customer])
    assert StateCount.objects.get().counts == {}
    StateCount.objects.update(due_at=timezone.now())
    count_states([Customer])
    assert StateCount.objects.get().counts["waiting"] == 1


# Workers


def test_workers_of_the_queue_are_counted_while_they_live() -> None:
    assert workers() == Workers()
    queue = django_rq.get_queue("default")
    idle, busy = (Worker([queue], connection=queue.connection, name=name) for name in ("idle", "busy"))
    for worker in (idle, busy):
        worker.register_birth()
    busy.set_state("busy")
    assert workers() == Workers(alive=2, busy=1)
    queue.connection.delete(busy.key)  # it was killed, and its key has run out
    assert workers() == Workers(alive=1)
    idle.register_death()
    assert workers() == Workers()


def test_suspended_workers_pauses_and_failures_are_told() -> None:
    connection = django_rq.get_connection("default")
    suspend(connection)
    pause_calls(30)
    connection.set(account_key("failures"), 7)
    found = workers()
    assert found.are_suspended
    assert 25 < found.paused_seconds <= 30
    assert found.failures == 7


@pytest.mark.parametrize("trouble", [Trouble.STOPPED, Trouble.SLOW])
def test_redis_away_is_an_error_of_ours(own_redis: EmbeddedRedis, trouble: Trouble) -> None:
    with in_trouble(own_redis, trouble), pytest.raises(RedisUnavailable):
        workers()


def test_a_queue_that_isnt_there_is_named(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "QUEUE": "nowhere"}
    with pytest.raises(RedisUnavailable, match="nowhere"):
        workers()
