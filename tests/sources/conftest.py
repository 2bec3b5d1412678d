"""What the tests of the capture side share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from blueshift_sync.sources import CustomerSource, MembershipSource, receivers, register
from blueshift_sync.sources.registration import unregister
from tests.site.models import Person, Signup

Register = Callable[..., Callable[[Any], Any]]


@pytest.fixture(autouse=True)
def _fresh_memory() -> None:
    """An object of another test that had the same key is not taken for this one's."""
    receivers._captured_lately.set(())


@pytest.fixture
def registered() -> Iterator[Register]:
    """As `register`, until the end of the test."""
    seen: list[type[models.Model]] = []

    def register_for_now(*targets: type[models.Model]) -> Callable[[Any], Any]:
        seen.extend(targets)
        return register(*targets)

    yield register_for_now
    for model in seen:
        unregister(model)


@pytest.fixture
def count_queries() -> Callable[[Callable[[], Any]], int]:
    """Says how many queries a call makes."""

    def count(call: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            call()
        return len(queries)

    return count


@pytest.fixture
def writes() -> Callable[[Callable[[], Any]], list[str]]:
    """The statements that a call writes into our own tables."""

    def written(call: Callable[[], Any]) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            call()
        return [
            query["sql"]
            for query in queries
            if "blueshift_sync_" in query["sql"] and query["sql"].split()[0] in {"INSERT", "UPDATE", "DELETE"}
        ]

    return written


@pytest.fixture
def people(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        email = "email"


@pytest.fixture
def news(registered: Register, people: None) -> None:
    """Signups put people on the list that `news` names."""

    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = "news"

        def include(self, signup: Signup) -> bool:
            return signup.confirmed
