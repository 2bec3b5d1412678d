"""Statements that travel to the database together, and those that can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext

from blueshift_sync.delivery.statements import Statement
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from blueshift_sync.sources.trips import savepoint
from tests.site.models import Person, Visit

from .conftest import Register
from .helpers import told

pytestmark = pytest.mark.django_db


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the database, trip by trip; values of the statements left out."""
    sent: list[str] = []
    execute: Callable[..., Any] = CursorWrapper._execute  # type: ignore[attr-defined]

    def seen(self: Any, sql: str, *args: Any) -> Any:
        sent.append(" ".join(part.split()[0] for part in sql.split("; ")))
        return execute(self, sql, *args)

    monkeypatch.setattr(CursorWrapper, "_execute", seen)
    return sent


def assert_sent(trips: list[str], *together: str) -> None:
    """The same statements in the same order everywhere; on PostgreSQL in these trips."""
    assert " ".join(trips) == " ".join(together)
    if connection.vendor == "postgresql":
        assert trips == list(together)


@pytest.mark.usefixtures("people")
class TestWhatTravelsTogether:
    def test_a_new_object(self, trips: list[str]) -> None:
        Person.objects.create(email="ada@example.com")
        assert_sent(trips, "INSERT", "SAVEPOINT SELECT", "INSERT RELEASE")

    def test_a_change(self, trips: list[str]) -> None:
        person = Person.objects.create(email="ada@example.com")
        trips.clear()
        person.email = "augusta@example.com"
        person.save()
        assert_sent(trips, "UPDATE", "SAVEPOINT SELECT SELECT", "UPDATE RELEASE")

    def test_no_change(self, trips: list[str]) -> None:
        person = Person.objects.create(email="ada@example.com")
        trips.clear()
        person.save()
        assert_sent(trips, "UPDATE", "SAVEPOINT SELECT SELECT", "RELEASE")

    def test_where_queries_are_logged_each_is_seen_by_itself(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            Person.objects.create(email="ada@example.com")
        assert [query["sql"].split()[0] for query in queries] == ["INSERT", "SAVEPOINT", "SELECT", "INSERT", "RELEASE"]


def with_a_percent() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 WHERE 'a%' LIKE '%'")
        assert cursor.fetchone() == (1,)


def many_at_once() -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE site_person SET name = %s WHERE email = %s", [("A", "a"), ("Ada", "ada@example.com")]
        )


def by_a_cursor_on_the_server() -> None:
    assert [person.email for person in Person.objects.iterator(chunk_size=1)] == ["ada@example.com"]


@pytest.mark.parametrize("first", [with_a_percent, many_at_once, by_a_cursor_on_the_server])
def test_whatever_the_sites_first_query_is_it_works(registered: Register, first: Callable[[], None]) -> None:
    @registered(Person)
    class People(CustomerSource):
        email = "email"

        def get_queryset(self) -> Any:
            first()
            return Person.objects.all()

    assert told(Person.objects.create(email="ada@example.com"))["email"] == "ada@example.com"


def a_write_that_fails(write: Callable[[Statement], None]) -> None:
    write(Statement("UPDATE no_such_table SET a = %s", [1]))


def an_error_after_a_write(write: Callable[[Statement], None]) -> None:
    write(Statement("INSERT INTO site_visit (person_id) VALUES (NULL)", []))
    raise ZeroDivisionError


def an_error_before_any_statement(write: Callable[[Statement], None]) -> None:
    raise ZeroDivisionError


def a_statement_that_fails(write: Callable[[Statement], None]) -> None:
    Person.objects.create()
    with_no_table()


def with_no_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


@pytest.mark.parametrize(
    "go_wrong", [a_write_that_fails, an_error_after_a_write, an_error_before_any_statement, a_statement_that_fails]
)
def test_what_goes_wrong_in_the_block_undoes_the_block_alone(go_wrong: Callable[..., None]) -> None:
    Person.objects.create(email="before@example.com")
    with pytest.raises((DatabaseError, ZeroDivisionError)), savepoint("default") as write:
        go_wrong(write)
    Person.objects.create(email="after@example.com")
    emails = Person.objects.order_by("pk").values_list("email", flat=True)
    assert list(emails) == ["before@example.com", "after@example.com"]
    assert not Visit.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_the_write_is_committed() -> None:
    with savepoint("default") as write:
        write(Statement("INSERT INTO site_visit (person_id) VALUES (%s)", [None]))
    assert Visit.objects.count() == 1


def test_a_true_that_becomes_a_one_is_written(registered: Register) -> None:
    """In Python they are equal."""

    @registered(Person)
    class People(CustomerSource):
        email = "email"
        attributes = {"flag": lambda person: person.active if person.name else int(person.active)}

    person = Person.objects.create(email="ada@example.com")
    assert repr(told(person)["flag"]) == "1"
    person.name = "Ada"
    person.save()
    assert repr(told(person)["flag"]) == "True"


def test_a_made_object_whose_row_is_there_already_is_captured(people: None) -> None:
    person = Person.objects.create(email="ada@example.com")
    Person.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
    Person.objects.create(pk=person.pk, email="augusta@example.com")
    assert Customer.objects.count() == 1
    assert told(person)["email"] == "augusta@example.com"
