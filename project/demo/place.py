"""The place where a demo runs: its directory, which no other demo may use meanwhile, and its ports."""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.demo.errors import DemoError


@contextmanager
def only_demo_in(directory: Path) -> Iterator[None]:
    """Keeps a second demo out of the directory. The lock ends with this process, however that ends."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DemoError(
                f"A demo is running in {directory} already, as process {lock.read() or 'unknown'}. End it first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def start_afresh(directory: Path) -> None:
    """Removes what an earlier demo left, and nothing else."""
    shutil.rmtree(directory / "log", ignore_errors=True)
    for pattern in ("demo.sqlite3*", "redis.*", "worker.pid"):
        for leftover in directory.glob(pattern):
            leftover.unlink()
    (directory / "log").mkdir()


def require_free_port(port: int, option: str) -> None:
    """Raises DemoError if something else listens on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port} can't be used ({error.strerror}). Take another one: "
                f"make demo ARGS='{option} {port + 1 if port < 65535 else port - 1}'"
            ) from None
