"""How a source finds its values: paths, methods of the model and of the source, functions."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.sources import CustomerSource
from project.shop.models import Customer as Shopper
from project.shop.models import Plan, Subscription
from tests.site.models import Badge, Person

from .conftest import Register
from .helpers import mirrored, mistake, told

pytestmark = pytest.mark.django_db


def attributes_of(obj: Any) -> dict[str, Any]:
    return mirrored(obj).attributes


@pytest.fixture
def tell(registered: Register) -> Any:
    """Registers a source of people that tells the given attributes."""

    def source(**attributes: Any) -> None:
        registered(Person)(type("Told", (CustomerSource,), {"email": "email", "attributes": attributes}))

    return source


def save(**fields: Any) -> Person:
    return Person.objects.create(**{"email": "ada@example.com", "name": "Ada", **fields})


def test_a_path_follows_relations() -> None:
    shopper = Shopper.objects.create(customer_number="1")
    assert "plan" not in told(shopper)
    plan = Plan.objects.create(code="gold", name="Gold", price=3)
    Subscription.objects.create(customer=shopper, plan=plan)
    assert told(shopper)["plan"] == "gold"


def test_a_missing_one_to_one_relation_is_nothing(tell: Any) -> None:
    tell(colour="badge__colour")
    assert attributes_of(save()) == {}


def test_a_present_one_to_one_relation_is_followed(tell: Any) -> None:
    tell(colour="badge__colour")
    person = save()
    Badge.objects.create(person=person, colour="red")
    person.save()
    assert attributes_of(person) == {"colour": "red"}


def test_a_relation_to_nobody_in_the_middle_is_nothing(tell: Any) -> None:
    tell(chief="manager__manager__name")
    assert attributes_of(save(manager=save())) == {}


def test_a_path_goes_into_a_json_field_as_in_djangos_queries(tell: Any) -> None:
    tell(
        plan="data__plan",
        town="data__homes__0__town",
        none="data__homes__7__town",
        items="data__items",
        nothing="data__keys",
        theirs="manager__data__plan",
    )
    boss = save(data={"plan": "silver"})
    data = {"plan": "gold", "homes": [{"town": "Rome"}], "items": 3}
    assert attributes_of(save(data=data, manager=boss)) == {
        "plan": "gold",
        "town": "Rome",
        "items": 3,
        "theirs": "silver",
    }
    assert attributes_of(save(data=None)) == attributes_of(save(data={})) == {}


def test_a_path_into_what_a_json_field_has_no_further_fails_with_a_sentence(tell: Any) -> None:
    tell(plan="data__plan__code")
    assert "has no attribute 'code'" in mistake(save(data={"plan": "gold"}))[1]


def test_a_method_of_the_model_is_called(tell: Any) -> None:
    tell(loud="shout", chief="manager__shout")
    assert attributes_of(save(manager=save(name="Bob"))) == {"loud": "ADA", "chief": "BOB"}


def test_a_function_is_called_with_the_object(tell: Any) -> None:
    tell(initial=lambda person: person.name[0])
    assert attributes_of(save()) == {"initial": "A"}


def test_a_step_that_does_not_exist_fails_this_record_with_a_sentence(tell: Any) -> None:
    tell(colour="badge__shape", chief="boss")
    code, message = mistake(save())
    assert code == "source_error"
    assert "attribute 'chief'" in message
    assert "boss" in message


def test_a_path_that_ends_in_many_objects_fails_with_a_sentence(tell: Any) -> None:
    tell(team="reports")
    assert "has no JSON form" in mistake(save())[1]


def test_a_path_that_ends_in_an_object_fails_with_a_sentence(tell: Any) -> None:
    tell(chief="manager")
    assert "name one of its fields" in mistake(save(manager=save()))[1]


def test_a_method_of_the_source_works_like_a_path(registered: Register) -> None:
    @registered(Person)
    class Source(CustomerSource):
        email = "contact"
        attributes = {"team": "size"}

        def contact(self, person: Person) -> str:
            return person.email.lower()

        def size(self, person: Person) -> int:
            return person.reports.count()

    boss = save(email="BOSS@example.com")
    save(manager=boss)
    boss.save()
    assert told(boss) == {"email": "boss@example.com", "team": 1}


def test_get_field_methods_are_asked_first(registered: Register) -> None:
    @registered(Person)
    class Source(CustomerSource):
        email = "nonsense"

        def get_email(self, person: Person) -> str:
            return f"{person.name}@example.com"

        def get_customer_id(self, person: Person) -> str:
            return f"P-{person.pk}"

    person = save()
    assert told(person) == {"customer_id": f"P-{person.pk}", "email": "Ada@example.com"}


def test_a_function_as_a_field_is_no_method_of_the_source(registered: Register) -> None:
    @registered(Person)
    class Source(CustomerSource):
        email = lambda person: person.email.lower()  # noqa: E731
        attributes = {"mail": "email"}

    assert told(save(email="Ada@Example.com")) == {"email": "ada@example.com", "mail": "Ada@Example.com"}


def test_static_methods_and_partials_are_functions_too(registered: Register) -> None:
    from functools import partial

    @registered(Person)
    class Source(CustomerSource):
        email = "email"
        firstname = partial(lambda ending, person: person.name + ending, "!")
        attributes = {"length": "length"}

        @staticmethod
        def length(person: Person) -> int:
            return len(person.name)

    assert told(save()) == {"email": "ada@example.com", "firstname": "Ada!", "length": 3}


def test_what_every_source_has_is_no_method_but_a_field_of_the_model() -> None:
    """A car has a `model`, a message is `read`, a shelf has a `label`."""

    class Car:
        model = "T"
        read = True
        label = "A-1"
        include = "spare wheel"

    source = CustomerSource()
    source.model = Person
    names = ["model", "read", "label", "include"]
    assert [source.read(Car(), name) for name in names] == ["T", True, "A-1", "spare wheel"]


def test_values_are_read_in_the_sites_language_and_time_zone_not_in_the_requests(tell: Any) -> None:
    from datetime import datetime

    from django.utils import timezone, translation
    from django.utils.translation import gettext_lazy

    tell(answer=lambda person: gettext_lazy("Yes"), seen=lambda person: datetime(2026, 1, 1, 12))  # noqa: DTZ001
    with translation.override("de"), timezone.override("Asia/Tokyo"):
        person = save()
    assert attributes_of(person) == {"answer": "Yes", "seen": "2026-01-01T12:00:00+00:00"}
