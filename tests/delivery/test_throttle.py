"""The rate limit, against a real Redis."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import django_rq
import pytest
from redis import Redis

from blueshift_sync import services
from blueshift_sync.client import HeldBack
from blueshift_sync.delivery import redis as app_redis
from blueshift_sync.delivery.redis import account_key
from blueshift_sync.delivery.throttle import Turn, pause_calls, reserve_call, reserve_calls, wait_for_turn
from blueshift_sync.exceptions import BlueshiftSyncError, RedisUnavailable
from project.embedded_redis import EmbeddedRedis
from tests.redis_trouble import Trouble, in_trouble


def delay() -> float:
    """How long the next call has to wait for its turn."""
    turn = reserve_call(60)
    assert turn is not None
    return turn.delay


def test_calls_are_spaced_evenly_and_without_burst() -> None:
    pause_calls(10)
    turns = []
    for _ in range(10):
        reserve_call(60)
        turn, _name = django_rq.get_connection("default").get(account_key("throttle")).split()
        turns.append(int(turn))
    # In microseconds: 5 calls a second, of which 96 % are used.
    assert {later - earlier for earlier, later in pairwise(turns)} <= {208333}


def test_a_turn_that_is_too_far_away_is_not_taken() -> None:
    pause_calls(10)
    assert reserve_call(1) is None
    assert 9 < delay() <= 10


def test_a_pause_never_shortens_what_is_reserved() -> None:
    pause_calls(10)
    pause_calls(1)
    assert delay() > 9


def test_without_a_limit_nobody_waits_but_a_pause_still_counts(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    assert [delay() for _ in range(5)] == [0, 0, 0, 0, 0]
    pause_calls(10)
    assert delay() > 9


def test_two_accounts_dont_share_a_limit(settings: Any) -> None:
    pause_calls(10)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": "another"}
    assert delay() < 2


def test_the_key_cannot_be_read_from_redis(settings: Any) -> None:
    reserve_call(1)
    keys = django_rq.get_connection("default").keys("*")
    assert keys
    assert not [key for key in keys if settings.BLUESHIFT_SYNC["API_KEY"].encode() in key]


def test_without_redis_no_call_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.throttle.redis_connection", lambda: Redis(port=9))
    with pytest.raises(RedisUnavailable):
        reserve_call(1)
    assert app_redis.redis_connection().keys("*") == []


@pytest.mark.django_db
def test_a_check_of_the_key_takes_its_turn_like_any_call(blueshift: Any) -> None:
    for _ in range(5):
        reserve_call(60)
    began = time.monotonic()
    services.check_key()
    assert time.monotonic() - began > 0.9


@pytest.mark.django_db
def test_a_check_of_the_key_says_that_sending_is_paused(blueshift: Any) -> None:
    pause_calls(60)
    with pytest.raises(BlueshiftSyncError, match="Sending was paused"):
        services.check_key()
    assert blueshift.requests == []


def test_a_pause_holds_back_calls_that_have_their_turns_already() -> None:
    """After a 429 with a Retry-After of a minute, all that had been reserved would leave nevertheless."""
    *_, turn = reserve_calls(3, 10)
    pause_calls(60)
    with pytest.raises(HeldBack):
        wait_for_turn(turn)


# Redis loses the clock

#: Seconds in which no more than five calls may leave; of the whole second, some is left to a busy machine.
WINDOW = 0.9


def leave(calls: int) -> list[float]:
    """What a worker does: takes turns for several calls at once, and lets them go. Returns when each left."""
    moments: list[float] = []
    while len(moments) < calls:
        turns: list[Turn] = []
        with suppress(RedisUnavailable):
            turns = reserve_calls(8, 30)
        for turn in turns:
            with suppress(HeldBack):
                wait_for_turn(turn)
                moments.append(time.monotonic())
    return moments


def most_in_a_window(moments: list[float]) -> int:
    return max(sum(begin <= moment < begin + WINDOW for moment in moments) for begin in moments)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_flushed_redis_lets_no_workers_call_at_once() -> None:
    """Each has turns of its own that it was granted before, and none knows those of the others."""
    redis = django_rq.get_connection("default")
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as workers:
        leaving = [workers.submit(leave, 16) for _ in range(2)]
        for _ in range(2):
            time.sleep(1.5)
            redis.flushdb()
        moments = [moment for each in leaving for moment in each.result()]
    assert len(moments) == 32
    assert most_in_a_window(moments) <= 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_redis_that_comes_back_with_an_old_clock_lets_no_workers_call_at_once(own_redis: EmbeddedRedis) -> None:
    """After a crash it has a snapshot, from before the turns were granted that the workers still hold."""
    redis = django_rq.get_connection("default")
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as workers:
        reserve_call(30)
        redis.save()
        leaving = [workers.submit(leave, 16) for _ in range(2)]
        time.sleep(1.3)
        with in_trouble(own_redis, Trouble.STOPPED):
            pass
        moments = [moment for each in leaving for moment in each.result()]
    assert most_in_a_window(moments) <= 5


def test_a_turn_by_a_lost_clock_is_worth_nothing() -> None:
    *_, turn = reserve_calls(3, 30)
    django_rq.get_connection("default").flushdb()
    lost_at = time.monotonic()
    wait_for_turn(turn)
    assert time.monotonic() - lost_at > 1.04


def test_by_a_new_clock_the_first_call_waits_for_a_second_and_later_ones_do_not() -> None:
    turn = reserve_call(30)
    assert turn is not None
    assert 1.04 < turn.delay < 1.05
    wait_for_turn(turn)
    time.sleep(1)
    assert delay() == 0


def test_at_a_slow_rate_a_new_clock_begins_too(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": 0.02}
    assert reserve_call(30) is None
    assert 51 < delay() < 53
