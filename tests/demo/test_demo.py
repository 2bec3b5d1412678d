"""The whole demo as `make demo ARGS=--once` runs it: its exit status says whether Blueshift ended up exact."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def demo(var: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    ports = ["--port", str(free_port()), "--simulator-port", str(free_port())]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "project.demo", *ports, *options],
        cwd=ROOT,
        env={**environment, "DEMO_VAR": str(var)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def logs(var: Path) -> str:
    return "\n".join(f"== {log.name}\n{log.read_text()}" for log in sorted((var / "log").glob("*.log")))


def wait_for_an_open_call(var: Path, process: subprocess.Popen[str]) -> None:
    """Returns in the middle of things: a request has left and its answer isn't known."""
    database = var / "demo.sqlite3"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if database.exists() and (var / "worker.pid").exists():
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                query = "SELECT 1 FROM blueshift_sync_apicall WHERE state = 'OPEN' AND endpoint = 'CUSTOMERS_BULK'"
                if connection.execute(query).fetchone():
                    return
        time.sleep(0.005)
    raise AssertionError("There was no open call to interrupt.")


def test_blueshift_ends_up_with_exactly_what_the_shop_says(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--customers", "100") as process:
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said + logs(tmp_path)
    assert "The shop has 100 customers" in said
    assert "1 rejected" in said
    assert "holds exactly what the shop says" in said
    assert "Traceback" not in said + logs(tmp_path)


def test_it_is_just_as_exact_when_the_worker_is_killed_in_the_middle(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--customers", "600") as process:
        wait_for_an_open_call(tmp_path, process)
        os.kill(int((tmp_path / "worker.pid").read_text()), signal.SIGKILL)
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said + logs(tmp_path)
    assert "The worker was ended by SIGKILL; starting it again." in said
    assert "holds exactly what the shop says" in said
