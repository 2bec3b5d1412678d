"""The account's rate limit: one clock in Redis, from which every worker takes the moment of its next call.

The generic cell rate algorithm without burst: each grant moves the clock on by one interval, so calls are evenly
spaced. Redis's time counts, for those of the workers' machines differ.
"""

from __future__ import annotations

from ..conf import app_settings
from .redis import account_key, redis_connection, redis_errors_named

#: The share of the allowed rate that is used. At five calls a second, six calls then span 1.04 s: the receiver's
#: clock sees no more than five in any second even where one call is 40 ms late.
USED_SHARE = 0.96

#: KEYS[1]: the clock, in microseconds. ARGV: the interval and the longest wait, in microseconds.
#: Returns the wait in microseconds, or -1 where it would be longer than allowed: then nothing was taken.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local wait = turn - now
if wait > tonumber(ARGV[2]) then return -1 end
local after = turn + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return string.format('%.0f', wait)
"""

#: As above; ARGV[1]: for how long nobody may call, in microseconds.
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.0f', turn), 'PX', math.ceil((turn - now) / 1000) + 1000)
"""


def reserve_call(longest_wait: float) -> float | None:
    """Takes the next free moment for a call. Returns the seconds until then.

    None: it is further away than `longest_wait` seconds (sending is paused, or many workers wait), and was not taken.
    Raises RedisUnavailable: without the clock nothing may be sent.
    """
    rate = app_settings().CALLS_PER_SECOND
    interval = 0 if rate is None else round(1_000_000 / (rate * USED_SHARE))
    with redis_errors_named():
        wait = int(
            redis_connection().eval(_RESERVE, 1, account_key("throttle"), interval, round(longest_wait * 1_000_000))
        )
    return None if wait < 0 else wait / 1_000_000


def pause_calls(seconds: float) -> None:
    """Nobody sends anything for so many seconds. Raises RedisUnavailable."""
    with redis_errors_named():
        redis_connection().eval(_PAUSE, 1, account_key("throttle"), round(seconds * 1_000_000))
