"""Objects that are deleted together are forgotten together: by the same statements, however many they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.signals import post_delete

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Person, Signup, Worker

from .conftest import Register
from .helpers import heard_first, lists_of, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sources(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        customer_id = "number"
        email = "email"

    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = "news"


def people(count: int, model: Any = Person) -> list[Any]:
    return [model.objects.create(email=f"{number}@example.com") for number in range(count)]


def sign_up(person: Person, count: int) -> None:
    services.capture(Signup.objects.bulk_create([Signup(person=person, news=str(n + 1)) for n in range(count)]))


def states() -> set[tuple[str, str | None]]:
    return set(Customer.objects.values_list("state", "source_id"))


def test_a_queryset_of_customers(count_queries: Callable[..., int]) -> None:
    counted = []
    for count in (2, 12):
        people(count)
        counted.append(count_queries(Person.objects.all().delete))
        assert states() == {("EXCLUDED", None)}
    assert counted[0] == counted[1]


def test_a_customer_with_all_its_memberships(count_queries: Callable[..., int]) -> None:
    counted = []
    for count in (2, 12):
        (person,) = people(1)
        sign_up(person, count)
        assert len(lists_of(person)) == count
        counted.append(count_queries(person.delete))
        assert not ListMembership.objects.filter(is_member=True).exists()
    assert counted[0] == counted[1]


def test_children_with_their_parents() -> None:
    people(3, Worker)
    Worker.objects.all().delete()
    assert states() == {("EXCLUDED", None)}
    assert Customer.objects.count() == 3


def test_a_child_whose_parent_stays() -> None:
    (worker, *_) = people(2, Worker)
    worker.delete(keep_parents=True)
    assert told(Person.objects.get(email="0@example.com"))["email"] == "0@example.com"


def test_an_id_that_becomes_free_goes_to_who_waits_for_it() -> None:
    first = [Person.objects.create(number=number, email="first@example.com") for number in "12"]
    second = [Person.objects.create(number=number, email="second@example.com") for number in "12"]
    Person.objects.filter(pk__in=[person.pk for person in first]).delete()
    assert [told(person)["customer_id"] for person in second] == ["1", "2"]


def test_another_object_that_still_wants_the_place_on_a_list_keeps_it() -> None:
    (person,) = people(1)
    for _ in range(3):
        Signup.objects.create(person=person, news="7")
    Signup.objects.filter(pk__in=list(Signup.objects.order_by("pk").values_list("pk", flat=True)[:2])).delete()
    assert lists_of(person) == {7}


def test_what_a_failed_deletion_left_is_not_forgotten_by_the_next_one() -> None:
    def refuse(**kwargs: Any) -> None:
        raise ValidationError("not now")

    (person, other) = people(2)
    sign_up(person, 3)
    with heard_first(post_delete, Signup, refuse), pytest.raises(ValidationError), transaction.atomic():
        person.delete()
    Signup.objects.filter(news="1").update(person=other)
    services.capture(Signup.objects.all())
    person.delete()
    assert states() == {("EXCLUDED", None), ("PENDING", str(other.pk))}
    assert lists_of(other) == {1}


def test_a_deletion_that_is_rolled_back() -> None:
    (person,) = people(1)
    sign_up(person, 3)
    with transaction.atomic():
        Person.objects.all().delete()
        transaction.set_rollback(True)
    assert lists_of(Person.objects.get()) == {1, 2, 3}
