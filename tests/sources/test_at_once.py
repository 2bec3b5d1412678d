"""Two changes of one object at once: the mirror ends up at the newer one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connection, transaction

from blueshift_sync import services
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from blueshift_sync.sources.capture import capture_chunk
from tests.site.models import Person, Visit
from tests.waiting import wait_until

from .conftest import Register
from .helpers import told

pytestmark = pytest.mark.django_db(transaction=True)

WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'",  # innodb_trx is stale where it's asked often
    "sqlite": "SELECT 1",  # there a transaction waits before it begins
}


def wait_for_its_lock(work: Future[None]) -> None:
    """Until the other thread's transaction waits for this one's."""

    def is_waiting() -> bool:
        if work.done():
            work.result()
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING[connection.vendor])
            return int(cursor.fetchone()[-1]) > 0

    wait_until(is_waiting)


def by_itself(work: Callable[[], object]) -> None:
    """For a thread: it has a connection of its own."""
    try:
        work()
    finally:
        connection.close()


def in_transaction(work: Callable[[], object]) -> None:
    by_itself(transaction.atomic(work))


@pytest.fixture
def people(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        customer_id = "number"
        firstname = "name"
        attributes = {"visits": lambda person: person.visits.count()}
        watch = {Visit: "person"}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("run", [by_itself, in_transaction])
def test_who_waited_for_the_lock_reads_what_the_other_one_wrote(run: Callable[[Callable[[], object]], None]) -> None:
    person = Person.objects.create(number="1", name="Ada")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Person.objects.filter(pk=person.pk).update(name="Augusta")
            services.capture([person])
            other = pool.submit(run, lambda: capture_chunk([person], "default"))  # as a signal does: it waits
            wait_for_its_lock(other)
        other.result()
    assert told(person)["firstname"] == "Augusta"
    assert Customer.objects.get().version == 2


@pytest.mark.usefixtures("people")
def test_two_related_changes_at_once_are_both_seen() -> None:
    person = Person.objects.create(number="1")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Visit.objects.create(person=person)
            other = pool.submit(in_transaction, lambda: Visit.objects.create(person=person))
            wait_for_its_lock(other)
        other.result()
    assert told(person)["visits"] == 2


@pytest.mark.usefixtures("people")
def test_two_new_objects_that_want_one_customer_id() -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Person.objects.create(number="1", name="Ada")
            other = pool.submit(in_transaction, lambda: Person.objects.create(number="1", name="Bob"))
            wait_for_its_lock(other)
        other.result()
    assert list(Customer.objects.order_by("pk").values_list("firstname", "customer_id", "state")) == [
        ("Ada", "1", "PENDING"),
        ("Bob", None, "FAILED"),
    ]


@pytest.mark.usefixtures("people")
def test_a_deadlock_with_a_capture_never_undoes_a_change_behind_the_sites_back() -> None:
    """MySQL and MariaDB undo the whole transaction: then the site gets the error."""
    people = [Person.objects.create(number=str(number)) for number in range(2)]
    both = Barrier(2 if connection.features.has_select_for_update else 1)  # SQLite lets one in after the other

    def visit(first: Person, second: Person) -> bool:
        try:
            with transaction.atomic():
                Visit.objects.create(person=first)
                both.wait(30)
                Visit.objects.create(person=second)
        except OperationalError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        committed = sum(pool.map(visit, people, reversed(people)))
    assert committed
    assert [person.visits.count() for person in people] == [committed] * 2
    assert [told(person)["visits"] for person in people] == [committed] * 2
