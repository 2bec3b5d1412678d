"""Jobs that go on with what a request has begun."""

from __future__ import annotations

import logging

from ..exceptions import RedisUnavailable
from .redis import queue, redis_errors_named
from .wake import JOB_TIMEOUT

logger = logging.getLogger(__name__)


def queue_quietly(task: str, what: str, patience: float, **arguments: int) -> None:
    """Queues a job of `tasks` for `what`, waiting for Redis no longer than `patience`. Where that fails, the sweep
    has to notice.
    """
    try:
        with redis_errors_named():
            queue(patience).enqueue(
                f"blueshift_sync.tasks.{task}",
                **arguments,
                job_timeout=JOB_TIMEOUT,
                result_ttl=0,
                description=f"blueshift_sync: {what}",
            )
    except RedisUnavailable as error:
        logger.warning(
            "No job could be queued for %s, which goes on after the next sweep: %s",
            what,
            error,
            extra={"event": "job_not_queued", "task": task},
        )
