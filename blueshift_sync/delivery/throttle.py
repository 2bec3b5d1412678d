"""The account's rate limit: one clock in Redis, from which every worker takes the moment of its next call.

The generic cell rate algorithm without burst: each grant moves the clock on by one interval, so calls are evenly
spaced. Redis's time counts, for those of the workers' machines differ.

Redis may lose the clock, or go on with an old one after a restart. Then nobody knows which turns were granted: a new
clock begins, under a name of its own, so late that what has left by the old one is a second ago. A turn by the old one
is worth nothing any more: its call takes another.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from ..client import HeldBack
from ..conf import app_settings
from ..exceptions import RedisUnavailable
from .redis import account_key, redis_connection, redis_errors_named

#: The share of the allowed rate that is used. At five calls a second, six calls then span 1.04 s: the receiver's
#: clock sees no more than five in any second even where one call is 40 ms late.
USED_SHARE = 0.96
#: A call whose turn is further away isn't made now: sending is paused, or others fill the rate.
LONGEST_WAIT = 30.0
#: Seconds after its turn in which a call may still leave; where calls are rarer, for as long as the unused share lasts.
LATE = 0.01

#: Seconds for which the clock is kept that nobody asks. Who asks later waits for a second, as after a loss.
KEPT = 86400

#: KEYS: the clock (its next free turn, and its name), and until when nobody may call; moments in microseconds.
#: ARGV: the interval, the longest wait and the first wait by a new clock, all in microseconds, how many turns, and how
#: long the clock is kept, in milliseconds. Returns the wait for the first turn, how many were taken (no more than the
#: longest wait allows) and the clock's name.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, longest, first, turns = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local clock, paused = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
local turn, name = string.match(clock or '', '^(%d+) (.+)$')
if not turn or string.sub(name, 1, #server) ~= server then
  turn, name = now + first, server .. string.format(':%.0f', now)
end
turn = math.max(tonumber(turn), now, tonumber(paused or 0))
local wait = turn - now
if wait > longest then turns = 0
elseif interval > 0 then turns = math.min(turns, math.floor((longest - wait) / interval) + 1) end
local after = turn + turns * interval
redis.call('SET', KEYS[1], string.format('%.0f %s', after, name), 'PX', math.ceil((after - now) / 1000) + ARGV[5])
return {string.format('%.0f', wait), turns, name}
"""

#: KEYS: until when nobody may call. ARGV: for how long from now on, in milliseconds.
_PAUSE = """
local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + ARGV[1] * 1000
if ends > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', ARGV[1])
end
"""


class Turn(NamedTuple):
    """A call's turn: so many seconds after it was granted, at a moment of the monotonic clock; and by what clock."""

    delay: float
    moment: float
    clock: bytes | str


def reserve_calls(count: int, longest_wait: float) -> list[Turn]:
    """Takes the next free turns for so many calls.

    Those further away than `longest_wait` seconds (sending is paused, or many workers wait) are left out, and not
    taken. Raises RedisUnavailable: without the clock nothing may be sent.
    """
    rate = app_settings().CALLS_PER_SECOND
    interval = 0 if rate is None else 1_000_000 / (rate * USED_SHARE)
    first = 0 if rate is None else interval * max(rate, 1)
    durations = [round(interval), round(longest_wait * 1_000_000), round(first)]
    with redis_errors_named():
        wait, taken, clock = redis_connection().eval(_RESERVE, 2, *_keys(), *durations, count, KEPT * 1000)
    now = time.monotonic()
    delays = [(int(wait) + number * durations[0]) / 1_000_000 for number in range(taken)]
    return [Turn(delay, now + delay, clock) for delay in delays]


def reserve_call(longest_wait: float) -> Turn | None:
    """As `reserve_calls`, for one call: its turn, or None."""
    return next(iter(reserve_calls(1, longest_wait)), None)


def wait_for_turn(turn: Turn | None) -> None:
    """Waits for a call's turn. To be called with the connection standing.

    A call that was held up takes another turn, for its own is over; so does one whose turn falls into a pause, or is by
    a clock that was lost, and one that has none. Raises HeldBack where there is none.
    """
    try:
        while turn is None or not _has_come(turn):
            turn = reserve_call(LONGEST_WAIT)
            if turn is None:
                raise HeldBack("paused", "Sending was paused meanwhile.")
    except RedisUnavailable as error:
        raise HeldBack("redis_unavailable", str(error)) from error


def _has_come(turn: Turn) -> bool:
    """Waits for the turn, and says whether the call may leave."""
    sleep_until(turn.moment)
    with redis_errors_named():
        found: list[Any] = redis_connection().mget(_keys())
    clock, paused = found
    return paused is None and clock is not None and clock.endswith(turn.clock) and not _is_over(turn)


def sleep_until(moment: float) -> None:
    """Returns at once if the moment of the monotonic clock is over: `sleep(0)` would let other threads go first."""
    seconds = moment - time.monotonic()
    if seconds > 0:
        time.sleep(seconds)


def take_turn() -> None:
    """As `wait_for_turn`, for a call that has none yet."""
    wait_for_turn(None)


def pause_calls(seconds: float) -> None:
    """Nobody sends anything for so many seconds. Raises RedisUnavailable."""
    _clock, paused = _keys()
    with redis_errors_named():
        redis_connection().eval(_PAUSE, 1, paused, max(1, round(seconds * 1000)))


def _keys() -> tuple[str, str]:
    """The account's clock, and until when nobody may call: that is there while nobody may."""
    return account_key("throttle"), account_key("paused")


def _is_over(turn: Turn) -> bool:
    """Whether it is too late for a turn. Without a limit all turns are alike."""
    rate = app_settings().CALLS_PER_SECOND
    if rate is None:
        return False
    # So late that the next one follows in less than the allowed interval. At a slow rate no other turn is near.
    unused = (1 - USED_SHARE) / (rate * USED_SHARE)
    return time.monotonic() - turn.moment > max(LATE, unused)
