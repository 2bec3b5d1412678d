"""Waking a worker after a change: once per transaction, and at most one waiting job at a time.

The wake-up is never the record of a change. Where one is lost (Redis down, queue emptied), the sweep finds what is due.

A flag in Redis says that a drain is queued and hasn't begun. A drain takes the flag down before it first looks for
work, so whoever finds the flag up knows that his change, committed before, will be seen.
"""

from __future__ import annotations

import logging
import time

from django.db import transaction

from ..conf import app_settings
from ..exceptions import RedisUnavailable
from .redis import SITE_PATIENCE, WORKER_PATIENCE, account_key, queue, redis_connection, redis_errors_named

logger = logging.getLogger(__name__)

#: How long a drain looks for new work before it hands over to a fresh job, in seconds.
DRAIN_SECONDS = 120
#: Seconds after which a flag is no longer believed: its job may have been lost. Longer than a drain, or else a worker
#: busy with a backlog would find more jobs queued after each drain than before it.
FLAG_SECONDS = 2 * DRAIN_SECONDS
#: Seconds that RQ gives a drain: its budget, the calls in flight and their settling.
JOB_TIMEOUT = 600
#: After Redis failed, saves don't try again for so many seconds.
PAUSE_AFTER_FAILURE = 10

_redis_failed_at = float("-inf")


def wake_on_commit(using: str) -> None:
    """Wakes a worker when the transaction on `using` commits, however many changes it makes."""
    # One that is there goes away only with a savepoint that contains this change too.
    if any(callback is wake_quietly for _, callback, *_ in transaction.get_connection(using).run_on_commit):
        return
    transaction.on_commit(wake_quietly, using=using, robust=True)


def wake_quietly() -> None:
    """As `wake`, but trouble with Redis is logged, once in a while, and goes no further."""
    global _redis_failed_at  # noqa: PLW0603 - one memory per process
    if time.monotonic() - _redis_failed_at < PAUSE_AFTER_FAILURE:
        return
    try:
        wake(SITE_PATIENCE)
    except RedisUnavailable as error:
        _redis_failed_at = time.monotonic()
        logger.warning(
            "No worker could be woken: %s The sweep will find what is due.", error, extra={"event": "not_woken"}
        )


def wake(patience: float = WORKER_PATIENCE) -> None:
    """Queues a drain unless one is queued already, or nothing may be sent. Raises RedisUnavailable.

    Waits for Redis no longer than `patience` seconds a command.
    """
    if not app_settings().can_send:
        return
    with redis_errors_named():
        flag = account_key("wake")
        if redis_connection(patience).set(flag, 1, nx=True, ex=FLAG_SECONDS):
            try:
                enqueue_drain(patience)
            except BaseException:
                redis_connection(patience).delete(flag)
                raise


def wake_again() -> None:
    """As `wake`, but doesn't believe the flag while the queue is empty. Raises RedisUnavailable.

    Whoever had taken the drain may have died before it began.
    """
    with redis_errors_named():
        if queue(WORKER_PATIENCE).is_empty():
            acknowledge()
    wake()


def wake_again_quietly() -> None:
    """As `wake_again`, but trouble with Redis is logged and goes no further."""
    try:
        wake_again()
    except RedisUnavailable as error:
        logger.warning(
            "No worker could be woken: %s The sweep will find what is due.", error, extra={"event": "not_woken"}
        )


def enqueue_drain(patience: float = WORKER_PATIENCE) -> None:
    """Queues a drain, whether or not there is one."""
    queue(patience).enqueue(
        "blueshift_sync.tasks.drain", job_timeout=JOB_TIMEOUT, result_ttl=0, description="blueshift_sync: drain"
    )


def acknowledge() -> None:
    """A drain begins: changes from now on need another wake-up. Raises RedisUnavailable."""
    with redis_errors_named():
        redis_connection().delete(account_key("wake"))
