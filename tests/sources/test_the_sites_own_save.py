"""Whatever is wrong with us, the site's own save and delete go through."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import django_rq
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models.signals import post_delete, post_save

from blueshift_sync import services
from blueshift_sync.delivery import wake
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Account, Badge, Person, Signup, Visit

from .conftest import Register
from .helpers import mirrored, rolled_back, told


@pytest.fixture
def mirror_missing(transactional_db: None) -> Iterator[None]:
    """The site runs with our app installed, and our tables not there yet."""
    models = (Customer, ListMembership)
    for model in models:
        rename(model._meta.db_table, f"{model._meta.db_table}_away")
    yield
    for model in models:
        rename(f"{model._meta.db_table}_away", model._meta.db_table)


def rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@pytest.fixture
def accounts(registered: Register) -> None:
    @registered(Account)
    class Accounts(CustomerSource):
        email = "email"


@pytest.mark.usefixtures("mirror_missing")
def test_without_our_tables_saves_and_deletions_go_through_and_are_logged_once_each(
    registered: Register, accounts: None, caplog: pytest.LogCaptureFixture
) -> None:
    @registered(Account)
    class Staff(MembershipSource):
        customer = lambda account: account  # noqa: E731
        list_id = 7

    with caplog.at_level(logging.WARNING):
        account = Account.objects.create(login="ada.lovelace", email="ada@example.com")
        with transaction.atomic():
            account.email = "augusta@example.com"
            account.save()
            assert Account.objects.get().email == "augusta@example.com"
        account.delete()
    assert not Account.objects.exists()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    for message in messages:
        assert "A change of site.Account with a key that isn't shown here could not be captured" in message
        assert "run blueshift_backfill" in message
    for personal in ("ada", "lovelace", "augusta", "@example.com"):
        assert personal not in caplog.text.lower()


@pytest.mark.django_db
def test_a_numeric_key_is_shown_in_the_log(registered: Register, caplog: pytest.LogCaptureFixture) -> None:
    @registered(Person)
    class People(CustomerSource):
        email = "email"
        watch = {Visit: "nobody"}

    visit = Visit.objects.create()
    assert f"site.Visit {visit.pk} could not be captured" in caplog.text


@pytest.mark.django_db
def test_settings_that_cannot_be_used_do_not_break_a_save(settings: Any, accounts: None) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "DEBOUNCE_SECONDS": "soon"}
    Account.objects.create(login="ada", email="ada@example.com")
    assert Account.objects.count() == 1


@pytest.mark.django_db
def test_a_broken_transaction_of_the_site_stays_the_sites_own(accounts: None) -> None:
    """What the site did wrong in a savepoint is undone with its capture, and what follows is captured."""

    @transaction.atomic
    def go_wrong() -> None:
        Account.objects.create(login="ada", email="ada@example.com")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    with transaction.atomic():
        with pytest.raises(DatabaseError):
            go_wrong()
        Account.objects.create(login="bob", email="bob@example.com")
    assert [row.email for row in Customer.objects.all()] == ["bob@example.com"]


@pytest.mark.django_db(transaction=True)
def test_redis_being_away_does_not_break_a_save(settings: Any, accounts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_redis_failed_at", float("-inf"))  # what is remembered of it ends with the test
    settings.RQ_QUEUES = {"default": {"URL": "unix:///nonexistent/redis.sock"}}
    account = Account.objects.create(login="ada", email="ada@example.com")
    assert told(account)["email"] == "ada@example.com"


@pytest.mark.django_db(transaction=True)
def test_a_commit_wakes_one_worker_for_many_changes(accounts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_redis_failed_at", float("-inf"))
    with transaction.atomic():
        for number in range(5):
            Account.objects.create(login=str(number), email="ada@example.com")
        assert django_rq.get_queue("default").count == 0
    assert django_rq.get_queue("default").count == 1


class Elsewhere:
    """A router that keeps the site's people on another database than the mirror."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model._meta.app_label == "site" else None

    db_for_read = db_for_write


@pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])
class TestModelsOnAnotherDatabase:
    """They are captured after their own commit."""

    @pytest.fixture(autouse=True)
    def sources(self, settings: Any, registered: Register) -> Iterator[None]:
        settings.DATABASE_ROUTERS = [Elsewhere()]

        @registered(Person)
        class People(CustomerSource):
            customer_id = "number"
            email = "email"
            watch = {Badge: "person"}

        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = "news"

        yield
        connections["elsewhere"].close()

    def test_a_save_is_captured_once_it_is_committed(self) -> None:
        with transaction.atomic(using="elsewhere"):
            person = Person.objects.create(number="1", email="ada@example.com")
            Signup.objects.create(person=person, news="7")
            assert len(connections["elsewhere"].run_on_commit) == 2
        assert told(person)["email"] == "ada@example.com"
        assert ListMembership.objects.get().customer == mirrored(person)

    def test_a_rolled_back_save_leaves_no_trace(self) -> None:
        with rolled_back("elsewhere"):
            Person.objects.create(number="1")
        assert not Customer.objects.exists()

    def test_a_deletion_is_captured_once_it_is_committed(self) -> None:
        person = Person.objects.create(number="1")
        Signup.objects.create(person=person, news="7")
        with transaction.atomic(using="elsewhere"):
            person.delete()
        row = Customer.objects.get()
        assert (row.state, row.source_id) == ("EXCLUDED", None)
        assert ListMembership.objects.get().is_member is False

    def test_a_watched_object_is_captured_once_it_is_committed(self) -> None:
        person = Person.objects.create(number="1", email="ada@example.com")
        with services.disabled():
            Person.objects.update(email="new@example.com")
        badge = Badge.objects.create(person=person)
        assert told(person)["email"] == "new@example.com"
        badge.delete()

    def test_capture_reads_where_the_objects_are(self) -> None:
        with services.disabled():
            Person.objects.create(number="1", email="ada@example.com")
        assert services.capture(Person.objects.all()).changed == 1


@pytest.mark.django_db
def test_a_signal_that_the_site_sends_by_itself_re_reads_the_object(registered: Register) -> None:
    """As some do after bulk_create(): with the object, and nothing else."""

    @registered(Person)
    class People(CustomerSource):
        email = "email"
        attributes = {"visits": lambda person: person.visits.count()}
        watch = {Visit: "person"}

    (person,) = Person.objects.bulk_create([Person(email="ada@example.com")])
    post_save.send(sender=Person, instance=person)
    assert told(person)["visits"] == 0
    (visit,) = Visit.objects.bulk_create([Visit(person=person)])
    post_save.send(sender=Visit, instance=visit, created=True)
    assert told(person)["visits"] == 1
    post_delete.send(sender=Visit, instance=visit)
    post_delete.send(sender=Person, instance=person)
    assert Customer.objects.get().state == "EXCLUDED"
