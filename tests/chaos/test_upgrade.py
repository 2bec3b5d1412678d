"""Workers of two versions on one database and one Redis, while the shop is busy and some of them are killed.

Collected where TEST_OLD_VERSION names a checkout of the version before: `git worktree add ../old <its commit>`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import django_rq
import pytest
from django.db import connection

from blueshift_sync.models import ApiCall
from tests.chaos import evidence
from tests.chaos.conftest import SEED
from tests.chaos.crew import Crew
from tests.chaos.report import report
from tests.chaos.shop import BusyShop
from tests.processes import kill_with_children

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.django_db(transaction=True)]

OLD = Path(os.environ["TEST_OLD_VERSION"])


@pytest.fixture
def old_crew(transactional_db: None, settings: Any) -> Iterator[Crew]:
    """Workers of the version before, on the tables of this one."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "TEST_BLUESHIFT_SYNC": json.dumps(settings.BLUESHIFT_SYNC),
        }
        command = [sys.executable, str(OLD / "manage.py"), "rqworker", "default"]
        started.append(subprocess.Popen(command, cwd=OLD, env=environment))
        return started[-1]

    crew = Crew(start)
    yield crew
    crew.kill_all()
    for worker in started:
        kill_with_children(worker)


def test_workers_are_replaced_one_by_one(
    simulator: Any, shop: BusyShop, crew: Crew, old_crew: Crew, received: Callable[[], int]
) -> None:
    began, rng = time.monotonic(), Random(f"{SEED}/upgrade")
    simulator.scenario(faults=[{"fault": "latency", "seconds": [0.05, 0.3]}])
    shop.open(800)
    made_by_old = 0
    for old, new in [(3, 0), (2, 1), (1, 2), (0, 3)]:
        if not old:
            made_by_old = ApiCall.objects.count()
            old_crew.kill_all()
        old_crew.hire(old)
        crew.hire(new)
        for _ in range(4):
            seen = received()
            shop.trade(8)
            shop.push_some()
            # A job of a version that is newer than either.
            django_rq.get_queue("default").enqueue("blueshift_sync.tasks.of_a_newer_version", run_id=1)
            django_rq.get_queue("default").enqueue("blueshift_sync.tasks.drain", of_a_newer_version=1)
            evidence.wait_for_calls(crew, received, beyond=seen + 3)
            old_crew.look_after()
            if rng.random() < 0.5 and (struck := rng.choice([each for each in (crew, old_crew) if each.workers])):
                struck.kill_one(rng)
    shop.nobody_is_a_test_account()
    pushed = evidence.bring_into_step(crew, simulator)
    report(
        "upgrade", simulator, shop, crew, seconds=time.monotonic() - began, failed=pushed,
        kills_of_old=old_crew.kills, calls_before_the_last_old_worker_ended=made_by_old,
    )  # fmt: skip
    crew.kill_all()
    evidence.assert_all_is_well(simulator)
