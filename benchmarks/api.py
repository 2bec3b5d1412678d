"""The REST API under a million customers and five million results, against the same requests under a thousand.

The two databases are asked by turns, request by request, so that whatever else the machine does hits both. The large
one is made anew, and dropped at the end; BENCH_KEEP=1 keeps it, and uses the one that was kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import connections
from django.urls import reverse
from rest_framework.test import APIClient

from blueshift_sync.api.pagination import Ordering, _salt
from blueshift_sync.api.urls import router

from .admin import FEW, MANY, _database, _drop, _fill, _is_filled
from .harness import Row

ROUNDS = 60
TARGET = 0.8
#: The row that a detail is of, and that lists are of; there is one in both databases.
ROW = 40
#: Of a page: of a thousand customers there are 60 runs, and 60 failed; the larger database mustn't answer with more.
ROWS = 50
FILTERS = {
    "customers": [
        {"state": "FAILED", "page_size": str(ROWS)},
        {"customer_id": "c40"},
        {"email": "c40@example.com"},
        {"run": "40"},
    ],
    "memberships": [
        {"state": "FAILED", "page_size": str(ROWS)},
        {"customer": "40"},
        {"customer__customer_id": "c40"},
        {"run": "40"},
    ],
    "runs": [{"customer": "40"}],
    "calls": [{"run": "40"}, {"customer": "40"}],
    "results": [{"call": "40"}, {"customer": "40"}, {"customer__email": "c40@example.com"}],
}


def run() -> list[Row]:
    settings.ALLOWED_HOSTS = ["testserver"]
    small = settings.DATABASES["default"]["NAME"]
    large = f"{small}_large"
    _fill(small, FEW)
    with _database(large):
        if not (os.environ.get("BENCH_KEEP") and _is_filled()):
            _fill(large, MANY)
    sides = {name: _wrapper(name) for name in (small, large)}
    pages = _pages()
    ratios = {page: _ratio(ask, sides[small], sides[large]) for page, ask in pages.items()}
    deep = {name: _ratio_of_depth(name, view, sides[large]) for name, view, _base in _lists()}
    for wrapper in sides.values():
        wrapper.close()
    if not os.environ.get("BENCH_KEEP"):
        _drop(large)
    return [
        _row("requests/s of the REST API with a million customers, to those with a thousand: the worst of all", ratios),
        _row("pages of the REST API deep in a million customers, to the first: the worst of all", deep),
    ]


def _row(what: str, ratios: dict[str, tuple[float, float]]) -> Row:
    worst = min(ratios, key=lambda name: ratios[name][0])
    middle = median(ratio for ratio, _ms in ratios.values())
    return Row(
        what,
        ratios[worst][0],
        target=TARGET,
        note=f"{worst}; {len(ratios)} requests, the median {middle:.2f} ×, by turns",
        details={name: {"ratio": round(ratio, 2), "ms": round(ms, 2)} for name, (ratio, ms) in ratios.items()},
    )


def _lists() -> list[tuple[str, Any, str]]:
    return [(prefix, view, base) for prefix, view, base in router.registry]


def _pages() -> dict[str, Callable[[], None]]:
    pages: dict[str, Callable[[], None]] = {}
    for name, _view, _base in _lists():
        address = reverse(f"blueshift_sync:{name}-list")
        pages[f"{name}/?page_size={ROWS}"] = _asking(f"{address}?page_size={ROWS}")
        pages[f"{name}/{ROW}/"] = _asking(f"{address}{ROW}/")
        for parameters in FILTERS.get(name, []):
            query = "&".join(f"{key}={value}" for key, value in parameters.items())
            pages[f"{name}/?{query}"] = _asking(f"{address}?{query}")
    pages["status/"] = _asking(reverse("blueshift_sync:status"))
    return pages


def _asking(address: str) -> Callable[[], None]:
    client = APIClient()
    client.force_authenticate(User(pk=1, username="bench", is_superuser=True))

    def ask() -> None:
        response = client.get(address)
        assert response.status_code == 200, (address, response.content)

    return ask


def _wrapper(database: str) -> Any:
    """A connection to this database, to be put in the place of the default one."""
    wrapper: Any = connections.create_connection("default")
    wrapper.settings_dict = {**wrapper.settings_dict, "NAME": database}
    return wrapper


@contextmanager
def _using(wrapper: Any) -> Iterator[None]:
    usual = connections["default"]
    connections["default"] = wrapper
    try:
        yield
    finally:
        connections["default"] = usual


def _milliseconds(ask: Callable[[], None], wrapper: Any) -> float:
    with _using(wrapper):
        started = time.perf_counter()
        ask()
        return 1000 * (time.perf_counter() - started)


def _by_turns(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """How many times as fast the second is, and its milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 2):
        for place, measure in list(enumerate((first, second)))[:: -1 if number % 2 else 1]:
            taken = measure()
            if number > 1:  # the first ones read from the disk
                times[place].append(taken)
    return median(times[0]) / median(times[1]), median(times[1])


def _ratio(ask: Callable[[], None], small: Any, large: Any) -> tuple[float, float]:
    return _by_turns(lambda: _milliseconds(ask, small), lambda: _milliseconds(ask, large))


def _ratio_of_depth(name: str, view: Any, large: Any) -> tuple[float, float]:
    address = reverse(f"blueshift_sync:{name}-list")
    model = view.queryset.model
    ordering = Ordering(view.ordering, model)
    with _using(large):
        rows = model._default_manager
        last = rows.order_by("-pk").values_list("pk", flat=True)[0]
        deep = rows.get(pk=last // 10 if ordering.down else last * 9 // 10) if last > ROW * 10 else rows.all()[0]
        cursor = signing.dumps(ordering.place_of(deep), salt=_salt(ordering))
    first, far = _asking(address), _asking(f"{address}?cursor={cursor}")
    return _by_turns(lambda: _milliseconds(first, large), lambda: _milliseconds(far, large))
