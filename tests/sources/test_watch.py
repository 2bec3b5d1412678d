"""Models that a source watches: saving or deleting one of their objects re-reads the source's object."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource, MembershipSource
from project.shop.models import Customer as Shopper
from project.shop.models import Order, Plan, Subscription
from tests.site.models import Badge, Colleague, Person, Signup, Visit, Worker

from .conftest import Register
from .helpers import heard_first, list_numbers, mirrored, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def shopper() -> Shopper:
    return Shopper.objects.create(customer_number="1")


def watching(registered: Register, watch: dict[Any, str]) -> None:
    watched = watch

    @registered(Person)
    class Source(CustomerSource):
        email = "email"
        attributes = {"visits": lambda person: person.visits.count()}
        watch = watched


def test_saving_and_deleting_a_watched_object_re_reads_its_customer(shopper: Shopper) -> None:
    order = Order.objects.create(customer=shopper, total=10)
    assert told(shopper)["spent"] == 10
    order.total = 12
    order.save()
    assert told(shopper)["spent"] == 12
    order.delete()
    assert told(shopper)["orders"] == 0
    assert mirrored(shopper).version == 4


def test_two_watched_models(shopper: Shopper) -> None:
    subscription = Subscription.objects.create(
        customer=shopper, plan=Plan.objects.create(code="gold", name="Gold", price=1)
    )
    assert told(shopper)["plan"] == "gold"
    subscription.delete()
    assert "plan" not in told(shopper)


def test_a_watched_object_that_changes_nothing_writes_nothing(
    shopper: Shopper, writes: Callable[..., list[str]]
) -> None:
    order = Order.objects.create(customer=shopper, total=10)
    assert writes(order.save) == []


def test_a_customer_deleted_with_its_watched_objects_is_detached(shopper: Shopper) -> None:
    Order.objects.create(customer=shopper, total=10)
    shopper.delete()
    row = Customer.objects.get()
    assert (row.state, row.source_id) == ("EXCLUDED", None)


def test_a_watched_object_of_nobody_is_passed_over(registered: Register, caplog: pytest.LogCaptureFixture) -> None:
    watching(registered, {Visit: "person"})
    Visit.objects.create(person=None).delete()
    assert caplog.records == []


def test_a_path_over_several_relations(registered: Register) -> None:
    watching(registered, {Visit: "person__manager"})
    boss = Person.objects.create(email="boss@example.com")
    visitor = Person.objects.create(email="ada@example.com", manager=boss)
    with services.disabled():
        Visit.objects.create(person=boss)
    Visit.objects.create(person=visitor)
    assert told(boss)["visits"] == 1


def test_a_path_to_the_wrong_model_is_logged_and_captures_nobody_else(
    registered: Register, caplog: pytest.LogCaptureFixture
) -> None:
    watching(registered, {Badge: "pk", Visit: "person__badge"})
    person = Person.objects.create(email="ada@example.com", name="Ada")
    with services.disabled():
        Badge.objects.create(pk=person.pk, person=person, colour="red")
        Person.objects.update(email="new@example.com")
    with caplog.at_level(logging.DEBUG):
        Visit.objects.create(person=person)
        Badge.objects.get().save()
    assert mirrored(person).email == "ada@example.com"
    assert len(caplog.records) == 2
    assert "ada" not in caplog.text.lower()


def test_a_path_over_a_property_may_lead_to_other_objects_too(
    registered: Register, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a generic relation does. Who had the object is read again wherever it goes, and who gets it."""
    watching(registered, {Visit: "person", Signup: "about"})
    ada, bob = Person.objects.create(name="Ada"), Person.objects.create(name="Bob")
    found = {"ada": ada, "bob": bob, "badge": Badge.objects.create(person=ada)}
    monkeypatch.setattr(Signup, "about", property(lambda signup: found.get(signup.news)), raising=False)
    signup = Signup.objects.create(news="badge")
    for news, read_again in (("ada", [ada]), ("bob", [ada, bob]), ("badge", [bob]), ("bob", [bob]), ("", [bob])):
        with services.disabled():
            Visit.objects.create(person=ada), Visit.objects.create(person=bob)
        before = [mirrored(person).version for person in (ada, bob)]
        signup.news = news
        signup.save()
        after = [mirrored(person).version for person in (ada, bob)]
        assert [new > old for new, old in zip(after, before, strict=True)] == [
            person in read_again for person in (ada, bob)
        ]
    signup.news = "badge"
    signup.save()
    signup.delete()
    assert caplog.records == []


def test_a_path_that_does_not_exist_is_logged_and_the_save_goes_through(
    registered: Register, caplog: pytest.LogCaptureFixture
) -> None:
    watching(registered, {Visit: "nobody"})
    visit = Visit.objects.create()
    assert f"A change of site.Visit {visit.pk} could not be captured (AttributeError)" in caplog.text


def test_children_of_a_watched_model_are_watched_too(registered: Register) -> None:
    watching(registered, {Person: "manager"})
    boss = Person.objects.create(email="boss@example.com")
    with services.disabled():
        Visit.objects.create(person=boss)
    Worker.objects.create(email="ada@example.com", manager=boss)
    assert told(boss)["visits"] == 1


def test_a_membership_source_watches_too(registered: Register) -> None:
    watching(registered, {})

    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = 7
        watch = {Badge: "person__signups__first"}

        def include(self, signup: Signup) -> bool:
            return Badge.objects.filter(person=signup.person).exists()

    person = Person.objects.create(email="ada@example.com")
    Signup.objects.create(person=person)
    assert list_numbers(mirrored(person)) == set()
    badge = Badge.objects.create(person=person, colour="red")
    assert list_numbers(mirrored(person)) == {7}
    badge.delete()
    assert list_numbers(mirrored(person)) == set()


def test_nothing_is_watched_while_disabled(shopper: Shopper) -> None:
    with services.disabled():
        Order.objects.create(customer=shopper, total=1).delete()
        Order.objects.create(customer=shopper, total=1)
    assert told(shopper)["orders"] == 0


def test_nothing_stays_on_an_object_that_the_site_may_pickle_or_copy(registered: Register) -> None:
    """As a session or a cache does, even before the save is through, and after one that failed."""
    watching(registered, {Visit: "person", Badge: "person"})
    visit = Visit.objects.create(person=Person.objects.create(email="ada@example.com"))
    pickles: list[bytes] = []
    with heard_first(post_save, Visit, lambda instance, **kwargs: pickles.append(pickle.dumps(instance))):
        visit.save()
    failed = Badge(pk=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        failed.save()
    for obj in (pickle.loads(pickles[0]), visit, failed):
        assert not [name for name in obj.__dict__ if "blueshift" in name]


def test_a_watched_object_that_the_site_makes_with_its_owner_costs_no_failing_insert(
    registered: Register, writes: Callable[..., list[str]]
) -> None:
    """As a site's own receiver makes a profile with each user, before ours hears of the user."""
    watching(registered, {Visit: "person"})

    def visit(instance: Person, *, created: bool, **kwargs: Any) -> None:
        if created:
            Visit.objects.create(person=instance)

    with heard_first(post_save, Person, visit):
        (insert,) = writes(lambda: Person.objects.create(email="ada@example.com"))
    assert insert.startswith("INSERT")
    row = Customer.objects.get()
    assert (row.version, row.payload["visits"]) == (1, 1)


def test_several_sources_that_watch_one_object_read_its_owner_in_one_pass(
    registered: Register, count_queries: Callable[..., int]
) -> None:
    def count(watchers: int) -> int:
        person = Person.objects.create(email="ada@example.com")
        visit = Visit.objects.create(person=person)
        assert list_numbers(mirrored(person)) == set(range(1, watchers + 1))
        return count_queries(visit.save)

    def watch_too(number: int) -> None:
        class News(MembershipSource):
            customer = lambda person: person  # noqa: E731
            list_id = number
            watch = {Visit: "person"}

        registered(Person)(News)

    watching(registered, {Visit: "person"})
    watch_too(1)
    watch_too(2)
    two = count(2)
    watch_too(3)
    watch_too(4)
    assert count(4) == two


def test_an_owner_that_paths_lead_to_under_two_names_is_read_in_one_pass(
    registered: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def colleague(visit: Visit) -> Colleague:
        return Colleague(pk=visit.person_id)

    watching(registered, {Visit: "person"})
    visit = Visit.objects.create(person=Person.objects.create(email="ada@example.com"))
    reads: list[Person] = []
    monkeypatch.setattr(Visit, "colleague", property(colleague), raising=False)

    @registered(Person)
    class News(MembershipSource):
        customer = reads.append
        list_id = 7
        watch = {Visit: "colleague"}

    visit.save()
    assert len(reads) == 1
