"""A Redis of a test's own, and the three ways in which one is away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from redis import Redis

from project.embedded_redis import EmbeddedRedis


class Trouble(Enum):
    """What can be the matter with Redis."""

    #: Nobody listens.
    STOPPED = auto()
    #: It takes connections and commands, and never answers.
    SLOW = auto()
    #: It has no memory left: it refuses to write.
    FULL = auto()


@contextmanager
def in_trouble(server: EmbeddedRedis, trouble: Trouble) -> Iterator[None]:
    """For the block, the server is in trouble; afterwards it is as before, empty if it was stopped."""
    with Redis(unix_socket_path=str(server.socket)) as redis:
        match trouble:
            case Trouble.STOPPED:
                server.stop()
                yield
                server.__enter__()
            case Trouble.SLOW:
                pid = redis.info("server")["process_id"]
                os.kill(pid, signal.SIGSTOP)
                try:
                    yield
                finally:
                    os.kill(pid, signal.SIGCONT)
            case Trouble.FULL:
                redis.config_set("maxmemory", 1)
                yield
                redis.config_set("maxmemory", 0)
