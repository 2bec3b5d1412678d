"""Sources that save while they read: nothing hangs, the changes are captured, and the records say what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Badge, Person, Signup, Visit

from .conftest import Register
from .helpers import ada, lists_of, mirrored, mistake, row_of, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def reads(registered: Register) -> list[Callable[[Person], Any]]:
    """What the source of people does while it reads one."""
    functions: list[Callable[[Person], Any]] = []

    @registered(Person)
    class People(CustomerSource):
        email = "email"
        attributes = {"read": lambda person: str([function(person) for function in functions])}
        watch = {Badge: "person", Visit: "person"}

        def include(self, person: Person) -> bool:
            return person.active

    return functions


@pytest.fixture
def calls() -> list[Person]:
    return []


def save_itself(calls: list[Person]) -> Callable[[Person], Any]:
    def save(person: Person) -> None:
        calls.append(person)
        person.save()

    return save


def test_one_that_saves_its_own_object_fails_with_a_sentence(reads: list[Any], calls: list[Person]) -> None:
    reads.append(save_itself(calls))
    person = ada()
    code, sentence = mistake(person)
    assert code == "source_error"
    assert sentence == (
        "The source saves or deletes something whenever it reads the object (a site.Person). A source only reads: "
        "leave that to the site's own code."
    )
    assert len(calls) == 6  # twice, and twice for each of the two changes
    version = mirrored(person).version
    person.save()
    assert mirrored(person).version == version
    reads.clear()
    person.save()
    assert told(person)["read"] == "[]"


def test_a_bulk_capture_fails_each_of_them(reads: list[Any], calls: list[Person]) -> None:
    reads.append(save_itself(calls))
    people = Person.objects.bulk_create([Person(email="ada@example.com") for _ in range(5)])
    assert services.capture(people).failed == 5
    assert {mistake(person)[0] for person in people} == {"source_error"}
    assert len(calls) == 5 * 6


def test_one_that_saves_all_others_ends_too(reads: list[Any], calls: list[Person]) -> None:
    people = [ada() for _ in range(4)]
    reads.append(lambda person: [save_itself(calls)(other) for other in people])
    people[0].save()
    assert {mistake(person)[0] for person in people} == {"source_error"}
    assert len(calls) <= 2 * 4 * (1 + 2 * 4)


def test_one_that_saves_what_is_watched_fails_too(reads: list[Any]) -> None:
    reads.append(lambda person: Visit.objects.create(person=person))
    assert "(a site.Visit)" in mistake(ada())[1]


def test_one_that_is_left_out_needs_no_mending(reads: list[Any], calls: list[Person]) -> None:
    reads.append(save_itself(calls))
    assert mirrored(ada(active=False)).error_code == "excluded"


def test_what_is_made_once_is_no_mistake(reads: list[Any]) -> None:
    reads.append(lambda person: Badge.objects.get_or_create(person=person, defaults={"colour": "red"})[0].colour)
    person = ada()
    assert (told(person)["read"], mirrored(person).version) == ("['red']", 1)


def test_another_object_that_is_changed_once_is_captured_afterwards(reads: list[Any]) -> None:
    boss = ada(name="Boss")

    def rename_boss(person: Person) -> None:
        if person.pk != boss.pk and Person.objects.filter(pk=boss.pk, email="ada@example.com"):
            boss.email = "boss@example.com"
            boss.save()

    reads.append(rename_boss)
    person = ada()
    assert (told(person)["email"], told(boss)["email"]) == ("ada@example.com", "boss@example.com")


def test_one_that_asks_for_a_capture_fails(reads: list[Any]) -> None:
    reads.append(lambda person: services.capture([person]))
    assert "A source can't have objects captured while it reads one." in mistake(ada())[1]


def test_a_membership_source_that_saves_its_own_object_fails(registered: Register, reads: list[Any]) -> None:
    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = 7

        def include(self, signup: Signup) -> bool:
            if saves:
                signup.save()
            return True

    saves: list[bool] = []
    signup = Signup.objects.create(person=ada())
    assert lists_of(signup.person) == {7}
    saves.append(True)
    signup.save()
    assert (row_of(signup).state, row_of(signup).error_code) == ("FAILED", "source_error")
    assert "A source only reads" in row_of(signup).error_message
    saves.clear()
    signup.save()
    assert row_of(signup).state == "PENDING"


def test_reading_for_a_preview_ends_too(reads: list[Any], calls: list[Person]) -> None:
    from blueshift_sync.sources.backfill import parts_of, preview
    from blueshift_sync.sources.registry import sources_of

    reads.append(save_itself(calls))
    Person.objects.bulk_create([Person(email="ada@example.com")])
    (part,) = parts_of(sources_of(Person))
    assert [change.kind for change in preview(part, lambda count: None)] == ["new"]
    assert len(calls) == 6  # twice, and twice for each of the two changes
    assert Customer.objects.count() == 1
