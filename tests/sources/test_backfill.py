"""Backfills and captures of many objects: exact, bounded, safe beside live traffic, and safe to stop at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from blueshift_sync.sources.captured import Captured
from blueshift_sync.sources.slices import CHUNK, slices_of_keys
from project.shop.filling import fill_shop
from project.shop.models import Customer as Shopper
from tests.club.models import Member, Seat, Trainer, Visitor
from tests.site.models import Account, Colleague, Device, Person, Signup, Visit, Worker

from .backfills import backfill, make_people, read_and_changed
from .conftest import Register
from .helpers import list_numbers, lists_of, mirrored, told

pytestmark = pytest.mark.django_db


class TestExactness:
    def test_every_kind_of_key_and_source_and_the_second_run_finds_nothing(self) -> None:
        Member.objects.bulk_create([Member(email=f"{number}@example.com") for number in range(7)])
        with services.disabled():
            Trainer.objects.create(email="trainer@example.com", subject="rowing")
        Seat.objects.bulk_create(
            [Seat(hall=hall, number=n, holder="a@example.com") for hall in "ABC" for n in range(3)]
        )
        Visitor.objects.bulk_create([Visitor(badge=f"b{number}", email="v@example.com") for number in range(4)])
        fill_shop(30)
        Customer.objects.all().delete()
        assert backfill().splitlines()[0].startswith("Read ")
        assert Customer.objects.filter(source_type="club.member").count() == 7
        assert Customer.objects.filter(source_type="club.trainer").count() == 1
        assert Customer.objects.filter(source_type="club.seat").count() == 9
        assert Customer.objects.filter(source_type="club.visitor").count() == 4
        assert Customer.objects.filter(source_type="shop.customer").count() == 30
        versions = list(Customer.objects.order_by("pk").values_list("pk", "version"))
        assert read_and_changed()[1] == 0
        assert list(Customer.objects.order_by("pk").values_list("pk", "version")) == versions

    @pytest.mark.usefixtures("news")
    def test_only_what_differs_is_sent(self) -> None:
        same, other, gone = make_people(3)
        for person in (same, other, gone):
            Signup.objects.bulk_create([Signup(person=person, news="7")])
        backfill()
        Customer.objects.update(state="SYNCED", due_at=None, waiting_since=None)
        ListMembership.objects.update(state="SYNCED", due_at=None, waiting_since=None)
        Person.objects.filter(pk=other.pk).update(email="new@example.com")
        Signup.objects.filter(person=gone)._raw_delete("default")
        Person.objects.filter(pk=gone.pk)._raw_delete("default")
        assert read_and_changed("site.Person", "site.Signup") == (4, 3)
        assert mirrored(same).state == "SYNCED"
        assert told(other)["email"] == "new@example.com"
        row = Customer.objects.get(source_id=None)
        assert (row.state, row.error_code) == ("EXCLUDED", "source_deleted")
        assert list_numbers(row) == set()
        assert read_and_changed("site.Person", "site.Signup") == (4, 0)

    def test_objects_that_the_queryset_leaves_out_are_repaired_too(self, registered: Register) -> None:
        @registered(Person)
        class People(CustomerSource):
            email = "email"

            def get_queryset(self) -> QuerySet[Person]:
                return Person.objects.filter(active=True)

        seen, unseen = make_people(1)[0], make_people(1, active=False)[0]
        backfill("site.Person")
        assert list(Customer.objects.values_list("source_id", flat=True)) == [str(seen.pk)]
        services.capture([unseen])
        Person.objects.filter(pk=unseen.pk).update(email="new@example.com")
        assert read_and_changed("site.Person") == (1, 1)
        assert told(unseen)["email"] == "new@example.com"

    def test_two_objects_that_want_one_customer_id_settle(self, registered: Register) -> None:
        @registered(Person)
        class People(CustomerSource):
            customer_id = "number"

        first, second = make_people(2, number="1")
        assert read_and_changed("site.Person") == (2, 2)
        assert read_and_changed("site.Person") == (2, 0)
        assert [mirrored(each).customer_id for each in (first, second)] == ["1", None]
        Person.objects.filter(pk=first.pk).update(number="2")
        backfill("site.Person")
        assert [mirrored(each).customer_id for each in (first, second)] == ["2", "1"]
        assert read_and_changed("site.Person") == (2, 0)

    def test_a_parent_a_child_and_a_proxy(self, registered: Register) -> None:
        @registered(Person, Worker)
        class People(CustomerSource):
            email = "email"

        @registered(Colleague)
        class Everybody(MembershipSource):
            customer = lambda person: person  # noqa: E731
            list_id = 7

        person = make_people(1)[0]
        with services.disabled():
            worker = Worker.objects.create(email="worker@example.com")
        backfill()
        assert {row.source_type for row in Customer.objects.all()} == {"site.person", "site.worker"}
        assert ListMembership.objects.filter(is_member=True).count() == 2
        with services.disabled():
            Worker(person_ptr=person, email=person.email).save()
        backfill()
        assert Customer.objects.get(source_type="site.person").state == "EXCLUDED"
        assert Customer.objects.filter(source_type="site.worker", memberships__is_member=True).count() == 2
        assert worker.pk != person.pk
        assert read_and_changed()[1] == 0

    @pytest.mark.usefixtures("people")
    def test_two_wishes_for_one_place_settle(self, registered: Register) -> None:
        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = 7

            def include(self, signup: Signup) -> bool:
                return signup.confirmed

        @registered(Signup)
        class Offers(MembershipSource):
            customer = "person"
            list_id = "offers"

        person = make_people(1)[0]
        Signup.objects.bulk_create([Signup(person=person, offers=8), Signup(person=person, confirmed=False)])
        backfill("site.Signup")
        assert lists_of(person) == {7, 8}
        Signup.objects.filter(offers=8).update(confirmed=False)
        Signup.objects.filter(offers=None).update(confirmed=True)
        backfill("site.Signup")
        assert lists_of(person) == {7, 8}
        assert read_and_changed("site.Signup")[1] == 0


class TestNumberOfQueries:
    """They grow with the number of slices, and with nothing else."""

    @pytest.fixture
    def queries_of(self, count_queries: Callable[..., int]) -> Callable[..., int]:
        return lambda *labels: count_queries(lambda: backfill(*labels))

    def test_of_a_first_and_a_second_run(self, queries_of: Callable[..., int]) -> None:
        counts = []
        for size in (CHUNK, 2 * CHUNK, 3 * CHUNK):
            Shopper.objects.all()._raw_delete("default")
            Customer.objects.all().delete()
            Shopper.objects.bulk_create([Shopper(customer_number=f"c{number}") for number in range(size)])
            counts.append((queries_of("shop.Customer"), queries_of("shop.Customer")))
        first, second = zip(*counts, strict=True)
        assert first[2] - first[1] <= 20
        assert second[2] - second[1] <= 10
        assert second[0] <= 15

    @pytest.mark.usefixtures("news")
    def test_of_gone_objects_and_their_memberships(self, queries_of: Callable[..., int]) -> None:
        counts = []
        for size in (150, 450):
            Signup.objects.bulk_create([Signup(person=person, news="7") for person in make_people(size)])
            backfill("site.Person", "site.Signup")
            Signup.objects.all()._raw_delete("default")
            Person.objects.all()._raw_delete("default")
            counts.append(queries_of("site.Person", "site.Signup"))
        few, many = counts
        assert not ListMembership.objects.filter(is_member=True).exists()
        # 100 rows are written in each statement, to customers, memberships, and the latter's owners.
        assert many - few <= 3 * (5 - 2) + 3

    def test_of_a_capture_after_an_update(self, registered: Register, count_queries: Callable[..., int]) -> None:
        @registered(Person)
        class People(CustomerSource):
            email = "email"
            firstname = "name"

        make_people(3 * CHUNK)
        services.capture(Person.objects.all())
        Person.objects.update(name="Ada")
        count = count_queries(lambda: services.capture(Person.objects.all()))
        assert count <= 3 * 14
        assert Customer.objects.filter(firstname="Ada").count() == 3 * CHUNK


class TestStatistics:
    """PostgreSQL's planner must hear of rows that come faster than autovacuum does."""

    def test_the_table_is_analysed_as_it_grows_and_not_when_nothing_changes(
        self, monkeypatch: pytest.MonkeyPatch, analyses_of: Callable[[], int]
    ) -> None:
        monkeypatch.setattr("blueshift_sync.sources.slices.CHUNK", 2)
        monkeypatch.setattr("blueshift_sync.sources.statistics.FEW", 4)
        Shopper.objects.bulk_create([Shopper(customer_number=f"c{number}") for number in range(13)])
        # After 4 and after 8 of the 13.
        assert analyses_of() == (2 if connection.vendor == "postgresql" else 0)
        assert analyses_of() == 0

    @pytest.fixture
    def analyses_of(self) -> Callable[[], int]:
        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                backfill("shop.Customer")
            return sum(query["sql"].startswith("ANALYZE") for query in queries)

        return count


class TestSlices:
    @pytest.fixture(autouse=True)
    def small_slices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("blueshift_sync.sources.slices.CHUNK", 3)

    def test_of_any_key(self) -> None:
        Device.objects.bulk_create([Device(email="a@example.com") for _ in range(8)])
        Account.objects.bulk_create([Account(login=login) for login in ["b", "Ä", "z", "a b", "é", "_", "10", "9"]])
        Seat.objects.bulk_create([Seat(hall=hall, number=n, holder="a@example.com") for hall in "ab" for n in range(5)])
        for model in (Device, Account, Seat):
            chunks = list(slices_of_keys(model.objects.all()))
            assert all(len(chunk) <= 3 for chunk in chunks)
            keys = [key for chunk in chunks for key in chunk]
            assert sorted(keys) == sorted(model.objects.values_list("pk", flat=True))

    def test_of_a_queryset_that_repeats_objects(self) -> None:
        people = make_people(4)
        Visit.objects.bulk_create([Visit(person=people[number % 2]) for number in range(14)])
        found = [key for chunk in slices_of_keys(Person.objects.filter(visits__pk__gt=0)) for key in chunk]
        assert sorted(found) == sorted(person.pk for person in people[:2])

    @pytest.mark.parametrize(
        "narrow",
        [
            lambda rows: rows.order_by("-name")[1:6],
            lambda rows: rows.filter(name="") | rows.filter(name="x"),
            lambda rows: rows.filter(pk__gt=0).union(rows.filter(name="x")),
            lambda rows: rows.distinct(),
        ],
    )
    def test_of_a_queryset_of_any_kind(self, narrow: Callable[[Any], Any], people: None) -> None:
        make_people(8)
        wanted = narrow(Person.objects.all())
        expected = {str(person.pk) for person in narrow(Person.objects.all())}
        assert services.capture(wanted) == Captured(read=len(expected), changed=len(expected))
        assert set(Customer.objects.values_list("source_id", flat=True)) == expected


@pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])
def test_objects_of_another_database(settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.routers.VisitorsElsewhere"]
    Visitor.objects.bulk_create([Visitor(badge=f"b{number}", email="v@example.com") for number in range(4)])
    assert read_and_changed("club.Visitor") == (4, 4)
    assert read_and_changed("club.Visitor") == (4, 0)
    Visitor.objects.filter(badge="b1").update(email="new@example.com")
    assert services.capture(Visitor.objects.using("elsewhere").all()) == Captured(read=4, changed=1)
    Visitor.objects.filter(badge="b2")._raw_delete("elsewhere")
    assert read_and_changed("club.Visitor") == (3, 1)
    Visitor.objects.all()._raw_delete("elsewhere")
