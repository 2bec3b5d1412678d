"""What is written down when an object is deleted, as ON_SOURCE_DELETE says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.models import Customer, CustomerRemoval
from blueshift_sync.sources import CustomerSource
from blueshift_sync.sources.removals import GRACE_SECONDS, identities
from tests.factories import make_membership, make_result
from tests.site.models import Person

from .conftest import Register
from .helpers import ada, bring_into_step, mirrored, rolled_back, start_sending

pytestmark = pytest.mark.django_db
ACCEPTED, REJECTED, RETRY, UNKNOWN = "ACCEPTED", "REJECTED", "RETRY", "UNKNOWN"


@pytest.fixture
def on_delete(settings: Any) -> Any:
    """Sets ON_SOURCE_DELETE."""

    def set_to(value: str) -> None:
        settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ON_SOURCE_DELETE": value}

    set_to("delete")
    return set_to


@pytest.fixture
def named(registered: Register) -> None:
    """People have an ID."""

    @registered(Person)
    class People(CustomerSource):
        customer_id = "pk"
        email = "email"


def in_blueshift(person: Person) -> Customer:
    """The customer of the person, who has been sent."""
    customer = mirrored(person)
    bring_into_step(customer)
    return customer


def planned() -> list[tuple[str, str, str]]:
    rows = CustomerRemoval.objects.order_by("pk")
    return list(rows.values_list("kind", "identifier_key", "identifier"))


def test_by_default_nothing_is_asked_for(named: None) -> None:
    person = ada()
    in_blueshift(person)
    with CaptureQueriesContext(connection) as queries:
        person.delete()
    assert planned() == []
    assert not [query for query in queries if "recordresult" in query["sql"]]


@pytest.mark.parametrize(("setting", "kind"), [("delete", "DELETE"), ("forget", "FORGET")])
def test_a_deleted_object_is_written_down_before_its_row_is_detached(
    setting: str, kind: str, named: None, on_delete: Any
) -> None:
    on_delete(setting)
    person = ada()
    customer, pk = in_blueshift(person), str(person.pk)
    person.delete()
    removal = CustomerRemoval.objects.get()
    assert planned() == [(kind, "customer_id", pk)]
    assert (removal.customer, removal.source_type, removal.source_id) == (customer, "site.person", pk)
    assert (removal.state, removal.run, removal.decided_at) == ("PENDING", None, None)
    assert removal.due_at is not None
    grace = removal.due_at - timezone.now()
    assert timedelta(seconds=GRACE_SECONDS - 30) < grace <= timedelta(seconds=GRACE_SECONDS)
    customer.refresh_from_db()
    assert (customer.state, customer.error_code, customer.source_id) == ("EXCLUDED", "source_deleted", None)


def test_the_setting_of_the_moment_counts(named: None, on_delete: Any) -> None:
    person = ada()
    in_blueshift(person)
    person.delete()
    on_delete("forget")
    assert [kind for kind, *_ in planned()] == ["DELETE"]


def test_a_deletion_that_is_rolled_back_asks_for_nothing(named: None, on_delete: Any) -> None:
    person = ada()
    in_blueshift(person)
    with rolled_back():
        person.delete()
        assert planned()
    assert planned() == []


def test_without_an_id_the_address_is_what_identifies(people: None, on_delete: Any) -> None:
    person = ada(email="Ada@Example.com")
    in_blueshift(person)
    person.delete()
    assert planned() == [("DELETE", "email", "Ada@Example.com")]


def test_who_was_never_sent_isnt_removed(named: None, on_delete: Any) -> None:
    ada().delete()
    refused = ada(email="refused@example.com")
    make_result(customer=mirrored(refused), outcome=REJECTED, identifier=str(refused.pk))
    refused.delete()
    assert Customer.objects.filter(error_code="source_deleted").count() == 2
    assert planned() == []


@pytest.mark.parametrize("outcome", [ACCEPTED, RETRY, UNKNOWN])
def test_who_may_have_been_sent_is_removed(outcome: str, named: None, on_delete: Any) -> None:
    person = ada()
    pk = str(person.pk)
    make_result(customer=mirrored(person), outcome=outcome, identifier=pk)
    person.delete()
    assert planned() == [("DELETE", "customer_id", pk)]


def test_who_is_just_being_sent_is_removed(named: None, on_delete: Any) -> None:
    person = ada()
    pk = str(person.pk)
    start_sending(mirrored(person))
    person.delete()
    assert planned() == [("DELETE", "customer_id", pk)]


def test_who_was_excluded_after_being_sent_is_removed(registered: Register, on_delete: Any) -> None:
    included = True

    @registered(Person)
    class People(CustomerSource):
        customer_id = "pk"

        def include(self, person: Person) -> bool:
            return included

    person = ada()
    in_blueshift(person)
    included = False
    person.save()
    assert mirrored(person).state == "EXCLUDED"
    person.delete()
    assert len(planned()) == 1


def test_an_object_that_was_emptied_before_it_was_deleted(people: None, on_delete: Any) -> None:
    """As sites do who must forget somebody: Blueshift knows the address from before."""
    person = ada(email="ada@example.com")
    make_result(customer=in_blueshift(person), outcome=ACCEPTED, identifier="ada@example.com")
    with transaction.atomic():
        person.email = "deleted-1@invalid.example.com"
        person.save()
        person.delete()
    assert planned() == [("DELETE", "email", "deleted-1@invalid.example.com"), ("DELETE", "email", "ada@example.com")]


def test_results_of_memberships_name_nobody(named: None, on_delete: Any) -> None:
    person = ada()
    customer = in_blueshift(person)
    membership = make_membership(customer=customer)
    make_result(customer=customer, membership=membership, outcome=ACCEPTED, identifier="old@example.com")
    person.delete()
    assert [identifier for *_, identifier in planned()] == [customer.customer_id]


def test_a_masked_identifier_is_of_no_use(people: None, on_delete: Any) -> None:
    person = ada()
    make_result(customer=in_blueshift(person), outcome=ACCEPTED, identifier="***")
    person.delete()
    assert [identifier for *_, identifier in planned()] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("own", "sent", "expected"),
    [
        (("7", "a@x.org"), {"7"}, [("customer_id", "7")]),
        (("7", "a@x.org"), {"6", "7"}, [("customer_id", "7"), ("customer_id", "6")]),
        # The profile of the address got the ID.
        (("7", "a@x.org"), {"a@x.org"}, [("customer_id", "7")]),
        (("a@x.org", "a@x.org"), {"b@x.org"}, [("customer_id", "a@x.org"), ("customer_id", "b@x.org")]),
        ((None, "a@x.org"), {"b@x.org"}, [("email", "a@x.org"), ("email", "b@x.org")]),
        ((None, "a@x.org"), {"7"}, [("email", "a@x.org"), ("customer_id", "7")]),
        ((None, ""), {"7"}, [("customer_id", "7")]),
        ((None, ""), set(), []),
    ],
)
def test_by_what_blueshift_may_know_somebody(
    own: tuple[str | None, str], sent: set[str], expected: list[tuple[str, str]]
) -> None:
    customer = Customer(customer_id=own[0], email=own[1])
    assert list(identities(customer, sent)) == expected


def test_many_deletions_that_are_captured_together_cost_a_bounded_number_of_queries(
    named: None, on_delete: Any
) -> None:
    people = [ada(email=f"p{number}@example.com") for number in range(40)]
    for customer in Customer.objects.all():
        bring_into_step(customer)
    keys = [person.pk for person in people]
    Person.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
    with CaptureQueriesContext(connection) as queries:
        services.capture([Person(pk=key) for key in keys])
    assert len(planned()) == 40
    ours = [query for query in queries if "recordresult" in query["sql"] or "customerremoval" in query["sql"]]
    assert len(ours) <= 4  # SQLite takes so many values at a time
