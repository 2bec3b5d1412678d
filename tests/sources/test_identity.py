"""Who has which customer ID: clashes, moves, and rows that nobody owns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from tests.factories import make_customer, make_membership
from tests.site.models import Badge, Person

from .conftest import Register
from .helpers import bring_into_step, mirrored, mistake, rolled_back, start_sending, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def reads() -> list[Any]:
    """The keys of the people that are read for a capture."""
    return []


@pytest.fixture(autouse=True)
def people(registered: Register, reads: list[Any]) -> None:
    @registered(Person)
    class People(CustomerSource):
        customer_id = "number"
        email = "email"

        def include(self, person: Person) -> bool:
            reads.append(person.pk)
            return person.active


def save(number: str | None, **fields: object) -> Person:
    return Person.objects.create(**{"number": number, "email": "ada@example.com", **fields})


def renumber(person: Person, number: str) -> None:
    person.number = number
    person.save()


def mirrored_by(number: str) -> Any:
    """The key of the object that has this customer ID."""
    return Customer.objects.get(customer_id=number).source_id


def numbers(*people: Person) -> list[str | None]:
    return [mirrored(person).customer_id for person in people]


def test_the_second_object_with_a_customer_id_fails_with_a_sentence() -> None:
    first, second = save("1"), save("1")
    code, message = mistake(second)
    assert code == "duplicate_customer_id"
    assert message == (
        f"The customer ID '1' already belongs to site.person {first.pk}. Give one of them another ID, or delete one."
    )
    assert told(first)["customer_id"] == "1"
    assert mirrored(second).contested_customer_id == "1"


def test_upper_case_accents_and_trailing_spaces_tell_customer_ids_apart() -> None:
    people = [save(number) for number in ("a", "A", "á", "a ")]
    assert numbers(*people) == ["a", "A", "á", "a "]


def test_a_clash_heals_by_the_next_save_once_the_first_has_another_id() -> None:
    first, second = save("1"), save("1")
    second.save()
    assert mistake(second)[0] == "duplicate_customer_id"
    renumber(first, "2")
    second.save()
    assert numbers(first, second) == ["2", "1"]
    assert mirrored(second).contested_customer_id is None


def test_a_clash_heals_by_the_next_save_once_the_second_has_another_id() -> None:
    first, second = save("1"), save("1")
    renumber(second, "2")
    assert numbers(first, second) == ["1", "2"]
    assert told(second)["customer_id"] == "2"


def test_a_clash_heals_by_the_next_save_once_the_first_is_deleted() -> None:
    first, second = save("1"), save("1")
    first.delete()
    second.save()
    assert told(second)["customer_id"] == "1"
    left_over = Customer.objects.get(source_id=None)
    assert (left_over.state, left_over.customer_id, left_over.contested_customer_id) == ("EXCLUDED", None, "1")


def test_a_clash_heals_by_the_next_save_once_the_first_is_left_out() -> None:
    first, second = save("1"), save("1")
    first.active = False
    first.save()
    second.save()
    assert told(second)["customer_id"] == "1"
    first.save()
    assert mirrored(first).state == "EXCLUDED"
    assert told(second)["customer_id"] == "1"
    first.active = True
    first.save()
    assert mistake(first)[0] == "duplicate_customer_id"


class TestHealing:
    """Nobody has to save the one that was refused."""

    @pytest.fixture
    def people(self, people: None) -> list[Person]:
        return [save("1"), save("1")]

    def test_when_the_first_gets_another_id(self, people: list[Person]) -> None:
        renumber(people[0], "2")
        assert told(people[1])["customer_id"] == "1"

    def test_when_the_first_is_deleted(self, people: list[Person]) -> None:
        people[0].delete()
        assert told(people[1])["customer_id"] == "1"

    def test_when_the_first_is_left_out(self, people: list[Person]) -> None:
        people[0].active = False
        people[0].save()
        assert told(people[1])["customer_id"] == "1"

    def test_when_the_first_is_found_gone(self, people: list[Person]) -> None:
        Person.objects.filter(pk=people[0].pk)._raw_delete("default")  # type: ignore[attr-defined]
        services.capture(people[:1])
        assert told(people[1])["customer_id"] == "1"

    def test_one_of_several_gets_the_id(self, people: list[Person]) -> None:
        people.append(save("1"))
        people[0].delete()
        assert sorted(mirrored(person).state for person in people[1:]) == ["FAILED", "PENDING"]

    def test_one_alone_is_read_however_many_wait(
        self, people: list[Person], count_queries: Callable[[Callable[[], Any]], int], reads: list[Any]
    ) -> None:
        def free_the_id() -> None:
            reads.clear()
            renumber(Person.objects.get(pk=mirrored_by("1")), "elsewhere")

        few = count_queries(free_the_id)
        renumber(people[0], "far")
        services.capture(Person.objects.bulk_create([Person(number="1") for _ in range(60)]))
        waiting = Customer.objects.filter(contested_customer_id="1").order_by("pk")
        first, versions = waiting[0].source_id, dict(waiting.values_list("pk", "version"))
        assert len(versions) == 60
        assert count_queries(free_the_id) <= few
        assert len(reads) == 2
        assert mirrored_by("1") == first
        assert [versions[pk] - version for pk, version in waiting.values_list("pk", "version")] == [0] * 59

    def test_of_many_the_one_that_still_wants_it_is_found(
        self, people: list[Person], count_queries: Callable[[Callable[[], Any]], int]
    ) -> None:
        waiting = Person.objects.bulk_create([Person(number="1", email="a@example.com") for _ in range(60)])
        services.capture(waiting)
        Person.objects.exclude(pk__in=[people[0].pk, waiting[-1].pk]).update(number=None, email="b@example.com")
        assert count_queries(people[0].delete) < 60
        assert told(waiting[-1])["customer_id"] == "1"

    def test_one_that_is_left_out_does_not_stand_before_one_that_is_sent(self, people: list[Person]) -> None:
        left_out = mirrored(people[1])
        people[1].active = False
        people[1].save()
        waiting = save("1")
        Customer.objects.filter(pk=left_out.pk).update(contested_customer_id="1", customer_id=None)
        people[0].delete()
        assert told(waiting)["customer_id"] == "1"

    def test_one_that_was_left_out_unnoticed_hands_it_on(self, people: list[Person]) -> None:
        waiting = save("1")
        Person.objects.filter(pk=people[1].pk).update(active=False)
        people[0].delete()
        assert mirrored(people[1]).state == "EXCLUDED"
        assert told(waiting)["customer_id"] == "1"

    def test_when_a_row_made_by_hand_gets_another_id(self) -> None:
        by_hand = make_customer(customer_id="2")
        person = save("1")
        renumber(person, "2")
        assert mistake(person)[0] == "duplicate_customer_id"
        by_hand.customer_id = "3"
        services.save_edited(by_hand)
        assert told(person)["customer_id"] == "2"

    def test_when_a_row_made_by_hand_is_deleted(self) -> None:
        by_hand = make_customer(customer_id="2")
        person = save("1")
        renumber(person, "2")
        by_hand.delete()
        assert told(person)["customer_id"] == "2"

    def test_with_a_rollback_the_clash_is_there_again(self, people: list[Person]) -> None:
        with rolled_back():
            people[0].delete()
            assert told(people[1])["customer_id"] == "1"
        assert mistake(people[1])[0] == "duplicate_customer_id"


def test_one_that_is_left_out_does_not_take_the_id_of_one_that_is_sent() -> None:
    first = save("1")
    save("1", active=False)
    assert told(first)["customer_id"] == "1"


def test_two_objects_with_one_id_in_one_capture() -> None:
    Person.objects.bulk_create([Person(number="1", email=f"{name}@example.com") for name in ("ada", "bob")])
    services.capture(Person.objects.all())
    assert sorted(Customer.objects.values_list("state", "customer_id")) == [("FAILED", None), ("PENDING", "1")]


def test_who_has_an_id_keeps_it_whatever_the_order_of_the_capture() -> None:
    late, early = save("2"), save("1")
    Person.objects.update(number="1")
    for order in ([late, early], [early, late]):
        services.capture(order)
        assert numbers(late, early) == [None, "1"]


def test_a_customer_id_moves_to_another_object() -> None:
    first, second = save("1"), save("2")
    renumber(first, "3")
    renumber(second, "1")
    assert numbers(first, second) == ["3", "1"]


@pytest.mark.parametrize("order", [1, -1])
def test_ids_are_swapped_and_rotated_in_one_capture(order: int) -> None:
    people = [save(number) for number in "123"]
    for person, number in zip(people, "231", strict=True):
        Person.objects.filter(pk=person.pk).update(number=number)
    services.capture(people[::order])
    assert numbers(*people) == ["2", "3", "1"]
    assert {row.state for row in Customer.objects.all()} == {"PENDING"}
    assert {row.contested_customer_id for row in Customer.objects.all()} == {None}


@pytest.mark.parametrize("order", [1, -1])
def test_an_id_is_handed_on_in_one_capture(order: int) -> None:
    people = [save("1"), save("2")]
    Person.objects.filter(pk=people[0].pk).update(number="2")
    Person.objects.filter(pk=people[1].pk).update(number="9")
    services.capture(people[::order])
    assert numbers(*people) == ["2", "9"]


def test_an_id_of_an_object_that_is_gone_is_handed_on_in_one_capture() -> None:
    people = [save("1"), save("2")]
    Person.objects.filter(pk=people[1].pk)._raw_delete("default")  # type: ignore[attr-defined]
    Person.objects.filter(pk=people[0].pk).update(number="2")
    services.capture(people)
    services.capture(people[:1])
    assert numbers(people[0]) == ["2"]


def test_a_row_made_by_hand_is_adopted_by_a_new_object_with_its_id() -> None:
    by_hand = make_customer(customer_id="1", email="old@example.com")
    membership = make_membership(customer=by_hand)
    person = save("1")
    row = mirrored(person)
    assert (row.pk, row.email, row.version) == (by_hand.pk, "ada@example.com", 2)
    membership.refresh_from_db()
    assert membership.is_member


def test_several_rows_are_adopted_in_one_capture() -> None:
    by_hand = [make_customer(customer_id=number) for number in "12"]
    people = Person.objects.bulk_create([Person(number=number, email="a@example.com") for number in "123"])
    services.capture(people)
    assert [mirrored(person).pk for person in people[:2]] == [row.pk for row in by_hand]
    assert numbers(*people) == ["1", "2", "3"]


def test_a_row_made_by_hand_is_not_taken_from_an_object_that_has_a_row() -> None:
    person = save("1")
    make_customer(customer_id="2")
    renumber(person, "2")
    assert "already belongs to a customer made by hand" in mistake(person)[1]
    Customer.objects.get(customer_id="2").delete()
    person.save()
    assert told(person)["customer_id"] == "2"


def test_a_row_adopted_while_it_is_being_sent_keeps_its_claim() -> None:
    start_sending(make_customer(customer_id="1"))
    row = mirrored(save("1"))
    assert (row.state, row.version, row.claimed_version) == ("SENDING", 2, 1)
    assert row.claim_token is not None


class TestAfterADeletion:
    """The row stays, detached, and is never sent again."""

    def test_the_row_is_excluded_and_its_memberships_end(self) -> None:
        person = save("1")
        row = mirrored(person)
        bring_into_step(row)
        memberships = [make_membership(customer=row), make_membership(customer=row, is_member=False)]
        other = make_membership()
        person.delete()
        row.refresh_from_db()
        assert (row.state, row.error_code, row.source_type, row.source_id) == (
            "EXCLUDED",
            "source_deleted",
            "site.person",
            None,
        )
        assert row.error_message == "The object on the site was deleted."
        assert (row.due_at, row.customer_id) == (None, "1")
        for membership in (*memberships, other):
            membership.refresh_from_db()
        assert [membership.is_member for membership in (*memberships, other)] == [False, False, True]
        assert [membership.version for membership in (*memberships, other)] == [2, 1, 1]

    def test_a_rolled_back_deletion_leaves_no_trace(self) -> None:
        person = save("1")
        with rolled_back():
            Person.objects.all().delete()
        assert told(person)["customer_id"] == "1"

    def test_a_new_object_with_the_same_key_and_id_takes_the_row_up_again(self) -> None:
        person = save("1")
        before = mirrored(person)
        key = person.pk
        person.delete()
        row = mirrored(save("1", pk=key))
        assert (row.pk, row.state, row.error_code) == (before.pk, "PENDING", "")

    def test_a_new_object_with_another_key_and_the_same_id_takes_the_row_up_again(self) -> None:
        person = save("1")
        before = mirrored(person)
        person.delete()
        assert mirrored(save("1")).pk == before.pk

    def test_a_new_object_with_the_same_key_and_another_id_is_a_customer_of_its_own(self) -> None:
        person = save("1")
        before = mirrored(person)
        key = person.pk
        person.delete()
        row = mirrored(save("2", pk=key))
        assert row.pk != before.pk
        assert set(Customer.objects.values_list("customer_id", "state")) == {("1", "EXCLUDED"), ("2", "PENDING")}

    def test_objects_deleted_together_and_by_cascade(self, registered: Register) -> None:
        @registered(Badge)
        class Badges(CustomerSource):
            email = "colour"

        people = [save(number) for number in "123"]
        Badge.objects.create(person=people[0], colour="red@example.com")
        Person.objects.all().delete()
        assert Customer.objects.count() == 4
        assert set(Customer.objects.values_list("state", "source_id")) == {("EXCLUDED", None)}


def test_a_row_made_in_between_is_found_at_the_second_look(registered: Register) -> None:
    made: list[Customer] = []

    @registered(Badge)
    class Badges(CustomerSource):
        email = "colour"

        def get_queryset(self):  # type: ignore[no-untyped-def]
            if not made:
                made.append(make_customer(source_type="site.badge", source_id=str(badge.pk)))
            return Badge.objects.all()

    with services.disabled():
        badge = Badge.objects.create(person=save("1"), colour="red@example.com")
    badge.save()
    assert made
    assert told(badge)["email"] == "red@example.com"
