"""The account's rate limit: one clock in Redis, from which every worker takes the moment of its next call.

The generic cell rate algorithm without burst: each grant moves the clock on by one interval, so calls are evenly
spaced. Redis's time counts, for those of the workers' machines differ.
"""

from __future__ import annotations

import time

from ..client import HeldBack
from ..conf import app_settings
from ..exceptions import RedisUnavailable
from .redis import account_key, redis_connection, redis_errors_named

#: The share of the allowed rate that is used. At five calls a second, six calls then span 1.04 s: the receiver's
#: clock sees no more than five in any second even where one call is 40 ms late.
USED_SHARE = 0.96
#: A call whose turn is further away isn't made now: sending is paused, or others fill the rate.
LONGEST_WAIT = 30.0
#: Seconds after its turn in which a call may still leave.
LATE = 0.01

#: KEYS[1]: the clock, in microseconds. ARGV: the interval, the longest and the shortest wait, all in microseconds, and
#: how many turns. Returns the wait for the first one and how many were taken: no more than the longest wait allows.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, longest, shortest, turns = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local turn = math.max(now + shortest, tonumber(redis.call('GET', KEYS[1]) or '0'))
local wait = turn - now
if wait > longest then return {0, 0} end
if interval > 0 then turns = math.min(turns, math.floor((longest - wait) / interval) + 1) end
local after = turn + turns * interval
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return {string.format('%.0f', wait), turns}
"""

#: As above; KEYS[2] is there while nobody may call, ARGV[1] says for how long, in microseconds.
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.0f', turn), 'PX', math.ceil((turn - now) / 1000) + 1000)
if redis.call('PTTL', KEYS[2]) < ARGV[1] / 1000 then
  redis.call('SET', KEYS[2], 1, 'PX', math.max(1, math.floor(ARGV[1] / 1000)))
end
"""

#: When this process may call next by its own turns, by account and the monotonic clock. Redis may lose the clock, and
#: would grant turns between those that were granted.
_next_turns: dict[str, float] = {}


def reserve_calls(count: int, longest_wait: float) -> list[float]:
    """Takes the next free moments for so many calls. Returns the seconds until each.

    Those further away than `longest_wait` seconds (sending is paused, or many workers wait) are left out, and not
    taken. Raises RedisUnavailable: without the clock nothing may be sent.
    """
    rate = app_settings().CALLS_PER_SECOND
    interval = 0 if rate is None else round(1_000_000 / (rate * USED_SHARE))
    longest = round(longest_wait * 1_000_000)
    clock, asked_at = account_key("throttle"), time.monotonic()
    # Less what asking may take, so that the clock decides wherever it is there.
    shortest = max(0, round((_next_turns.get(clock, 0) - asked_at - LATE) * 1_000_000))
    with redis_errors_named():
        wait, taken = redis_connection().eval(_RESERVE, 1, clock, interval, longest, shortest, count)
    if taken:
        _next_turns[clock] = asked_at + (int(wait) + taken * interval) / 1_000_000
    return [(int(wait) + turn * interval) / 1_000_000 for turn in range(taken)]


def forget_turns() -> None:
    """For tests that empty Redis and begin anew: what this process was granted counts no more."""
    _next_turns.clear()


def reserve_call(longest_wait: float) -> float | None:
    """As `reserve_calls`, for one call: the seconds until its moment, or None."""
    return next(iter(reserve_calls(1, longest_wait)), None)


def wait_for_turn(turn: float) -> None:
    """Waits for a call's turn, a moment of the monotonic clock. To be called with the connection standing.

    A call that was held up takes another turn, for its own is over; so does one whose turn falls into a pause. Raises
    HeldBack where there is none.
    """
    time.sleep(max(0.0, turn - time.monotonic()))
    try:
        while _is_paused() or time.monotonic() - turn > LATE:
            delay = reserve_call(LONGEST_WAIT)
            if delay is None:
                raise HeldBack("paused", "Sending was paused meanwhile.")
            turn = time.monotonic() + delay
            time.sleep(delay)
    except RedisUnavailable as error:
        raise HeldBack("redis_unavailable", str(error)) from error


def take_turn() -> None:
    """As `wait_for_turn`, for a call that has none yet."""
    wait_for_turn(float("-inf"))


def pause_calls(seconds: float) -> None:
    """Nobody sends anything for so many seconds. Raises RedisUnavailable."""
    with redis_errors_named():
        redis_connection().eval(_PAUSE, 2, account_key("throttle"), account_key("paused"), round(seconds * 1_000_000))


def _is_paused() -> bool:
    with redis_errors_named():
        return bool(redis_connection().exists(account_key("paused")))
