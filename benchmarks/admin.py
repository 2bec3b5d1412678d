"""Every page of the admin under a million customers and five million results, against the same page under a thousand.

The large database is made anew, and dropped at the end; BENCH_KEEP=1 keeps it, and uses the one that was kept.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.admin.addresses import addresses
from tests.admin.pages import MODELS, list_url

from . import crowd
from .harness import Row, make_database, median_ratio

FEW, MANY = 1_000, 1_000_000
ROUNDS = 7
TARGET = 1.5
#: Pages are alike if the shorter one is at least so long, beside the other.
ALIKE = 0.9
#: Rows that one step of a plan may read: the lists count up to 10,000.
MOST_ROWS = 20_000
WORST_SHOWN = 5


def run() -> list[Row]:
    settings.ALLOWED_HOSTS = ["testserver"]
    small = settings.DATABASES["default"]["NAME"]
    large = f"{small}_large"
    seconds = _fill(small, FEW)
    with _database(large):
        kept = bool(os.environ.get("BENCH_KEEP")) and _is_filled()
        seconds = 0.0 if kept else _fill(large, MANY)
        size = crowd.size_on_disk()
    times = _times(small, large)
    with _database(large):
        found = {name: problems for name, page in _pages().items() if (problems := _plans(*page))}
    if not os.environ.get("BENCH_KEEP"):
        _drop(large)
    return _rows(times, found, f"{size / 2**30:.1f} GB, written in {seconds:.0f} s")


def _fill(database: str, customers: int) -> float:
    """Returns how many seconds it took."""
    with _database(database):
        started = time.perf_counter()
        crowd.fill(customers)
        return time.perf_counter() - started


def _is_filled() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM blueshift_sync_customer")
        return bool(cursor.fetchone()[0] == MANY)


@contextmanager
def _database(name: str) -> Iterator[None]:
    """All queries go to this database, by one connection that stays open. It is made where it is missing."""
    usual = connections["default"]
    if name not in _CONNECTIONS:
        settings.DATABASES["default"]["NAME"] = name
        _CONNECTIONS[name] = connections["default"] = connections.create_connection("default")
        connection.settings_dict = {**usual.settings_dict, "NAME": name}
        make_database()
        settings.DATABASES["default"]["NAME"] = usual.settings_dict["NAME"]
    connections["default"] = _CONNECTIONS[name]
    try:
        yield
    finally:
        connections["default"] = usual


_CONNECTIONS: dict[str, Any] = {}


def _drop(database: str) -> None:
    _CONNECTIONS.pop(database).close()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{database}"')


def _pages() -> dict[str, tuple[Client, str]]:
    """Each page by its name, with a client that may see it and its address."""
    client = Client()
    client.force_login(get_user_model().objects.get_or_create(username="admin", is_staff=True, is_superuser=True)[0])
    rows = {model: model._base_manager.order_by("pk")[40] for model in MODELS}
    found = {**addresses(client, rows), **dict(_choices())}
    return {name: (client, address) for name, address in found.items()}


def _choices() -> Iterator[tuple[str, str]]:
    """Each value of each filter that offers some: the rare ones are those that read a table to its end."""
    for model in MODELS:
        for name in admin.site.get_model_admin(model).list_filter:
            choices = isinstance(name, str) and model._meta.get_field(name).choices
            for value, _label in choices or []:
                page = f"blueshift_sync/{model._meta.model_name}?{name}__exact={value}"
                yield page, f"{list_url(model)}?{name}__exact={value}"


def _times(*databases: str) -> dict[str, list[list[float]]]:
    """The milliseconds of each page in each database: by turns page by page, so that noise hits both alike."""
    pages = []
    for database in databases:
        with _database(database):
            pages.append(_pages())
    pairs = list(zip(databases, pages, strict=True))
    # A page that only one of them leads to has nothing to be compared with; one that a thousand customers do not fill
    # takes longer for what is on it; their plans are looked at all the same.
    names = [name for name in pages[0] if all(name in of_one for of_one in pages)]
    lengths = {name: [_length(database, *of_one[name]) for database, of_one in pairs] for name in names}
    names = [name for name in names if min(lengths[name]) >= ALIKE * max(lengths[name])]
    return {name: _milliseconds(databases, [of_one[name] for of_one in pages]) for name in names}


def _length(database: str, client: Client, address: str) -> int:
    """Of what the page says."""
    with _database(database):
        response = client.get(address)
        return 0 if response.streaming else len(response.content)


def _milliseconds(databases: Sequence[str], pages: Sequence[tuple[Client, str]]) -> list[list[float]]:
    """Of one page, for each database."""
    times: list[list[float]] = [[] for _ in databases]
    for number in range(ROUNDS + 1):
        for place in list(range(len(databases)))[:: -1 if number % 2 else 1]:
            client, address = pages[place]
            with _database(databases[place]):
                started = time.perf_counter()
                client.get(address)
                taken = 1000 * (time.perf_counter() - started)
            if number:  # the first round reads from the disk and compiles templates
                times[place].append(taken)
    return times


def _plans(client: Client, address: str) -> list[str]:
    """The page's queries that read too many rows, each with what in its plan does."""
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    queries = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("SELECT")]
    return [f"{problem}: {_shortened(sql)}" for sql in queries for problem in _too_much(_plan(sql))]


def _plan(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.replace('%', '%%')}", [])
        plan = cursor.fetchone()[0]
    return dict((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


def _too_much(step: dict[str, Any], *, is_limited: bool = False) -> Iterator[str]:
    """A sequential scan that filters a big table to its end, and any step that reads more rows than a page needs.

    To count up to 10,000 rows of which there are many, PostgreSQL reads the first ones of the table, though there is an
    index: under a limit that is no scan of it. Of each filter the rare values are tried too, see `_choices`.
    """
    read = step["Actual Loops"] * (step["Actual Rows"] + step.get("Rows Removed by Filter", 0))
    table = step.get("Relation Name", "")
    is_big = table in {model._meta.db_table for model in crowd.BIG}
    is_limited = is_limited or step["Node Type"] == "Limit"
    if is_big and (read > MOST_ROWS or (step["Node Type"] == "Seq Scan" and "Filter" in step and not is_limited)):
        yield f"{step['Node Type']} of {read:.0f} rows of {table}"
    for below in step.get("Plans", []):
        yield from _too_much(below, is_limited=is_limited)


def _shortened(sql: str) -> str:
    return re.sub(r"SELECT .*? FROM", "SELECT … FROM", sql, count=1)[:400]


def _rows(times: dict[str, list[list[float]]], plans: dict[str, list[str]], place: str) -> list[Row]:
    ratios = {name: median_ratio(many, few) for name, (few, many) in times.items()}
    worst = sorted(ratios, key=lambda name: -ratios[name])
    for name in worst:
        print(f"  {ratios[name]:.2f} × {median(times[name][1]):.0f} ms: {name}")
    for name, problems in plans.items():
        print("\n    ".join([f"  {name}", *problems]))
    details = {name: {"ratio": round(ratios[name], 2), "ms": round(median(times[name][1]), 1)} for name in worst}
    return [
        Row(
            "a page of the admin under a million customers, against a thousand: the slowest of all",
            ratios[worst[0]],
            target=TARGET,
            at_most=True,
            note=f"{worst[0]}; {len(ratios)} pages, the median {median(ratios.values()):.2f} ×; {place}",
            details=details,
        ),
        Row(
            "pages of the admin with a query that reads a big table without an index, or more than a page needs",
            len(plans),
            unit="pages",
            target=0,
            at_most=True,
            note=", ".join(list(plans)[:WORST_SHOWN]),
            details=plans,
        ),
    ]
