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

#: KEYS[1]: the clock, in microseconds. ARGV: the interval and the longest wait, in microseconds; how many turns.
#: Returns the wait for the first of them, in microseconds, and how many were taken: no more than the wait allows.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local interval, longest, turns = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = turn - now
if wait > longest then return {0, 0} end
if interval > 0 then turns = math.min(turns, math.floor((longest - wait) / interval) + 1) end
local after = turn + turns * interval
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return {string.format('%.0f', wait), turns}
"""

#: As above; ARGV[1]: for how long nobody may call, in microseconds.
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.0f', turn), 'PX', math.ceil((turn - now) / 1000) + 1000)
"""


def reserve_calls(count: int, longest_wait: float) -> list[float]:
    """Takes the next free moments for so many calls. Returns the seconds until each.

    Those further away than `longest_wait` seconds (sending is paused, or many workers wait) are left out, and not
    taken. Raises RedisUnavailable: without the clock nothing may be sent.
    """
    rate = app_settings().CALLS_PER_SECOND
    interval = 0 if rate is None else round(1_000_000 / (rate * USED_SHARE))
    longest = round(longest_wait * 1_000_000)
    with redis_errors_named():
        wait, taken = redis_connection().eval(_RESERVE, 1, account_key("throttle"), interval, longest, count)
    return [(int(wait) + turn * interval) / 1_000_000 for turn in range(taken)]


def reserve_call(longest_wait: float) -> float | None:
    """As `reserve_calls`, for one call: the seconds until its moment, or None."""
    return next(iter(reserve_calls(1, longest_wait)), None)


def wait_for_turn(turn: float) -> None:
    """Waits for a call's turn, a moment of the monotonic clock. To be called with the connection standing.

    A call that was held up takes another turn, for its own is over. Raises HeldBack where there is none.
    """
    time.sleep(max(0.0, turn - time.monotonic()))
    while time.monotonic() - turn > LATE:
        try:
            delay = reserve_call(LONGEST_WAIT)
        except RedisUnavailable as error:
            raise HeldBack("redis_unavailable", str(error)) from error
        if delay is None:
            raise HeldBack("paused", "Sending was paused meanwhile.")
        turn = time.monotonic() + delay
        time.sleep(delay)


def take_turn() -> None:
    """As `wait_for_turn`, for a call that has none yet."""
    wait_for_turn(float("-inf"))


def pause_calls(seconds: float) -> None:
    """Nobody sends anything for so many seconds. Raises RedisUnavailable."""
    with redis_errors_named():
        redis_connection().eval(_PAUSE, 1, account_key("throttle"), round(seconds * 1_000_000))
