"""The demo, running: a site, a worker and the simulated Blueshift in processes of their own.

Only where it was asked for, as it takes two minutes: TEST_SCHEMATHESIS=1.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from project.lifeline import Child
from tests.waiting import wait_until

#: Only where it was asked for.
collect_ignore_glob = [] if os.environ.get("TEST_SCHEMATHESIS") else ["test_*.py"]

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 90


class Demo(NamedTuple):
    """Where the API is, and the headers of a session of its operator, by which requests needn't check a password."""

    api: str
    headers: dict[str, str]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo")
    port, simulator_port = free_ports(2)
    settings = ("DJANGO_", "BLUESHIFT_", "REDIS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    options = ["--port", str(port), "--simulator-port", str(simulator_port), "--customers", "60"]
    command = [sys.executable, "-m", "project.demo", *options]
    process = Child(
        ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *command],
        directory / "log",
        {**environment, "DEMO_VAR": str(directory / "var"), "PYTHONUNBUFFERED": "1"},
    )
    try:
        wait_until(
            lambda: process.status() is not None or "Look around" in process.last_words(200), seconds=START_SECONDS
        )
        assert process.status() is None, process.last_words(50)
        site = f"http://127.0.0.1:{port}"
        yield Demo(f"{site}/api/blueshift", session_headers(site))
    finally:
        process.stop()


def session_headers(site: str) -> dict[str, str]:
    with requests.Session() as session:
        session.trust_env = False
        login = f"{site}/admin/login/"
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(login, timeout=30).text)
        assert found
        form = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": found[1], "next": "/admin/"}
        session.post(login, data=form, headers={"Referer": login}, timeout=30)
        token, key = session.cookies["csrftoken"], session.cookies["sessionid"]
        return {"Cookie": f"sessionid={key}; csrftoken={token}", "X-CSRFToken": token}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        closing(each).__exit__(None, None, None)
    return ports
