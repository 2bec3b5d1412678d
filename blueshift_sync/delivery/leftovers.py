"""What is left of this app in Redis, taken away when its tables are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db.migrations import Migration
from redis import Redis
from rq.job import Job
from rq.utils import as_text

from ..conf import app_settings
from ..exceptions import RedisUnavailable
from .redis import account_key, queue, redis_connection, redis_errors_named

logger = logging.getLogger(__name__)

APP = "blueshift_sync"
#: What the description of each of our jobs begins with: those that we queue, and those of the timer.
JOB_DESCRIPTIONS = (f"{APP}: ", f"{APP}.tasks.")
#: Jobs looked at, and keys asked for, at a time.
SLICE = 1000


def clear_redis_with_the_tables(plan: Sequence[tuple[Migration, bool]] = (), **_signal: Any) -> None:
    """A receiver of `post_migrate`: where our first migration was undone, our jobs and keys in Redis go too.

    `plan` is what was done or, where the second is true, undone; `flush` has none. Trouble with Redis is logged, and
    goes no further: the tables are gone already.
    """
    if not any(backwards and migration.app_label == APP and migration.initial for migration, backwards in plan):
        return
    if app_settings().QUEUE not in settings.RQ_QUEUES:
        return
    try:
        clear_redis()
    except RedisUnavailable as error:
        logger.warning(
            "Jobs and keys of %s stay in Redis: %s The keys go away within a day.",
            APP,
            error,
            extra={"event": "redis_not_cleared"},
        )


def clear_redis() -> None:
    """Deletes our jobs in the queue, in whatever state, and the keys of the account. Raises RedisUnavailable.

    The keys of accounts that were set earlier go away by themselves, within a day.
    """
    with redis_errors_named():
        _delete_jobs()
        _delete_keys(redis_connection())


def _delete_jobs() -> None:
    connection = redis_connection()
    for ids in _slices_of_job_ids():
        for job in Job.fetch_many(ids, connection=connection):
            if job is not None and (job.description or "").startswith(JOB_DESCRIPTIONS):
                job.delete()


def _slices_of_job_ids() -> Iterator[list[str]]:
    """Of everything in the queue and in RQ's registries of it. What is deleted meanwhile makes nothing be left out."""
    ours = queue()
    registries = [
        ours.started_job_registry,
        ours.scheduled_job_registry,
        ours.deferred_job_registry,
        ours.failed_job_registry,
        ours.finished_job_registry,
        ours.canceled_job_registry,
    ]
    ids = [*ours.get_job_ids(), *(job_id for registry in registries for job_id in registry.get_job_ids(cleanup=False))]
    for start in range(0, len(ids), SLICE):
        yield ids[start : start + SLICE]


def _delete_keys(connection: Redis) -> None:
    """Those of the account, and RQ's own records of what its timer has queued for us."""
    prefix = Job.redis_job_namespace_prefix.removesuffix("job:")
    for pattern in (account_key("*"), f"{prefix}cron_job:{APP}.tasks.*"):
        for key in connection.scan_iter(pattern, count=SLICE):
            connection.delete(key)
    # Since rq 3.0, the names of all that a timer has queued.
    names = f"{prefix}cron_jobs"
    queued: list[Any] = connection.zrange(names, 0, -1)
    for name in queued:
        if as_text(name).startswith(f"{APP}.tasks."):
            connection.zrem(names, name)
