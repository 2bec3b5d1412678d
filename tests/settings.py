"""The settings of the test suite: the demo site's, on the database and the Redis that the environment names.

TEST_DATABASE is sqlite (the default), postgres or mariadb; where several suites share a server, TEST_DATABASE_SUFFIX
tells their databases apart. TEST_REDIS_URL is an existing Redis for a suite in one process, else each starts its own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from project.settings import *  # noqa: F403

# Where the suite runs in several processes, each has files of its own; databases pytest-django tells apart itself.
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
VAR = Path(os.environ.get("TEST_VAR", Path(__file__).parent.parent / "var" / "tests")) / PROCESS
VAR.mkdir(parents=True, exist_ok=True)

DATABASE_CHOICES: dict[str, dict[str, Any]] = {
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "unused.sqlite3",
        # A file, not memory: worker processes of the end-to-end tests open it too.
        "TEST": {"NAME": VAR / "test.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
        },
    },
    "postgres": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "blueshift_sync",
        "HOST": os.environ.get("TEST_POSTGRES_HOST", "127.0.0.1"),
        "USER": os.environ.get("TEST_POSTGRES_USER", "postgres"),
        "PASSWORD": os.environ.get("TEST_POSTGRES_PASSWORD", ""),
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "blueshift_sync",
        "HOST": os.environ.get("TEST_MARIADB_HOST", "127.0.0.1"),
        "USER": os.environ.get("TEST_MARIADB_USER", "root"),
        "PASSWORD": os.environ.get("TEST_MARIADB_PASSWORD", ""),
        "TEST": {"CHARSET": "utf8mb4"},
        "OPTIONS": {"charset": "utf8mb4"},
    },
}
database = DATABASE_CHOICES[os.environ.get("TEST_DATABASE", "sqlite")]
if suffix := os.environ.get("TEST_DATABASE_SUFFIX"):
    database["NAME"] = f"{database['NAME']}_{suffix}"
# Another database, for models whose transactions aren't the mirror's.
elsewhere = {**database, "NAME": f"{database['NAME']}_elsewhere"}
if "NAME" in database.get("TEST", {}):
    elsewhere["TEST"] = {"NAME": VAR / "test_elsewhere.sqlite3"}
DATABASES: dict[str, dict[str, Any]] = {"default": database, "elsewhere": elsewhere}
DATABASE_ROUTERS = ["tests.routers.OtherDatabase"]
# A worker process that a test starts opens the test's own database.
if test_database := os.environ.get("TEST_DATABASE_NAME"):
    DATABASES["default"]["NAME"] = test_database

# Models of every kind, without migrations.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.site", "tests.club"]  # noqa: F405
MIGRATION_MODULES = {"site": None, "club": None}

# Without either, the suite's conftest starts a Redis of its own and puts its address into the environment.
REDIS_URL = os.environ.get("TEST_REDIS_URL", "unix:///nonexistent/redis.sock")
RQ_QUEUES = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 360}}

# Nothing can be sent by accident: each test that sends points BASE_URL at a simulator of its own.
BLUESHIFT_SYNC: dict[str, Any] = {
    "API_KEY": "test-key-that-must-not-leak",
    "BASE_URL": "http://127.0.0.1:9",
    "DEBOUNCE_SECONDS": 0,
    # What a test's own settings are, for the worker process that it starts.
    **json.loads(os.environ.get("TEST_BLUESHIFT_SYNC", "{}")),
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
