"""What somebody excluded in the admin stays so, whatever the site does, until somebody includes it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Q

from blueshift_sync import services
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.models import Customer, ListMembership, SyncRun
from blueshift_sync.services import Selection
from blueshift_sync.sources import CustomerSource
from tests.factories import make_customer, make_list, make_membership, make_run
from tests.site.models import Person

from .conftest import Register

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(registered: Register) -> None:
    @registered(Person)
    class People(CustomerSource):
        email = "email"
        firstname = "name"

        def include(self, person: Person) -> bool:
            return person.active


def only(record: Any) -> Selection:
    return Selection.of([record], type(record))


def exclude(record: Any) -> SyncRun:
    run = services.exclude(only(record))
    record.refresh_from_db()
    return run


def include(record: Any) -> SyncRun:
    run = services.include(only(record))
    record.refresh_from_db()
    return run


def standing(record: Any) -> tuple[str, str]:
    record.refresh_from_db()
    return record.state, record.error_code


EXCLUDED = ("EXCLUDED", "excluded_by_operator")


@pytest.mark.parametrize("make", [make_customer, make_membership])
@pytest.mark.parametrize("state", ["PENDING", "FAILED", "SYNCED", "EXCLUDED"])
def test_an_excluded_record_is_not_sent_by_anything(make: Any, state: str) -> None:
    earlier = make_run()
    record = make(state=state, run=earlier)
    run = exclude(record)
    assert standing(record) == EXCLUDED
    assert (run.state, run.total, run.scope["changed"]) == ("SUCCEEDED", 0, 1)
    assert (record.due_at, record.waiting_since, record.run) == (None, None, None)
    assert services.push(only(record)).total == 0
    assert services.push([record]).total == 0
    assert exclude(record).scope["changed"] == 0


def test_the_run_that_it_waited_in_ends() -> None:
    customer = make_customer()
    waiting = services.push([customer])
    exclude(customer)
    waiting.refresh_from_db()
    assert waiting.state == "SUCCEEDED"


def test_one_that_is_being_sent_is_excluded_once_its_call_is_settled(blueshift: Any, monkeypatch: Any) -> None:
    customer = make_customer()
    settle = drain_module.settle

    def excluded_meanwhile(finished: Any) -> Any:
        exclude(customer)
        assert standing(customer) == ("SENDING", "excluded_by_operator")
        return settle(finished)

    monkeypatch.setattr(drain_module, "settle", excluded_meanwhile)
    monkeypatch.setattr(drain_module, "PATIENCE", 0)
    drain_module.drain()
    assert standing(customer) == EXCLUDED
    assert (customer.synced_version, customer.version) == (1, 2)


def test_the_next_save_of_the_object_changes_the_mirror_and_not_the_exclusion(people: None) -> None:
    person = Person.objects.create(name="Ada", email="ada@example.com")
    customer = Customer.objects.get(source_id=str(person.pk))
    exclude(customer)
    person.name = "Augusta"
    person.save()
    assert standing(customer) == EXCLUDED
    assert customer.firstname == "Augusta"
    version = customer.version
    person.save()
    services.capture([person])
    customer.refresh_from_db()
    assert customer.version == version
    run = include(customer)
    assert standing(customer) == ("PENDING", "")
    assert (run.total, customer.run) == (1, run)


def test_what_its_source_leaves_out_stays_so(people: None) -> None:
    person = Person.objects.create(name="Ada", email="ada@example.com")
    customer = Customer.objects.get(source_id=str(person.pk))
    exclude(customer)
    person.active = False
    person.save()
    assert standing(customer) == EXCLUDED
    run = include(customer)
    assert standing(customer) == ("EXCLUDED", "excluded")
    assert (run.total, run.scope["changed"]) == (0, 1)


def test_a_deleted_object_is_a_deleted_object(people: None) -> None:
    person = Person.objects.create(name="Ada", email="ada@example.com")
    customer = Customer.objects.get(source_id=str(person.pk))
    exclude(customer)
    person.delete()
    assert standing(customer) == ("EXCLUDED", "source_deleted")
    assert exclude(customer).scope["changed"] == 0
    include(customer)
    assert standing(customer) == ("EXCLUDED", "source_deleted")


def test_what_a_hand_edits_stays_excluded() -> None:
    customer = make_customer()
    exclude(customer)
    customer.firstname = "Augusta"
    services.save_edited(customer)
    assert standing(customer) == EXCLUDED
    include(customer)
    assert standing(customer) == ("PENDING", "")


def test_one_of_which_blueshift_has_the_newest_is_in_step_at_once() -> None:
    customer = make_customer(state="SYNCED", synced_version=1, fingerprint="f", synced_fingerprint="f", due_at=None)
    exclude(customer)
    run = include(customer)
    assert standing(customer) == ("SYNCED", "")
    assert (customer.synced_version, customer.version, run.total) == (2, 2, 0)


def test_a_membership_that_changes_its_mind_stays_excluded() -> None:
    membership = make_membership()
    exclude(membership)
    services.remove_from_list(membership.customer_list, [membership.customer])
    assert standing(membership) == EXCLUDED
    assert not membership.is_member
    include(membership)
    assert standing(membership) == ("PENDING", "")


def test_include_leaves_all_others_alone() -> None:
    failed = make_customer(state="FAILED", error_code="email_invalid", due_at=None)
    left_out = make_customer(state="EXCLUDED", error_code="excluded", due_at=None)
    run = services.include(Selection(Customer))
    assert (standing(failed), standing(left_out)) == (("FAILED", "email_invalid"), ("EXCLUDED", "excluded"))
    assert (run.total, run.scope["changed"]) == (0, 0)


def test_those_on_a_list_are_excluded_together() -> None:
    news = make_list()
    on_it = [make_membership(customer_list=news) for _ in range(3)]
    other = make_membership()
    services.exclude(Selection(ListMembership, Q(customer_list=news)))
    assert {standing(each) for each in on_it} == {EXCLUDED}
    assert standing(other)[0] == "PENDING"
