"""Waits for the servers that the full suite needs. Fails with a sentence for one that doesn't answer.

Usage: `python tools/wait_for_servers.py`, with the variables that tests/settings.py reads.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django
from django.db import DatabaseError
from django.db.utils import ConnectionHandler
from redis import Redis, RedisError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.settings import DATABASE_CHOICES, REDIS_URL

PATIENCE_SECONDS = 60


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    wait_for("PostgreSQL", lambda: connect_to("postgres"))
    wait_for("MariaDB", lambda: connect_to("mariadb"))
    wait_for("Redis", ping)


def wait_for(name: str, connect: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connect()
        except (DatabaseError, RedisError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"{name} doesn't answer, and the full suite needs it. tests/settings.py says where. {error}")
            time.sleep(1)
        else:
            print(f"{name} answers.", flush=True)
            return


def connect_to(alias: str) -> None:
    """To the server, not to a database: those of the tests are made later."""
    server = ConnectionHandler({"default": {}, **DATABASE_CHOICES})[alias]
    with server._nodb_cursor():
        return


def ping() -> None:
    with Redis.from_url(REDIS_URL) as server:
        server.ping()


if __name__ == "__main__":
    main()
