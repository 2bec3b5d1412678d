"""An object belongs to one database, the one that the routers say; its copies in others are none of the mirror's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models.signals import post_save

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.club.models import Member, Tag
from tests.factories import make_customer
from tests.routers import OtherDatabase
from tests.site.models import Person, Signup, Visit

from .conftest import Register
from .helpers import ada, lists_of, mirrored, told

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])


@pytest.fixture(autouse=True)
def sources(registered: Register) -> Iterator[None]:
    @registered(Person)
    class People(CustomerSource):
        customer_id = "number"
        email = "email"
        attributes = {"visits": lambda person: person.visits.count()}
        watch = {Visit: "person"}

    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = 7

    yield
    for model in (Visit, Signup, Person, Member, Tag):
        model.objects.using("elsewhere").all().delete()  # type: ignore[attr-defined]
    connections["elsewhere"].close()


def test_a_copy_that_is_saved_changes_nothing() -> None:
    person = ada()
    person.email = "copy@example.com"
    person.save(using="elsewhere")
    assert told(person)["email"] == "ada@example.com"


@pytest.mark.parametrize("as_list", [True, False])
def test_capturing_a_copy_reads_the_original(as_list: bool) -> None:
    person = ada()
    Person(pk=person.pk, email="copy@example.com").save(using="elsewhere")
    copies = Person.objects.using("elsewhere").all()
    services.capture(list(copies) if as_list else copies)
    assert told(person)["email"] == "ada@example.com"


def test_a_copy_that_is_deleted_leaves_the_customer_alone() -> None:
    person = ada()
    signup = Signup.objects.create(person=person)
    person.save(using="elsewhere")
    signup.save(using="elsewhere")
    Person.objects.using("elsewhere").all().delete()
    assert told(person)["email"] == "ada@example.com"
    assert lists_of(person) == {7}


def test_copies_of_watched_objects_and_their_links_re_read_nobody() -> None:
    person = ada()
    with services.disabled():
        person.save(using="elsewhere")
        Visit.objects.create(person=person)
    visit = Visit.objects.using("elsewhere").create(person_id=person.pk)
    visit.save()
    visit.delete()
    assert told(person)["visits"] == 0
    member = Member.objects.create(email="ada@example.com")
    before = Customer.objects.get(source_type="club.member").version
    with services.disabled():
        member.tags.add(Tag.objects.create(name="new"))
        member.save(using="elsewhere")
    copy = Member.objects.using("elsewhere").get()
    copy.tags.add(Tag.objects.using("elsewhere").create(name="copy"))
    copy.tags.clear()
    assert Customer.objects.get(source_type="club.member", source_id=member.pk).version == before


def test_an_object_that_was_read_from_a_replica_is_captured(settings: Any) -> None:
    class Replica(OtherDatabase):
        def db_for_read(self, model: Any, **hints: Any) -> str:
            return "elsewhere" if model._meta.app_label == "site" else "default"

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    person = ada()
    with services.disabled():
        person.save(using="elsewhere")
    settings.DATABASE_ROUTERS = [Replica()]
    replicated = Person.objects.get()
    assert replicated._state.db == "elsewhere"
    replicated.email = "new@example.com"
    replicated.save()
    assert told(person)["email"] == "new@example.com"
    replicated.delete()
    assert Customer.objects.get().state == "EXCLUDED"


def test_an_object_that_a_router_puts_elsewhere_is_captured_there(settings: Any) -> None:
    class Shards(OtherDatabase):
        def db_for_write(self, model: Any, *, instance: Any = None, **hints: Any) -> str | None:
            return "elsewhere" if isinstance(instance, Person) and instance.name.startswith("B") else None

        db_for_read = db_for_write

    settings.DATABASE_ROUTERS = [Shards()]
    person, other = ada(), Person(name="Bob", email="bob@example.com", pk=1_000)
    other.save()
    assert other._state.db == "elsewhere"
    assert (told(person)["email"], told(other)["email"]) == ("ada@example.com", "bob@example.com")
    person.save(using="elsewhere")
    Person.objects.using("elsewhere").get(pk=person.pk).delete()
    assert told(person)["email"] == "ada@example.com"
    other.delete()
    assert Customer.objects.filter(source_id=None).count() == 1


def test_a_signal_without_a_database_is_about_the_object_where_it_is() -> None:
    person = ada()
    with services.disabled():
        person.email = "copy@example.com"
        person.save(using="elsewhere")
    post_save.send(sender=Person, instance=Person.objects.using("elsewhere").get())
    assert told(person)["email"] == "ada@example.com"


def test_a_mirror_row_made_by_hand_still_frees_its_id() -> None:
    by_hand = make_customer(customer_id="2")
    person = ada(number="1")
    person.number = "2"
    person.save()
    by_hand.delete()
    assert mirrored(person).customer_id == "2"
