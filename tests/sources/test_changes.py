"""Saves and what they write: nothing for nothing, once for a change, and never more queries for more objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from blueshift_sync import services
from blueshift_sync.delivery.wake import wake_quietly
from blueshift_sync.exceptions import SourceError
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from blueshift_sync.sources.fresh import _select
from project.shop.models import Customer as Shopper
from project.shop.models import Newsletter, NewsletterSignup, Order
from tests.factories import make_list
from tests.site.models import Person, Signup

from .conftest import Register
from .helpers import ada, bring_into_step, list_numbers, mirrored, rolled_back, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def shopper() -> Shopper:
    return Shopper.objects.create(customer_number="C-1", given_name="Ada")


def wake_ups() -> int:
    """How often a worker is going to be woken when the transaction commits."""
    return sum(callback is wake_quietly for _, callback, *_ in connection.run_on_commit)


def test_a_new_object_is_pending_and_wakes_a_worker(shopper: Shopper) -> None:
    row = mirrored(shopper)
    assert (row.state, row.version, row.synced_version) == ("PENDING", 1, 0)
    assert row.due_at is not None
    assert wake_ups() == 1


def test_a_change_waits_for_company(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "DEBOUNCE_SECONDS": 60}
    row = mirrored(Shopper.objects.create(customer_number="C-1"))
    assert row.due_at is not None
    assert 50 < (row.due_at - row.created_at).total_seconds() <= 61


def test_an_unchanged_save_writes_nothing_and_wakes_nobody(shopper: Shopper, writes: Callable[..., list[str]]) -> None:
    bring_into_step(mirrored(shopper))
    connection.run_on_commit.clear()
    assert writes(shopper.save) == []
    assert wake_ups() == 0
    assert mirrored(shopper).state == "SYNCED"


def test_a_change_of_what_is_not_mapped_writes_nothing(shopper: Shopper, writes: Callable[..., list[str]]) -> None:
    shopper.is_test_account = False
    Order.objects.bulk_create([Order(customer=shopper, total=0)])
    order = Order.objects.get()
    services.capture([shopper])
    assert writes(order.save) == []


def test_a_change_is_one_update_of_one_row(shopper: Shopper, writes: Callable[..., list[str]]) -> None:
    bring_into_step(mirrored(shopper))
    shopper.given_name = "Bob"
    (statement,) = writes(shopper.save)
    assert statement.startswith("UPDATE")
    row = mirrored(shopper)
    assert (row.state, row.version, row.synced_version) == ("PENDING", 2, 1)


def test_changing_back_before_it_was_sent_is_in_step_again(shopper: Shopper) -> None:
    bring_into_step(mirrored(shopper))
    for name in ("Bob", "Ada"):
        shopper.given_name = name
        shopper.save()
    row = mirrored(shopper)
    assert (row.state, row.version, row.synced_version, row.due_at) == ("SYNCED", 3, 3, None)


def test_what_blueshift_refused_is_not_sent_again_by_an_unchanged_save(shopper: Shopper) -> None:
    Customer.objects.update(state="FAILED", error_code="invalid_email", error_message="No.", due_at=None)
    shopper.save()
    assert (mirrored(shopper).state, mirrored(shopper).version) == ("FAILED", 1)
    shopper.given_name = "Bob"
    shopper.save()
    row = mirrored(shopper)
    assert (row.state, row.error_code, row.attempts) == ("PENDING", "", 0)


def test_a_change_in_a_rolled_back_transaction_leaves_no_trace() -> None:
    with rolled_back():
        Shopper.objects.create(customer_number="C-1")
        assert Customer.objects.count() == 1
    assert not Customer.objects.exists()
    assert wake_ups() == 0


def test_a_change_in_a_rolled_back_savepoint_leaves_only_what_was_before_it(shopper: Shopper) -> None:
    before = mirrored(shopper)
    with transaction.atomic(), rolled_back():
        shopper.given_name = "Bob"
        shopper.save()
        Shopper.objects.create(customer_number="C-2")
    assert Customer.objects.get().version == before.version
    assert told(shopper)["firstname"] == "Ada"


def test_a_stale_object_saved_in_part_mirrors_what_the_database_has(shopper: Shopper) -> None:
    stale = Shopper.objects.get()
    shopper.family_name = "Lovelace"
    shopper.save()
    stale.given_name = "Augusta"
    stale.save(update_fields=["given_name"])
    payload = told(shopper)
    assert (payload["firstname"], payload["lastname"]) == ("Augusta", "Lovelace")


def test_an_object_changed_in_memory_only_mirrors_what_the_database_has(shopper: Shopper) -> None:
    shopper.given_name = "Nobody"
    shopper.save(update_fields=["family_name"])
    assert told(shopper)["firstname"] == "Ada"


def test_nothing_is_captured_while_disabled_and_capture_makes_up_for_it(shopper: Shopper) -> None:
    with services.disabled():
        with services.disabled():
            shopper.given_name = "Bob"
        shopper.save()
        Shopper.objects.create(customer_number="C-2")
        Order.objects.create(customer=shopper, total=1)
    assert Customer.objects.get().firstname == "Ada"
    assert services.capture(Shopper.objects.all()).changed == 2
    assert told(shopper)["orders"] == 1


def test_capturing_goes_on_after_an_error_while_disabled() -> None:
    with pytest.raises(ZeroDivisionError), services.disabled():
        raise ZeroDivisionError
    Shopper.objects.create(customer_number="C-1")
    assert Customer.objects.count() == 1


def test_a_deletion_while_disabled_is_not_captured(shopper: Shopper) -> None:
    with services.disabled():
        Shopper.objects.all().delete()
    assert Customer.objects.get().state == "PENDING"


def test_loaddata_is_not_captured(tmp_path: Path) -> None:
    fixture = tmp_path / "people.json"
    fields = {"customer_number": "C-1"}
    fixture.write_text(
        json.dumps(
            [
                {"model": "shop.customer", "pk": "12345678123456781234567812345678", "fields": fields},
                {
                    "model": "shop.order",
                    "pk": 1,
                    "fields": {"customer": "12345678123456781234567812345678", "total": "1.00"},
                },
            ]
        )
    )
    call_command("loaddata", fixture, verbosity=0)
    assert Order.objects.count() == 1
    assert not Customer.objects.exists()


class TestNumberOfQueries:
    """The same for ten objects and for a hundred."""

    @pytest.fixture
    def sources(self, registered: Register) -> None:
        @registered(Person)
        class People(CustomerSource):
            customer_id = "number"
            email = "email"

        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = "news"

            def get_queryset(self) -> Any:
                return Signup.objects.select_related("person")

        @registered(Signup)
        class Offers(MembershipSource):
            customer = "person"
            list_id = "offers"

            def get_queryset(self) -> Any:
                return Signup.objects.select_related("person")

    @pytest.fixture
    def people(self, sources: None) -> Callable[[int], list[Person]]:
        def make(count: int) -> list[Person]:
            start = Person.objects.count()
            people = Person.objects.bulk_create(
                [Person(number=str(number), email=f"{number}@example.com") for number in range(start, start + count)]
            )
            signups = [Signup(person=person, news="7", offers=8) for person in people]
            Signup.objects.bulk_create(signups)
            return people

        return make

    def same(self, few: int, many: int) -> None:
        """Large statements are cut in several where the database limits their parameters."""
        limited = connection.features.max_query_params
        assert few == many or (limited and many <= few + 8)

    def test_of_capturing_new_customers(self, people: Any, count_queries: Any) -> None:
        few, many = people(10), people(100)
        self.same(count_queries(lambda: services.capture(few)), count_queries(lambda: services.capture(many)))
        assert Customer.objects.count() == 110

    def test_of_capturing_unchanged_customers(self, people: Any, count_queries: Any) -> None:
        people(100)
        everybody = list(Person.objects.all())
        services.capture(everybody)
        few = count_queries(lambda: services.capture(everybody[:10]))
        assert few == count_queries(lambda: services.capture(everybody)) <= 5

    def test_of_capturing_changed_customers(self, people: Any, count_queries: Any) -> None:
        people(100)
        services.capture(Person.objects.all())
        Person.objects.update(email="new@example.com")
        few = list(Person.objects.all()[:10])
        many = list(Person.objects.all()[10:])
        self.same(count_queries(lambda: services.capture(few)), count_queries(lambda: services.capture(many)))
        assert set(Customer.objects.values_list("email", "version")) == {("new@example.com", 2)}

    def test_of_capturing_memberships_before_their_customers(self, people: Any, count_queries: Any) -> None:
        people(110)
        for list_id in (7, 8):
            make_list(list_id=list_id)
        signups = list(Signup.objects.all())
        self.same(
            count_queries(lambda: services.capture(signups[:10])),
            count_queries(lambda: services.capture(signups[10:])),
        )
        assert ListMembership.objects.filter(is_member=True).count() == 220

    def test_of_a_save_that_changes_nothing(self, people: Any, count_queries: Any) -> None:
        (person,) = people(1)
        services.capture([person])
        assert count_queries(person.save) <= 1 + 6  # the save itself; savepoints, the row, the object


def test_more_objects_than_fit_in_a_chunk_are_all_captured(shopper: Shopper) -> None:
    Shopper.objects.bulk_create([Shopper(customer_number=f"B-{number}") for number in range(1100)])
    captured = services.capture(Shopper.objects.all())
    assert (captured.read, captured.changed) == (1101, 1100)
    assert Customer.objects.filter(state="PENDING").count() == 1101


class TestCaptureCall:
    """`services.capture` takes whatever objects there are."""

    def test_objects_of_several_models(self, shopper: Shopper) -> None:
        letter = Newsletter.objects.create(name="Weekly", blueshift_list_id=7)
        with services.disabled():
            other = Shopper.objects.create(customer_number="C-2")
            signup = NewsletterSignup.objects.create(customer=shopper, newsletter=letter, confirmed=True)
        captured = services.capture(iter([signup, other, letter, shopper]))
        assert (captured.read, captured.changed) == (3, 2)
        assert list_numbers(mirrored(shopper)) == {7}

    def test_nothing(self) -> None:
        assert services.capture([]).read == services.capture(Shopper.objects.none()).read == 0

    def test_the_same_object_twice(self) -> None:
        with services.disabled():
            shopper = Shopper.objects.create(customer_number="C-1")
        assert services.capture([shopper, Shopper.objects.get()]).changed == 1

    def test_a_lazy_object_such_as_request_user(self, shopper: Shopper) -> None:
        from django.utils.functional import SimpleLazyObject

        Shopper.objects.update(given_name="Bob")
        lazy: Any = SimpleLazyObject(Shopper.objects.get)
        assert services.capture([lazy]).changed == 1
        assert told(shopper)["firstname"] == "Bob"

    def test_an_object_that_is_gone_is_detached(self, shopper: Shopper) -> None:
        Shopper.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
        assert services.capture([shopper]).changed == 1
        row = Customer.objects.get()
        assert (row.state, row.error_code, row.source_id) == ("EXCLUDED", "source_deleted", None)

    def test_what_update_and_bulk_update_changed(self, shopper: Shopper) -> None:
        Shopper.objects.update(given_name="Bob")
        assert told(shopper)["firstname"] == "Ada"
        services.capture(Shopper.objects.filter(given_name="Bob"))
        assert told(shopper)["firstname"] == "Bob"


def test_an_object_without_a_key_is_refused_and_does_no_harm_to_others(people: None) -> None:
    _select.cache_clear()  # as in a process that has just begun
    with pytest.raises(SourceError, match="has no primary key"):
        services.capture([Person(email="ada@example.com")])
    assert told(ada())["email"] == "ada@example.com"
