"""The demo site on PostgreSQL and a Redis server, both with a database of the benchmarks' own, emptied at will."""

import json
import os
from typing import Any

from project.settings import *  # noqa: F403

DEBUG = False  # with it, Django would keep every query in memory

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("BENCH_POSTGRES_NAME", "blueshift_bench"),
        "HOST": os.environ.get("BENCH_POSTGRES_HOST", "127.0.0.1"),
        "USER": os.environ.get("BENCH_POSTGRES_USER", "postgres"),
        "PASSWORD": os.environ.get("BENCH_POSTGRES_PASSWORD", ""),
    }
}
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/13")
RQ_QUEUES = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 600}}

BLUESHIFT_SYNC: dict[str, Any] = {
    "API_KEY": "simulator-key",
    "BASE_URL": "http://127.0.0.1:9",
    "CALLS_PER_SECOND": None,
    "DEBOUNCE_SECONDS": 0,
    # What one benchmark sets, for the processes that it starts.
    **json.loads(os.environ.get("BENCH_BLUESHIFT_SYNC", "{}")),
}
