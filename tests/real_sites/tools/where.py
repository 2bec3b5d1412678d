"""What every site of a trial is told by the environment: where the mirror's Redis and the simulator are."""

import os

RQ_QUEUES = {"default": {"URL": os.environ["REDIS_URL"]}}
BLUESHIFT_SYNC = {
    "API_KEY": os.environ.get("BLUESHIFT_API_KEY", "simulator-key"),
    "BASE_URL": os.environ.get("BLUESHIFT_BASE_URL", "http://127.0.0.1:9"),
    "CALLS_PER_SECOND": None,
    "DEBOUNCE_SECONDS": 0,
}
