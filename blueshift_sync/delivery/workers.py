"""Whether Redis is there, and who works on the queue that sends. Asks no longer than somebody at a page waits."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from rq.suspension import WORKERS_SUSPENDED
from rq.worker_registration import get_keys

from ..conf import app_settings
from ..exceptions import RedisUnavailable
from .redis import SITE_PATIENCE, account_key, queue, redis_connection, redis_errors_named

#: So many workers are asked whether they live; there are hardly ever more.
WORKERS_ASKED = 1000


@dataclass(frozen=True)
class Workers:
    """Who works on the queue.

    A worker that was killed counts until its key in Redis has run out: 90 seconds if it was busy, 8 minutes if not.
    `paused_seconds`: for so long nobody calls, as Blueshift asked for it or doesn't answer. `failures`: so many calls
    in a row got no proper answer.
    """

    alive: int = 0
    busy: int = 0
    are_suspended: bool = False
    paused_seconds: float = 0
    failures: int = 0


def workers() -> Workers:
    """The workers of the queue that the setting QUEUE names. Raises RedisUnavailable."""
    name = app_settings().QUEUE
    if name not in settings.RQ_QUEUES:
        raise RedisUnavailable(f"RQ_QUEUES has no queue “{name}”, which BLUESHIFT_SYNC[“QUEUE”] names.")
    with redis_errors_named():
        keys = sorted(get_keys(queue=queue(SITE_PATIENCE)))[:WORKERS_ASKED]
        pipeline = redis_connection(SITE_PATIENCE).pipeline(transaction=False)
        pipeline.exists(WORKERS_SUSPENDED)
        pipeline.pttl(account_key("paused"))
        pipeline.get(account_key("failures"))
        for key in keys:
            pipeline.hmget(key, "birth", "state")
        suspended, paused, failures, *states = pipeline.execute()
    alive = [state for birth, state in states if birth is not None]
    return Workers(
        alive=len(alive),
        busy=alive.count(b"busy"),
        are_suspended=bool(suspended),
        paused_seconds=max(0, paused) / 1000,
        failures=int(failures or 0),
    )
