"""The Redis of the site's queue, and the keys that this app keeps there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import django_rq
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from ..conf import app_settings
from ..exceptions import RedisUnavailable

#: Seconds that a worker waits for Redis, for each of connecting and answering.
WORKER_PATIENCE = 5.0
#: Seconds that somebody's request on the site waits for it.
SITE_PATIENCE = 0.2


def redis_connection(patience: float = WORKER_PATIENCE) -> Redis:
    """A connection to the Redis of the queue that the setting QUEUE names; waits so many seconds at most.

    Kept open between calls. It doesn't try again by itself: the caller knows better whether there is time.
    """
    name = app_settings().QUEUE
    return _connection(name, repr(settings.RQ_QUEUES[name]), patience)


@lru_cache(maxsize=8)
def _connection(name: str, _configuration: str, patience: float) -> Redis:
    """`_configuration` is here to be noticed when it changes."""
    connection: Redis = django_rq.get_connection(name)
    if "USE_REDIS_CACHE" not in settings.RQ_QUEUES[name]:  # that pool is the site's, and has other users
        connection.connection_pool.connection_kwargs.update(
            socket_timeout=patience, socket_connect_timeout=patience, retry=Retry(NoBackoff(), 0)
        )
    return connection


def queue(patience: float = WORKER_PATIENCE) -> Any:
    """The queue itself. `auto`: it enqueues at once, for we wait for the commit ourselves."""
    return django_rq.get_queue(app_settings().QUEUE, commit_mode="auto", connection=redis_connection(patience))


def account_digest() -> str:
    """A name for the account (address and key), from which the key can't be read."""
    ours = app_settings()
    account = f"{ours.BASE_URL or ours.REGION}\0{ours.API_KEY}"
    return hashlib.blake2b(account.encode(), digest_size=12).hexdigest()


def account_key(name: str) -> str:
    """A Redis key for something that the whole account shares."""
    return f"blueshift_sync:{account_digest()}:{name}"


@contextmanager
def redis_errors_named() -> Iterator[None]:
    """Errors of Redis come out of this block as RedisUnavailable."""
    try:
        yield
    except RedisError as error:
        trouble = "refuses to work" if isinstance(error, ResponseError) else "doesn't answer"
        raise RedisUnavailable(f"Redis {trouble} ({type(error).__name__}).") from error
