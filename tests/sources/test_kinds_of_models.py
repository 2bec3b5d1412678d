"""Proxies, children with tables of their own, and keys that aren't numbers."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import Any

import pytest

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Account, Badge, Colleague, Contact, Device, Partner, Person, Profile, Signup, Worker

from .conftest import Register
from .helpers import list_numbers, lists_of, mirrored

pytestmark = pytest.mark.django_db


def mirror_emails(registered: Register, *models: Any) -> None:
    @registered(*models)
    class Source(CustomerSource):
        email = "email"


def rows() -> list[tuple[str | None, str | None, str, str]]:
    return list(Customer.objects.order_by("pk").values_list("source_type", "source_id", "email", "state"))


@pytest.mark.parametrize("model", [Worker, Colleague, Partner])
class TestChildrenAndProxies:
    def test_they_are_mirrored_as_what_they_derive_from(self, registered: Register, model: Any) -> None:
        mirror_emails(registered, Person)
        child = model.objects.create(email="ada@example.com")
        assert rows() == [("site.person", str(child.id), "ada@example.com", "PENDING")]
        child.email = "new@example.com"
        child.save()
        assert mirrored_email() == "new@example.com"
        Person.objects.get().save()
        services.capture(model.objects.all())
        assert Customer.objects.get().version == 2

    def test_deleting_them_detaches_the_row(self, registered: Register, model: Any) -> None:
        mirror_emails(registered, Person)
        model.objects.create(email="ada@example.com").delete()
        assert [(source_id, state) for _, source_id, _, state in rows()] == [(None, "EXCLUDED")]

    def test_deleting_the_parent_detaches_the_row(self, registered: Register, model: Any) -> None:
        mirror_emails(registered, Person)
        model.objects.create(email="ada@example.com")
        Person.objects.get().delete()
        assert [(source_id, state) for _, source_id, _, state in rows()] == [(None, "EXCLUDED")]


def mirrored_email() -> str:
    return Customer.objects.get().email


def test_a_child_deleted_alone_leaves_its_parent_mirrored(registered: Register) -> None:
    mirror_emails(registered, Person)
    worker = Worker.objects.create(email="ada@example.com")
    worker.delete(keep_parents=True)
    person = Person.objects.get()
    assert rows() == [("site.person", str(person.pk), "ada@example.com", "PENDING")]


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_child_deleted_alone_is_its_parents_customer_again(registered: Register, is_noticed: bool) -> None:
    mirror_emails(registered, Person)
    mirror_emails(registered, Worker)

    @registered(Signup)
    class News(MembershipSource):
        customer = "person"
        list_id = 7

    worker = Worker.objects.create(email="ada@example.com")
    Signup.objects.create(person_id=worker.pk)
    with nullcontext() if is_noticed else services.disabled():
        worker.delete(keep_parents=True)
    if not is_noticed:
        services.capture(Person.objects.all())
    person = Person.objects.get()
    assert set(rows()) == {
        ("site.person", str(person.pk), "ada@example.com", "PENDING"),
        ("site.worker", None, "ada@example.com", "EXCLUDED"),
    }
    assert lists_of(person) == {7}


def test_a_source_of_a_child_knows_nothing_of_the_parents_others(registered: Register) -> None:
    mirror_emails(registered, Worker)
    Person.objects.create(email="bob@example.com")
    worker = Worker.objects.create(email="ada@example.com")
    assert rows() == [("site.worker", str(worker.pk), "ada@example.com", "PENDING")]
    Person.objects.all().delete()
    assert rows() == [("site.worker", None, "ada@example.com", "EXCLUDED")]


class TestParentAndChildWithASourceEach:
    """An object of the child is the child's customer, whichever of the two is saved."""

    @pytest.fixture(autouse=True)
    def sources(self, registered: Register) -> None:
        mirror_emails(registered, Person, Worker)

    def test_the_nearest_source_mirrors_an_object(self) -> None:
        worker = Worker.objects.create(email="ada@example.com")
        assert rows() == [("site.worker", str(worker.pk), "ada@example.com", "PENDING")]
        person = Person.objects.get()
        person.email = "new@example.com"
        person.save()
        assert rows() == [("site.worker", str(worker.pk), "new@example.com", "PENDING")]
        services.capture(Person.objects.all())
        assert len(rows()) == 1

    def test_an_object_that_becomes_one_of_the_child_changes_its_source(self) -> None:
        person = Person.objects.create(email="ada@example.com")
        Worker(person_ptr=person, email="ada@example.com").save()
        assert rows() == [
            ("site.person", None, "ada@example.com", "EXCLUDED"),
            ("site.worker", str(person.pk), "ada@example.com", "PENDING"),
        ]

    def test_a_membership_finds_its_customer_under_the_childs_source(self, registered: Register) -> None:
        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = 7

        worker = Worker.objects.create(email="ada@example.com")
        Signup.objects.create(person_id=worker.pk)
        assert list_numbers(Customer.objects.get(source_type="site.worker")) == {7}


@pytest.mark.parametrize("model", [Worker, Partner])
def test_saving_the_parent_re_reads_the_child_that_has_the_source(registered: Register, model: Any) -> None:
    mirror_emails(registered, model)
    child = model.objects.create(email="ada@example.com")
    person = Person.objects.get()
    person.email = "new@example.com"
    person.save()
    assert rows() == [(f"site.{model._meta.model_name}", str(child.pk), "new@example.com", "PENDING")]


def test_saving_another_parent_re_reads_the_child_that_has_the_source(registered: Register) -> None:
    @registered(Partner)
    class Source(CustomerSource):
        email = "address"

    Contact.objects.create(address="nobody@example.com")
    Partner.objects.create(address="ada@example.com")
    contact = Contact.objects.get(address="ada@example.com")
    contact.address = "new@example.com"
    contact.save()
    assert mirrored_email() == "new@example.com"


def test_a_source_of_a_proxy_mirrors_the_rows_however_they_are_saved(registered: Register) -> None:
    mirror_emails(registered, Colleague)
    person = Person.objects.create(email="ada@example.com")
    assert rows() == [("site.colleague", str(person.pk), "ada@example.com", "PENDING")]
    worker = Worker.objects.create(email="bob@example.com")
    assert rows()[1:] == [("site.colleague", str(worker.pk), "bob@example.com", "PENDING")]
    person.delete()
    assert rows()[0] == ("site.colleague", None, "ada@example.com", "EXCLUDED")


def test_a_second_parents_own_key_is_used(registered: Register) -> None:
    @registered(Contact)
    class Source(CustomerSource):
        email = "address"

    for _ in range(3):
        Contact.objects.create(address="nobody@example.com")
    partner = Partner.objects.create(address="ada@example.com")
    assert partner.pk != partner.contact_key
    row = Customer.objects.get(email="ada@example.com")
    assert row.source_id == str(partner.contact_key)
    partner.delete()
    row.refresh_from_db()
    assert row.source_id is None


@pytest.mark.parametrize("model", [Worker, Colleague])
def test_a_membership_source_of_a_child_leaves_the_parents_customer_source_in_place(
    registered: Register, model: Any
) -> None:
    mirror_emails(registered, Person)

    @registered(model)
    class Staff(MembershipSource):
        customer = lambda worker: worker  # noqa: E731
        list_id = 7

    child = model.objects.create(email="ada@example.com")
    row = Customer.objects.get()
    assert (row.source_type, row.email) == ("site.person", "ada@example.com")
    assert list_numbers(row) == {7}
    child.email = "new@example.com"
    child.save()
    assert mirrored_email() == "new@example.com"
    child.delete()
    assert list_numbers(Customer.objects.get()) == set()


def test_a_model_that_is_customer_and_membership_in_one(registered: Register) -> None:
    mirror_emails(registered, Person)

    @registered(Person)
    class Everybody(MembershipSource):
        customer = lambda person: person  # noqa: E731
        list_id = 7

        def include(self, person: Person) -> bool:
            return person.active

    person = Person.objects.create(email="ada@example.com")
    assert list_numbers(mirrored(person)) == {7}
    person.active = False
    person.save()
    assert list_numbers(mirrored(person)) == set()


@pytest.mark.parametrize("write", [str, lambda key: str(key).upper(), lambda key: key.hex, lambda key: key.urn])
def test_a_uuid_key_is_one_key_however_it_is_written(registered: Register, write: Any) -> None:
    mirror_emails(registered, Device)
    key = uuid.uuid4()
    Device.objects.create(key=write(key), email="ada@example.com")
    assert rows() == [("site.device", str(key), "ada@example.com", "PENDING")]
    Device(key=write(key), email="new@example.com").save(force_update=True)
    assert rows() == [("site.device", str(key), "new@example.com", "PENDING")]
    Device(key=write(key)).delete()
    assert rows() == [("site.device", None, "new@example.com", "EXCLUDED")]


def test_a_number_as_text_is_the_same_key(registered: Register) -> None:
    mirror_emails(registered, Person)
    person = Person.objects.create(email="ada@example.com")
    Person(pk=str(person.pk), email="new@example.com").save()
    assert rows() == [("site.person", str(person.pk), "new@example.com", "PENDING")]


def test_text_keys_are_kept_as_they_are(registered: Register) -> None:
    mirror_emails(registered, Account)
    keys = ["ada", "Zoë/1 ", "a__b", "👩🏽‍🚀"]
    for key in keys:
        Account.objects.create(login=key, email="ada@example.com")
    assert [source_id for _, source_id, _, _ in rows()] == keys


def test_a_key_that_the_database_takes_for_another_is_that_one(registered: Register) -> None:
    """As MySQL and MariaDB do with upper case; elsewhere these are two accounts."""
    mirror_emails(registered, Account)

    @registered(Account)
    class Everybody(MembershipSource):
        customer = lambda account: account  # noqa: E731
        list_id = 7

    for login in ("ada", "Ada"):
        Account(login=login, email=f"{login}@example.com").save()
    expected = {account.pk: account.email for account in Account.objects.all()}
    assert {source_id: email for _, source_id, email, _ in rows()} == expected
    assert ListMembership.objects.filter(is_member=True).count() == len(expected)


def test_an_object_that_is_deleted_under_a_key_that_is_written_differently(registered: Register) -> None:
    mirror_emails(registered, Account, Profile)

    @registered(Account)
    class Everybody(MembershipSource):
        customer = lambda account: account  # noqa: E731
        list_id = 7

    account = Account.objects.create(login="ada", email="ada@example.com")
    profile = Profile.objects.create(account=account, email="profile@example.com")
    Profile(pk="ADA").delete()
    assert is_mirrored(profile) is Profile.objects.exists()
    Account(login="ADA").delete()
    assert is_mirrored(account) is Account.objects.exists()
    assert ListMembership.objects.filter(is_member=True).exists() is Account.objects.exists()


def is_mirrored(obj: Any) -> bool:
    return Customer.objects.filter(source_type=obj._meta.label_lower, source_id=obj.pk).exists()


def test_a_key_that_is_another_models(registered: Register) -> None:
    mirror_emails(registered, Profile)
    account = Account.objects.create(login="ada", email="")
    profile = Profile.objects.create(account=account, email="ada@example.com")
    profile.save()
    assert rows() == [("site.profile", "ada", "ada@example.com", "PENDING")]
    account.delete()
    assert rows() == [("site.profile", None, "ada@example.com", "EXCLUDED")]


def test_a_queryset_with_joins_mirrors_each_object_once(registered: Register) -> None:
    @registered(Person)
    class Source(CustomerSource):
        email = "email"

        def get_queryset(self) -> Any:
            return Person.objects.filter(reports__isnull=False)

    boss = Person.objects.create(email="boss@example.com")
    for _ in range(3):
        Person.objects.create(email="ada@example.com", manager=boss)
    boss.email = "new@example.com"
    boss.save()
    assert mirrored(boss).email == "new@example.com"
    Customer.objects.all().delete()
    assert services.capture([boss]).changed == 1


def test_what_the_sources_queryset_leaves_out_is_captured_all_the_same(registered: Register) -> None:
    @registered(Badge)
    class Source(CustomerSource):
        email = "colour"

        def get_queryset(self) -> Any:
            return Badge.objects.filter(colour="red@example.com")

    badge = Badge.objects.create(person=Person.objects.create(), colour="blue@example.com")
    assert mirrored(badge).email == "blue@example.com"


def test_one_source_for_several_models(registered: Register) -> None:
    mirror_emails(registered, Account, Device)
    Account.objects.create(login="ada", email="ada@example.com")
    Device.objects.create(email="device@example.com")
    assert [row[0] for row in rows()] == ["site.account", "site.device"]
