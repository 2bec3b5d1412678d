"""The rate limit, against a real Redis."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import django_rq
import pytest
from redis import Redis

from blueshift_sync import services
from blueshift_sync.client import HeldBack
from blueshift_sync.delivery import redis as app_redis
from blueshift_sync.delivery.redis import account_key
from blueshift_sync.delivery.throttle import pause_calls, reserve_call, reserve_calls, wait_for_turn
from blueshift_sync.exceptions import BlueshiftSyncError, RedisUnavailable


def test_calls_are_spaced_evenly_and_without_burst() -> None:
    pause_calls(10)
    turns = []
    for _ in range(10):
        reserve_call(60)
        turns.append(int(django_rq.get_connection("default").get(account_key("throttle"))))
    # In microseconds: 5 calls a second, of which 96 % are used.
    assert {later - earlier for earlier, later in pairwise(turns)} <= {208333}


def test_a_turn_that_is_too_far_away_is_not_taken() -> None:
    pause_calls(10)
    assert reserve_call(1) is None
    assert 9 < (reserve_call(60) or 0) <= 10


def test_a_pause_never_shortens_what_is_reserved() -> None:
    pause_calls(10)
    pause_calls(1)
    assert (reserve_call(60) or 0) > 9


def test_without_a_limit_nobody_waits_but_a_pause_still_counts(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    assert [reserve_call(60) for _ in range(5)] == [0, 0, 0, 0, 0]
    pause_calls(10)
    assert (reserve_call(60) or 0) > 9


def test_two_accounts_dont_share_a_limit(settings: Any) -> None:
    pause_calls(10)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": "another"}
    assert reserve_call(1) == 0


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
    *_, delay = reserve_calls(3, 10)
    turn = time.monotonic() + delay
    pause_calls(60)
    with pytest.raises(HeldBack):
        wait_for_turn(turn)


def test_a_flushed_redis_grants_no_turn_before_those_that_were_granted() -> None:
    """Else calls leave twice as fast as allowed until the earlier turns are over."""
    turns = reserve_calls(8, 30)
    django_rq.get_connection("default").flushdb()
    assert (reserve_call(30) or 0) > turns[-1] + 0.1
