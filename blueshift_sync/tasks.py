"""What RQ runs. Thin: keyword arguments only, and a tail for those that a newer version may add.

Names and arguments are kept to: while a site is being upgraded, workers of two versions take each other's jobs.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

from redis.exceptions import RedisError
from rq import get_current_job
from rq.job import Job
from rq.timeouts import BaseTimeoutException
from rq.worker import BaseWorker

from . import services
from .delivery import drain as drain_module
from .delivery.alerts import tell_operators
from .delivery.figures import keep_figures
from .delivery.redis import redis_connection
from .delivery.retention import prune_for
from .delivery.sweep import sweep as run_sweep
from .exceptions import BlueshiftSyncError, JobFailed

P = ParamSpec("P")

#: Seconds between two looks at whether the worker is shutting down.
LOOK_INTERVAL = 0.5
#: For so long a worker takes old audit away, and sends nothing; the rest is left for the next time.
PRUNE_SECONDS = 10


def _quotes_nobody(task: Callable[P, None]) -> Callable[P, None]:
    """What a job ends by is kept in Redis, shown to staff and logged, and a database's error may quote a whole row.

    So its kind and its traceback are told, and what it said isn't.
    """

    @wraps(task)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            task(*args, **kwargs)
        except (BlueshiftSyncError, BaseTimeoutException):
            raise
        except Exception as error:  # noqa: BLE001 - raised again, without what it said
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            raise JobFailed(f"{kind}{_code_of(error)}").with_traceback(error.__traceback__) from None

    return guarded


def _code_of(error: Exception) -> str:
    """The number that a database gives its error, if it is one."""
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or next(
        (each for each in getattr(cause, "args", ()) if isinstance(each, int)), None
    )
    return f" ({code})" if code else ""


@_quotes_nobody
def drain(**_later: Any) -> None:
    """Sends what is due."""
    job = get_current_job()
    with _stop_requests(job) as asked_to_stop:
        drain_module.drain(job_id=job.id if job else "", asked_to_stop=asked_to_stop)


@_quotes_nobody
def sweep(**_later: Any) -> None:
    """Brings back what was lost, takes the numbers that pages show, and tells operators of what has changed."""
    run_sweep()
    keep_figures()
    tell_operators()


@_quotes_nobody
def prune(**_later: Any) -> None:
    """Takes away a part of what is older than the settings keep it."""
    prune_for(PRUNE_SECONDS)


@_quotes_nobody
def gather(*, run_id: int, **_later: Any) -> None:
    """Goes on with a run that was asked for more records than a request could gather."""
    job = get_current_job()
    with _stop_requests(job) as asked_to_stop:
        services.go_on(run_id, asked_to_stop)


@_quotes_nobody
def match_import(*, import_id: int, **_later: Any) -> None:
    """Goes on matching a file with customers, for whoever uploaded it to look at."""
    job = get_current_job()
    with _stop_requests(job) as asked_to_stop:
        services.go_on_matching(import_id, asked_to_stop)


@contextmanager
def _stop_requests(job: Job | None) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether the worker is to stop.

    A warm shutdown tells the worker, which waits for its job without telling it: that is seen in Redis. Where the
    signal goes to every process, as systemd does it, it would end the job in the middle of a call: that is held off.
    """
    requests = _StopRequests(job)
    if threading.current_thread() is not threading.main_thread():
        yield requests.made
        return
    earlier = signal.signal(signal.SIGTERM, requests.on_signal)
    try:
        yield requests.made
    finally:
        signal.signal(signal.SIGTERM, earlier)


class _StopRequests:
    def __init__(self, job: Job | None) -> None:
        self._worker_key = f"{BaseWorker.redis_worker_namespace_prefix}{job.worker_name}" if job else ""
        self._made = False
        self._looked_at = float("-inf")

    def on_signal(self, *_signal: Any) -> None:
        self._made = True

    def made(self) -> bool:
        if not self._made and self._worker_key and time.monotonic() - self._looked_at > LOOK_INTERVAL:
            self._looked_at = time.monotonic()
            self._made = self._worker_is_shutting_down()
        return self._made

    def _worker_is_shutting_down(self) -> bool:
        try:
            return bool(redis_connection().hexists(self._worker_key, "shutdown_requested_date"))
        except RedisError:  # the drain will notice, and say so
            return False
