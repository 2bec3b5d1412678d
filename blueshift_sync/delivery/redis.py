"""The Redis of the site's queue, and the keys that this app keeps there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django_rq
from redis import Redis
from redis.exceptions import RedisError

from ..conf import app_settings
from ..exceptions import RedisUnavailable


def redis_connection() -> Redis:
    """A connection to the Redis of the queue that the setting QUEUE names."""
    connection: Redis = django_rq.get_connection(app_settings().QUEUE)
    return connection


def queue() -> Any:
    """The queue itself. `auto`: it enqueues at once, for we wait for the commit ourselves."""
    return django_rq.get_queue(app_settings().QUEUE, commit_mode="auto")


def account_key(name: str) -> str:
    """A Redis key for something that the whole account shares. The API key can't be read from it."""
    settings = app_settings()
    account = f"{settings.BASE_URL or settings.REGION}\0{settings.API_KEY}"
    return f"blueshift_sync:{hashlib.blake2b(account.encode(), digest_size=12).hexdigest()}:{name}"


@contextmanager
def redis_errors_named() -> Iterator[None]:
    """Errors of Redis come out of this block as RedisUnavailable."""
    try:
        yield
    except RedisError as error:
        raise RedisUnavailable(f"Redis doesn't answer ({type(error).__name__}).") from error
