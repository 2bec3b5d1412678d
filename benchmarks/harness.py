"""What the benchmarks share: rows of the table, processes, and a database that is filled and emptied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import django_rq
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from blueshift_sync.models import ApiCall, Customer, RecordResult, SyncState
from blueshift_sync.testing.process import Simulator

from . import people

ROOT = Path(__file__).resolve().parent.parent
#: Where `make bench` puts what we are compared with: not among our own packages, for their versions differ.
RIVALS = Path(sys.prefix) / "rivals"
FILL_BATCH = 2000


@dataclass
class Row:
    """One line of the table. `target` is what `value` must reach: at least, or at most where `at_most` says so."""

    what: str
    value: float
    unit: str = "×"
    target: float | None = None
    at_most: bool = False
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass(frozen=True)
class Outcome:
    """What a measured process returned; memory in bytes. `cpu_seconds` are its own, without the servers'."""

    seconds: float
    cpu_seconds: float
    result: Any
    resident_before: int
    resident_peak: int


class Side:
    """A process that waits, prepared, for its start. `blueshift` are settings of BLUESHIFT_SYNC for it."""

    def __init__(
        self, function: str, *, rival: bool = False, blueshift: Mapping[str, Any] | None = None, **arguments: Any
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", f"benchmarks.{function}", json.dumps(arguments)],
            cwd=ROOT,
            env=_rivals_environment() if rival else our_environment(blueshift or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def start(self) -> None:
        """Lets it go, and returns at once."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def outcome(self) -> Outcome:
        """Waits for its end."""
        outcome = Outcome(**json.loads(self._line()))
        self._process.communicate()
        return outcome

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("A measured process ended early; what it said is above.")
        return line


def measure(function: str, **options: Any) -> Outcome:
    """Runs one side from start to end; `options` are those of `Side`."""
    return measure_together([Side(function, **options)])[0]


def measure_together(sides: Sequence[Side]) -> list[Outcome]:
    """Starts all sides at one moment."""
    for side in sides:
        side.start()
    return [side.outcome() for side in sides]


def our_environment(blueshift: Mapping[str, Any]) -> dict[str, str]:
    """For a process of ours, with these settings in BLUESHIFT_SYNC."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "BENCH_BLUESHIFT_SYNC": json.dumps(dict(blueshift)),
    }


def _rivals_environment() -> dict[str, str]:
    if not RIVALS.is_dir():
        sys.exit("What we are compared with isn't installed. Run the benchmarks with `make bench`.")
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {
        **environment,
        "PYTHONPATH": str(RIVALS),
        "BENCH_REDIS_URL": os.environ.get("BENCH_REDIS_URL", settings.REDIS_URL),
    }


def alternate(rounds: int, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """Measures the sides by turns, so that what else the machine does hits them all; every other round backwards."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            measured[name].append(sides[name]())
    return measured


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return median(above / below for above, below in zip(numerators, denominators, strict=True))


def spread(values: Sequence[float], digits: int = 0) -> dict[str, Any]:
    """Median, least and most, for the details."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "rounds": len(values),
    }


@contextmanager
def simulator(**scenario: Any) -> Iterator[Simulator]:
    """A simulated Blueshift in its own process, which keeps nothing and limits nothing unless told otherwise."""
    with Simulator() as running:
        running.scenario(**{"calls_per_second": None, "keep": False, **scenario})
        yield running


# The database


def make_database() -> None:
    """Makes the benchmarks' database where it is missing, with today's tables."""
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [settings.DATABASES["default"]["NAME"]])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{settings.DATABASES["default"]["NAME"]}"')
    call_command("migrate", verbosity=0)


def empty() -> None:
    """No row and no Redis key is left over."""
    tables = ", ".join(f'"{name}"' for name in connection.introspection.table_names() if name != "django_migrations")
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    django_rq.get_connection("default").flushdb()


def fill(count: int) -> None:
    """Empties everything and makes so many customers that are due now."""
    empty()
    for start in range(0, count, FILL_BATCH):
        Customer.objects.bulk_create(_customer(number) for number in range(start, min(start + FILL_BATCH, count)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE blueshift_sync_customer")


def _customer(number: int) -> Customer:
    whole = people.payload(number)
    standard = {name: whole[name] for name in ("customer_id", "email", "firstname", "lastname")}
    customer = Customer(**standard, attributes=people.attributes(number))
    customer.fingerprint = customer.fingerprint_of_payload()
    return customer


def check_all_delivered(count: int) -> None:
    """Ends the benchmark unless all customers are in step and each has its result: a figure would mean nothing."""
    synced = Customer.objects.filter(state=SyncState.State.SYNCED).count()
    results = RecordResult.objects.filter(outcome=RecordResult.Outcome.ACCEPTED).count()
    calls = ApiCall.objects.filter(state=ApiCall.State.SUCCEEDED).count()
    if (synced, results) != (count, count) or calls < count / 50:
        sys.exit(f"Of {count} customers {synced} are in step, with {results} results of {calls} calls.")
