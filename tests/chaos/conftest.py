"""Real processes under fire. Minutes long, so only collected where it was asked for: see `collect_ignore_glob`."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django_rq
import pytest

from project.embedded_redis import EmbeddedRedis
from tests.chaos.crew import Crew
from tests.chaos.shop import BusyShop

pytest.register_assert_rewrite("tests.chaos.evidence")

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
#: Only where it was asked for: TEST_CHAOS=1.
collect_ignore_glob = [] if os.environ.get("TEST_CHAOS") else ["test_*.py"]
#: What only PostgreSQL can do.
collect_ignore = [] if DATABASE == "postgres" else ["test_cut_connections.py", "test_frozen.py", "test_locks.py"]

#: Another seed tries other moments; the same one tries the same again, as far as real processes can.
SEED = int(os.environ.get("TEST_CHAOS_SEED", "1"))


@pytest.fixture
def rng() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def simulator(blueshift: Any, settings: Any) -> Any:
    """Without a rate limit on either side; short leases and retries."""
    blueshift.scenario(calls_per_second=None, log_size=100_000, seed=SEED)
    blueshift.create_list(7, name="News", source="email")
    blueshift.create_list(8, name="Offers", source="customer_id")
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "LEASE_SECONDS": 4,
        "BACKOFF_SECONDS": [0.05, 0.5],
        "TIMEOUT": [1, 2],
    }
    return blueshift


@pytest.fixture
def shop(transactional_db: None, rng: random.Random) -> BusyShop:
    return BusyShop(rng)


@pytest.fixture
def crew(start_worker: Callable[..., Any]) -> Iterator[Crew]:
    crew = Crew(start_worker)
    yield crew
    crew.kill_all()


@pytest.fixture
def own_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis that this test may stop and start."""
    with EmbeddedRedis(tmp_path / "redis") as redis:
        monkeypatch.setenv("TEST_REDIS_URL", redis.url)
        monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", redis.url)
        yield redis
