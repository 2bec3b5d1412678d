"""Mistakes in the site's mapping code: the site's save goes through, and the record says what is wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from rq.timeouts import JobTimeoutException

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from tests.site.models import Account, Person

from .conftest import Register
from .helpers import mirrored, mistake, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def mapping(registered: Register) -> dict[str, Any]:
    """A source of people whose attribute and fields the test sets; keys name fields of the source."""
    functions: dict[str, Any] = {}

    def ask(name: str, person: Person, default: Any) -> Any:
        return functions[name](person) if name in functions else default

    @registered(Person)
    class Source(CustomerSource):
        email = "email"
        attributes = {"odd": lambda person: ask("odd", person, "fine")}

        def get_customer_id(self, person: Person) -> Any:
            return ask("customer_id", person, person.number)

        def get_firstname(self, person: Person) -> Any:
            return ask("firstname", person, person.name)

        def get_subscription_groups(self, person: Person) -> Any:
            return ask("subscription_groups", person, {})

        def include(self, person: Person) -> Any:
            return ask("include", person, True)

    return functions


def save(**fields: Any) -> Person:
    return Person.objects.create(**{"email": "ada@example.com", "name": "Ada", **fields})


def fail(error: Exception) -> Any:
    def function(person: Person) -> Any:
        raise error

    return function


def broken_query(person: Person) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM no_such_table")


def swallowed_query(person: Person) -> Any:
    try:
        broken_query(person)
    except DatabaseError:
        return "fine"


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("where", ["odd", "customer_id", "firstname", "subscription_groups", "include"])
def test_an_error_fails_the_record_with_a_sentence_and_the_next_good_save_heals_it(mapping: Any, where: str) -> None:
    mapping[where] = fail(ZeroDivisionError("division by zero"))
    person = save()
    code, message = mistake(person)
    assert code == "source_error"
    assert message.startswith("The source failed at ")
    assert message.endswith(": ZeroDivisionError: division by zero")
    assert {"subscription_groups": "groups", "include": "included"}.get(where, where) in message
    mapping.clear()
    person.save()
    assert told(person) == {"email": "ada@example.com", "firstname": "Ada", "odd": "fine"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "the number nan has no JSON form"),
        (float("inf"), "the number inf has no JSON form"),
        ("a\0b", "NUL character"),
        ("\ud800", "lone surrogate"),
        ({"deep": [float("-inf")]}, "the number -inf has no JSON form"),
        (10**5000, "too many digits"),
        (object(), "type object has no JSON form"),
        ("a" * 10_000_000, "it has 10,000,000 characters; more than 200,000 can't be sent"),
    ],
    ids=["nan", "inf", "nul", "surrogate", "nested", "digits", "object", "10 MB"],
)
def test_a_value_that_cannot_be_sent_fails_this_record_alone(mapping: Any, value: Any, reason: str) -> None:
    mapping["odd"] = lambda person: value if person.name == "Odd" else "fine"
    good, odd = save(), save(name="Odd")
    code, message = mistake(odd)
    assert code == "value_not_sendable"
    assert message.startswith("Can't send attribute 'odd': ")
    assert reason in message
    assert told(good)["odd"] == "fine"
    Customer.objects.all().delete()
    services.capture(Person.objects.all())
    assert (mirrored(good).state, mirrored(odd).state) == ("PENDING", "FAILED")


@pytest.mark.parametrize("value", [2**70, 10**300, 1e22, 0.1, {"a": [{"b": {"c": 1}}]}, "👩🏽‍🚀" * 1000])
def test_odd_values_that_databases_can_hold_are_kept_as_they_are(mapping: Any, value: Any) -> None:
    mapping["odd"] = lambda person: value
    assert told(save())["odd"] == value


@pytest.mark.parametrize("levels", [19, 20, 40, 100_000])
def test_no_depth_of_a_value_breaks_the_save(mapping: Any, levels: int) -> None:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    mapping["odd"] = lambda person: value
    row = mirrored(save())
    assert row.state == ("PENDING" if levels <= 20 else "FAILED")
    assert bool(row.error_message) == (levels > 20)


def test_many_large_values_in_one_capture(mapping: Any) -> None:
    """Together they are more than some databases take in one statement."""
    Person.objects.bulk_create(Person(email=f"{number}@example.com") for number in range(40))
    for letter in "öü":
        mapping["odd"] = lambda person, letter=letter: letter * 100_000
        assert services.capture(Person.objects.all()).changed == 40


def test_a_value_that_contains_itself_fails_with_a_sentence(mapping: Any) -> None:
    value: list[Any] = []
    value.append(value)
    mapping["odd"] = lambda person: value
    assert "RecursionError" in mistake(save())[1]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("customer_id", "c" * 256, "256 characters; more than 255"),
        ("firstname", "n" * 256, "256 characters; more than 255"),
        ("firstname", ["Ada"], "a list or an object"),
        ("firstname", "\ud800", "lone surrogate"),
        ("customer_id", "\0", "NUL"),
    ],
)
def test_a_field_that_cannot_be_kept_fails_with_a_sentence(mapping: Any, name: str, value: Any, reason: str) -> None:
    mapping[name] = lambda person: value
    code, message = mistake(save())
    assert code == "value_not_sendable"
    assert f"field '{name}'" in message
    assert reason in message


def test_an_email_that_is_too_long_fails_and_one_that_grows_in_lower_case_does_not(mapping: Any) -> None:
    assert "more than 320" in mistake(save(email="e" * 321))[1]
    assert told(save(email="İ" * 320))["email"] == "İ" * 320


@pytest.mark.parametrize(
    "error",
    [ValueError("a\0b\ud800"), ValueError("x" * 100_000), Unspeakable(), RecursionError()],
    ids=["characters", "length", "unspeakable", "recursion"],
)
def test_no_text_of_an_error_breaks_the_record(mapping: Any, error: Exception) -> None:
    mapping["odd"] = fail(error)
    code, message = mistake(save())
    assert code == "source_error"
    assert type(error).__name__ in message
    assert len(message) < 1000


def test_the_sentence_follows_the_newest_mistake(mapping: Any) -> None:
    mapping["odd"] = fail(ValueError("first"))
    person = save()
    mapping["odd"] = fail(ValueError("second"))
    person.save()
    assert "second" in mistake(person)[1]


def test_a_field_that_cannot_be_read_stays_what_it_was(mapping: Any) -> None:
    person = save(number="1")
    mapping["customer_id"] = fail(ValueError())
    person.save()
    assert mirrored(person).customer_id == "1"
    other = save(number="2")
    mapping.clear()
    for saved in (person, other):
        saved.save()
    assert (told(person)["customer_id"], told(other)["customer_id"]) == ("1", "2")


def test_a_database_error_in_the_mapping_leaves_the_sites_transaction_whole(mapping: Any) -> None:
    mapping["odd"] = broken_query
    with transaction.atomic():
        person = save()
        assert Person.objects.count() == 1
    code, message = mistake(person)
    assert code == "source_error"
    assert message.startswith("The source failed in the database: ")
    mapping.clear()
    person.save()
    assert told(person)["odd"] == "fine"


def test_a_database_error_at_one_object_concerns_that_one_alone(mapping: Any) -> None:
    people = [save(name=name) for name in ("Ada", "Odd", "Bob")]
    mapping["odd"] = lambda person: broken_query(person) if person.name == "Odd" else "new"
    assert services.capture(Person.objects.all()).changed == 3
    assert [mirrored(person).state for person in people] == ["PENDING", "FAILED", "PENDING"]


def test_a_database_error_that_the_mapping_swallows_does_no_harm(mapping: Any) -> None:
    mapping["odd"] = swallowed_query
    with transaction.atomic():
        person = save()
    # Where the database goes on after an error the value is good; where it doesn't, the record says so.
    assert mirrored(person).state in {"PENDING", "FAILED"}
    assert Person.objects.filter(pk=person.pk).exists()


def test_a_jobs_time_out_ends_the_job(mapping: Any) -> None:
    mapping["odd"] = fail(JobTimeoutException("time is up"))
    with pytest.raises(JobTimeoutException), transaction.atomic():
        save()
    assert not Person.objects.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_goes_through(mapping: Any, error: type[BaseException]) -> None:
    def stop(person: Person) -> Any:
        raise error

    mapping["odd"] = stop
    with pytest.raises(error):
        save()


def test_a_queryset_of_the_source_that_fails_is_logged_without_personal_data(
    registered: Register, caplog: pytest.LogCaptureFixture
) -> None:
    @registered(Account)
    class Source(CustomerSource):
        email = "email"

        def get_queryset(self) -> Any:
            raise RuntimeError("ada@example.com")

    with caplog.at_level(logging.DEBUG):
        Account.objects.create(login="ada.lovelace", email="ada@example.com")
    assert Account.objects.count() == 1
    (record,) = caplog.records
    assert "site.Account" in record.getMessage()
    assert "RuntimeError" in record.getMessage()
    assert "ada" not in caplog.text.lower()
