"""What the whole suite shares: a real Redis, the simulator's fixture, and worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django_rq
import pytest
from django.conf import settings as django_settings
from django.db import connection

from project.embedded_redis import EmbeddedRedis
from tests.processes import kill_with_children

ROOT = Path(__file__).parent.parent
pytest_plugins = ["pytester", "tests.no_skips", "tests.log_scan"]

_processes = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-query-counts", action="store_true", help="write tests/admin/query_counts.json anew, then compare"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Starts a Redis of our own for each process that runs tests, unless the environment names one."""
    only_hands_out_tests = bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")
    if "TEST_REDIS_URL" not in os.environ and not only_hands_out_tests:
        directory = _processes.enter_context(TemporaryDirectory(prefix="redis-"))
        redis = _processes.enter_context(EmbeddedRedis(Path(directory)))
        os.environ["TEST_REDIS_URL"] = redis.url
        django_settings.RQ_QUEUES["default"]["URL"] = redis.url


def pytest_unconfigure(config: pytest.Config) -> None:
    _processes.close()


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    """No job, flag or clock is left over from another test."""
    redis = django_rq.get_connection("default")
    yield
    redis.flushdb()


@pytest.fixture
def own_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis that this test may stop, for its site and its workers."""
    with TemporaryDirectory(prefix="redis-") as directory, EmbeddedRedis(Path(directory)) as redis:
        monkeypatch.setenv("TEST_REDIS_URL", redis.url)
        monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", redis.url)
        yield redis


@pytest.fixture
def simulator(blueshift: Any, settings: Any) -> Any:
    """The simulator with the list of the shop's newsletter and without a limit; waits and leases are short."""
    blueshift.scenario(calls_per_second=None)
    blueshift.create_list(7, name="News", source="email")
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "LEASE_SECONDS": 3,
        "BACKOFF_SECONDS": [0.01, 0.1],
        "TIMEOUT": [1, 2],
    }
    return blueshift


@pytest.fixture
def start_worker(transactional_db: None, settings: Any) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts real worker processes on the test's database, Redis and settings; they end with the test."""
    workers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "TEST_BLUESHIFT_SYNC": json.dumps(settings.BLUESHIFT_SYNC),
        }
        command = [sys.executable, "manage.py", "rqworker", "default", *options]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        kill_with_children(worker)
