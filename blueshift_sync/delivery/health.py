"""Telling trouble with the API from trouble with a record.

A time-out or a 5xx may be the record's fault or everybody's. While other calls go well it counts against the records;
in an outage it doesn't, and the account as a whole slows down instead: fewer and fewer calls try whether it is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from ..conf import app_settings
from .batches import Batch
from .redis import account_key, redis_connection, redis_errors_named

#: Seconds between two tries in a long outage, at most.
LONGEST_PAUSE = 60.0
#: Seconds after which old trouble is forgotten.
MEMORY = 3600
#: Seconds for which Redis is waited for: answers wait to be settled meanwhile.
PATIENCE = 0.5


class Trouble(NamedTuple):
    """How many calls failed in a row, and how many different batches were among them."""

    failures: int
    batches: int


def note_trouble(batch: Batch) -> Trouble:
    """A call failed in a way that needn't have to do with its records. Raises RedisUnavailable, after a moment."""
    failures, batches = account_key("failures"), account_key("failed_batches")
    with redis_errors_named():
        pipeline = redis_connection(PATIENCE).pipeline()
        pipeline.incr(failures)
        pipeline.sadd(batches, f"{batch.request.endpoint}:{min((record.pk for record in batch.records), default=0)}")
        pipeline.scard(batches)
        pipeline.expire(failures, MEMORY)
        pipeline.expire(batches, MEMORY)
        count, _, different, *_ = pipeline.execute()
    return Trouble(count, different)


def note_health() -> None:
    """Blueshift has answered a call: whatever it said, it is there. Raises RedisUnavailable, after a moment."""
    with redis_errors_named():
        redis_connection(PATIENCE).delete(account_key("failures"), account_key("failed_batches"))


def is_the_records_fault(trouble: Trouble, api_answers: Callable[[], bool]) -> bool:
    """Whether a failed call counts against its records.

    It does while other calls go well: when the one before did, or when it is one and the same batch that fails
    again and again and `api_answers()`, asked only then, finds the API in good health.
    """
    return trouble.failures == 1 or (trouble.batches == 1 and api_answers())


def outage_pause(failures: int) -> float:
    """How long nobody should call after so many failures in a row: doubles with each round of calls, with jitter."""
    first, _cap = app_settings().BACKOFF_SECONDS
    rounds = min(failures // app_settings().CONCURRENCY, 60)
    return random.uniform(0, min(LONGEST_PAUSE, first * 2.0**rounds))  # nosec B311  # noqa: S311 - no secret
