"""An attribute keeps the JSON type that it was first sent as."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.delivery.customers import claim_customers
from blueshift_sync.models import AttributeType, SyncRun
from blueshift_sync.sources import CustomerSource
from tests.factories import make_customer
from tests.site.models import Person
from tests.sources.helpers import bring_into_step, mirrored, mistake, start_sending, told

from .conftest import Register

pytestmark = pytest.mark.django_db

NUMBER_THEN_TEXT = "Not sent: attribute 'age' has been sent as a number; this value is text."


@pytest.fixture(autouse=True)
def people(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        email = "email"
        attributes = {"age": "data", "name": "name"}
        send_null = {"name"}

        def include(self, person: Person) -> bool:
            return person.active


def save(age: Any, **fields: Any) -> Person:
    return Person.objects.create(**{"email": "ada@example.com", "data": age, **fields})


def change(person: Person, age: Any) -> None:
    person.data = age
    person.save()


def send() -> list[str]:
    """A worker claims what is due; as far as this app knows, it is on its way then. Returns the e-mail addresses."""
    claims = claim_customers(lambda kind: SyncRun.objects.create(kind=kind, trigger="SIGNAL").pk, 4)
    return [record.email for claim in claims for record in claim.records]


def types() -> dict[str, str]:
    return dict(AttributeType.objects.values_list("name", "json_type"))


def test_the_first_type_that_is_sent_is_remembered_and_another_one_fails_with_a_sentence() -> None:
    save(7)
    assert types() == {}
    assert len(send()) == 1
    assert types() == {"age": "number", "name": "text"}
    code, message = mistake(save("7"))
    assert code == "type_changed"
    assert message.startswith(NUMBER_THEN_TEXT)
    assert send() == []


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, True), (True, 1), ("1", 1), ([1], "1"), ({"a": 1}, [1]), (0, False), (1.5, "1.5"), ("a", {})],
)
def test_each_type_differs_from_each_other(first: Any, second: Any) -> None:
    person = save(first)
    send()
    change(person, second)
    row = mirrored(person)
    assert (row.error_code, row.attributes["age"], type(row.attributes["age"])) == (
        "type_changed",
        second,
        type(second),
    )


@pytest.mark.parametrize(
    ("first", "second"), [(1, 1.5), (1.5, 1), (7, 2**40), ("", "text"), ([1], ["a"]), ({}, {"a": 1})]
)
def test_what_is_of_one_type_is_sent(first: Any, second: Any) -> None:
    save(first)
    send()
    assert told(save(second))["age"] == second


def test_null_is_no_type() -> None:
    save(None)
    assert send()
    assert types() == {"name": "text"}
    person = save(7)
    send()
    bring_into_step(mirrored(person))
    change(person, None)
    assert "age" not in told(person)


def test_an_attribute_that_was_never_sent_may_change_its_type() -> None:
    person = save("seven", active=False)
    assert send() == []
    person.active = True
    change(person, 7)
    assert told(person)["age"] == 7


def test_of_two_types_in_one_call_the_first_is_sent() -> None:
    first, second = save(7, email="1@example.com"), save("7", email="2@example.com")
    assert send() == ["1@example.com"]
    assert mistake(second)[1].startswith(NUMBER_THEN_TEXT)
    assert mirrored(first).state == "SENDING"


def test_what_was_captured_before_the_type_was_known_is_not_sent_either() -> None:
    person = save("7")
    AttributeType.objects.create(name="age", json_type="number")
    assert send() == []
    assert mistake(person)[0] == "type_changed"


def test_a_record_made_by_hand_is_not_sent_with_another_type() -> None:
    AttributeType.objects.create(name="age", json_type="number")
    row = make_customer(attributes={"age": "seven", "other": 1})
    assert send() == []
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("FAILED", "type_changed")
    assert types() == {"age": "number"}


@pytest.mark.parametrize("refused_by", ["capture", "claim"])
def test_an_unchanged_save_of_a_refused_record_writes_nothing(
    refused_by: str, writes: Callable[..., list[str]]
) -> None:
    person = save("7") if refused_by == "claim" else None
    AttributeType.objects.create(name="age", json_type="number")
    person = person or save("7")
    send()
    assert mistake(person)[0] == "type_changed"
    assert writes(person.save) == []


def test_it_heals_by_a_save_with_the_right_type() -> None:
    AttributeType.objects.create(name="age", json_type="number")
    person = save("7")
    change(person, 7)
    assert told(person)["age"] == 7


def test_types_that_are_forgotten_let_refused_records_go(login_superuser: Client) -> None:
    AttributeType.objects.create(name="age", json_type="number")
    refused = save("7")
    being_sent = save(7, email="bob@example.com")
    start_sending(mirrored(being_sent))
    change(being_sent, "8")
    services.forget_types(["age"])
    assert told(refused)["age"] == "7"
    assert send() == ["ada@example.com"]
    assert types()["age"] == "text"
    assert mirrored(being_sent).error_code == ""


@pytest.fixture
def login_superuser(admin_client: Client) -> Client:
    return admin_client


def test_the_admin_forgets_a_type_by_deleting_it(login_superuser: Client) -> None:
    kinds = [AttributeType.objects.create(name=name, json_type="number") for name in ("age", "name", "other")]
    person = save("7")
    page = f"/admin/blueshift_sync/attributetype/{kinds[0].pk}/delete/"
    assert login_superuser.post(page, {"post": "yes"}).status_code == 302
    assert types() == {"name": "number", "other": "number"}
    assert told(person)["age"] == "7"


def test_another_workers_type_counts_that_came_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look, and find nothing; the other one writes first."""
    from blueshift_sync.delivery import attribute_types

    look = attribute_types.known_types

    def look_too_early(names: Any) -> Any:
        found = look(names)
        AttributeType.objects.get_or_create(name="age", json_type="number")
        return found

    monkeypatch.setattr(attribute_types, "known_types", look_too_early)
    save("7")
    assert send() == []
    assert types()["age"] == "number"


class TestQueries:
    def of(self, change: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            change()
        return sum("attributetype" in query["sql"] for query in queries)

    def test_none_for_a_value_of_the_type_that_it_had(self) -> None:
        person = save(7)
        assert self.of(person.save) == 0
        assert self.of(lambda: change(person, 8)) == 0
        assert self.of(lambda: change(person, "8")) == 1

    def test_one_for_many_new_objects(self) -> None:
        people = Person.objects.bulk_create(
            Person(email=f"{number}@example.com", data=number, name="Ada") for number in range(20)
        )
        assert self.of(lambda: services.capture(people)) == 1


def test_a_value_keeps_its_type_through_every_database() -> None:
    person = save({"day": dt.date(2026, 1, 1).isoformat(), "n": [1, 1.5, True, None]})
    assert told(person)["age"] == {"day": "2026-01-01", "n": [1, 1.5, True, None]}
