"""Real processes under fire. Minutes long, so only collected where it was asked for: see `collect_ignore_glob`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from tests.chaos.crew import Crew
from tests.chaos.shop import BusyShop

pytest.register_assert_rewrite("tests.chaos.evidence")

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
#: Only where it was asked for: TEST_CHAOS=1.
collect_ignore_glob = [] if os.environ.get("TEST_CHAOS") else ["test_*.py"]
#: What only PostgreSQL can do.
collect_ignore = [] if DATABASE == "postgres" else ["test_cut_connections.py", "test_frozen.py"]
if "TEST_OLD_VERSION" not in os.environ:  # a checkout of the version before, which an upgrade begins with
    collect_ignore.append("test_upgrade.py")

#: Another seed makes other decisions: what changes in the shop, who is struck and when, which calls fail. The same one
#: makes the same; how far the workers have come by then is up to the machine, and no test depends on it.
SEED = int(os.environ.get("TEST_CHAOS_SEED", "1"))


@pytest.fixture
def rng() -> Random:
    """When and whom the chaos strikes."""
    return Random(f"{SEED}/chaos")


@pytest.fixture
def shop(transactional_db: None) -> BusyShop:
    return BusyShop(Random(f"{SEED}/shop"))


@pytest.fixture
def simulator(blueshift: Any, settings: Any) -> Any:
    """Without a rate limit on either side; retries and leases as short as the time-outs allow."""
    blueshift.scenario(calls_per_second=None, log_size=100_000, seed=SEED)
    blueshift.create_list(7, name="News", source="email")
    blueshift.create_list(8, name="Offers", source="customer_id")
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "LEASE_SECONDS": 6,
        "BACKOFF_SECONDS": [0.05, 0.5],
        "TIMEOUT": [1, 2],
    }
    return blueshift


@pytest.fixture
def received(simulator: Any) -> Callable[[], int]:
    """How many calls the simulator has received. Cheap to ask: it tells only of those that are new."""
    count = 0

    def look() -> int:
        nonlocal count
        count += len(simulator.requests_since(count))
        return count

    return look


@pytest.fixture
def crew(start_worker: Callable[..., Any]) -> Iterator[Crew]:
    crew = Crew(start_worker)
    yield crew
    crew.kill_all()
