"""A child process ends with whoever started it, and takes its own children along."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from project.embedded_redis import EmbeddedRedis
from project.lifeline import Child

PATIENCE_SECONDS = 60.0

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgrp()  # as the work horses of RQ do
print(os.getpid(), flush=True)
time.sleep(600)
"""
REDIS_HOLDER = """
import sys, time
from pathlib import Path
import redis
from project.embedded_redis import EmbeddedRedis
with EmbeddedRedis(Path(sys.argv[1])) as server:
    connection = redis.Redis.from_url(server.url)
    print(connection.info("server")["process_id"], flush=True)
    time.sleep(600)
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain: {what}"
        time.sleep(0.01)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """An ended process whose new parent hasn't looked after it yet."""
    state = subprocess.run(["ps", "-o", "state=", "-p", str(process)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] in ("Z", "")


def printed_numbers(log: Path) -> list[int]:
    return [int(word) for word in log.read_text().split()]


def test_stopping_ends_even_what_ignores_it_and_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", STUBBORN], log)
    wait_until(lambda: len(printed_numbers(log)) == 2, "both processes print their number")
    child.stop()
    assert not any(runs(process) for process in printed_numbers(log))


def test_when_the_command_is_killed_what_it_started_ends_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", STUBBORN], log)
    try:
        wait_until(lambda: len(printed_numbers(log)) == 2, "both processes print their number")
        parent, grandchild = sorted(printed_numbers(log))
        os.kill(parent, signal.SIGKILL)
        wait_until(lambda: child.status() is not None, "the watcher notices")
        assert child.status() == 128 + signal.SIGKILL
        wait_until(lambda: not runs(grandchild), "the grandchild ends")
    finally:
        child.stop()


def test_the_exit_status_is_the_commands_own(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")
    wait_until(lambda: child.status() is not None, "the command ends")
    assert child.status() == 3
    child.stop()


def test_a_command_that_does_not_exist_is_named_in_the_log(tmp_path: Path) -> None:
    child = Child(["/nowhere/redis-server"], tmp_path / "log")
    wait_until(lambda: child.status() is not None, "the watcher ends")
    assert child.status() == 127
    assert "/nowhere/redis-server can't be started" in child.last_words()
    child.stop()


def test_the_embedded_redis_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", REDIS_HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder:
        server = int(holder.stdout.readline())
        assert runs(server)
        holder.kill()
    wait_until(lambda: not runs(server), "the Redis server ends")


def test_the_embedded_redis_listens_on_no_port_and_ends_with_its_block(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as connection:
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("save") == {"save": ""}
        process = connection.info("server")["process_id"]
    assert not runs(process)
    assert not server.socket.exists()


def test_the_embedded_redis_works_in_a_directory_too_deep_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    with EmbeddedRedis(deep) as server, redis.Redis.from_url(server.url) as connection:
        assert connection.ping()
    assert not server.socket.parent.exists()
