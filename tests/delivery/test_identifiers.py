"""Customers whose identifier for a list changes: the old one leaves the list, the new one joins it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.memberships import memberships_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult
from tests.delivery.conftest import RunForChanges
from tests.delivery.one_call import claim_memberships, open_call, settle
from tests.factories import make_customer, make_list

pytestmark = pytest.mark.django_db


@pytest.fixture
def by_identifier(unthrottled: Any) -> Any:
    """A Blueshift that keeps the members of lists by the identifiers that it was sent."""
    unthrottled.scenario(list_members="identifiers")
    unthrottled.create_list(7, source="email")
    return unthrottled


@pytest.fixture
def news(by_identifier: Any) -> CustomerList:
    return make_list(list_id=7)


def member(customer_list: CustomerList, name: str) -> Customer:
    customer = make_customer(customer_id=name, email=f"{name}@example.com")
    services.add_to_list(customer_list, [customer])
    return customer


def change(customer: Customer, **columns: Any) -> None:
    customer.refresh_from_db()
    for name, value in columns.items():
        setattr(customer, name, value)
    services.save_edited(customer)


def list_calls() -> Iterator[tuple[str, str]]:
    """What was said to Blueshift of lists, and what it named."""
    for result in RecordResult.objects.exclude(membership=None).order_by("call", "position"):
        yield result.call.endpoint, result.identifier.partition("@")[0]


def test_the_old_address_leaves_and_then_the_new_one_joins(by_identifier: Any, news: CustomerList) -> None:
    ada = member(news, "ada")
    drain()
    change(ada, email="lovelace@example.com")
    drain()
    assert list(list_calls()) == [("LIST_ADD", "ada"), ("LIST_REMOVE", "ada"), ("LIST_ADD", "lovelace")]
    assert by_identifier.members(7) == ["lovelace@example.com"]
    membership = ListMembership.objects.get()
    assert (membership.state, membership.synced_is_member) == ("SYNCED", True)
    assert membership.synced_identifier == "lovelace@example.com"


def test_a_list_by_customer_id_follows_the_id(unthrottled: Any) -> None:
    unthrottled.scenario(list_members="identifiers")
    unthrottled.create_list(8, source="customer_id")
    ada = member(make_list(list_id=8, identifier_key="customer_id"), "ada")
    drain()
    change(ada, customer_id="ADA")  # IDs are compared letter by letter
    drain()
    assert unthrottled.members(8) == ["ADA"]
    change(ada, email="lovelace@example.com")
    drain()
    assert len(list(list_calls())) == 3


def test_another_case_of_letters_is_no_change_of_an_address(news: CustomerList) -> None:
    ada = member(news, "ada")
    drain()
    change(ada, email="Ada@Example.com")
    drain()
    assert list(list_calls()) == [("LIST_ADD", "ada")]


def test_an_emptied_address_leaves_and_the_membership_says_what_it_lacks(
    by_identifier: Any, news: CustomerList
) -> None:
    ada = member(news, "ada")
    drain()
    change(ada, email="")
    drain()
    assert by_identifier.members(7) == []
    membership = ListMembership.objects.get()
    assert (membership.state, membership.error_code) == ("FAILED", "identifier_missing")
    assert (membership.synced_is_member, membership.synced_identifier) == (False, "")
    change(ada, email="back@example.com")
    drain()
    assert by_identifier.members(7) == ["back@example.com"]


@pytest.mark.parametrize("had_failed", [True, False])
def test_who_has_no_address_and_is_on_the_list_under_none_is_taken_off_without_a_call(
    by_identifier: Any, news: CustomerList, had_failed: bool
) -> None:
    ada = make_customer(customer_id="ada", email="")
    drain()
    if had_failed:
        services.add_to_list(news, [ada])
        drain()
        assert ListMembership.objects.get().error_code == "identifier_missing"
    run = services.remove_from_list(news, [ada])
    drain()
    row = ListMembership.objects.get()
    assert (row.state, row.error_code, row.synced_is_member, row.synced_version) == (
        "SYNCED",
        "",
        False,
        row.version,
    )
    run.refresh_from_db()
    assert (run.state, run.rejected) == ("SUCCEEDED", 0)
    assert list(list_calls()) == []
    services.add_to_list(news, [ada])
    change(ada, email="ada@example.com")
    drain()
    assert by_identifier.members(7) == ["ada@example.com"]


def test_two_who_swap_their_addresses_both_stay_on_the_list(by_identifier: Any, news: CustomerList) -> None:
    ada, bob = member(news, "ada"), member(news, "bob")
    drain()
    change(ada, email="bob@example.com")
    change(bob, email="ada@example.com")
    drain()
    assert "LIST_REMOVE" not in dict(list_calls())
    assert sorted(by_identifier.members(7)) == ["ada@example.com", "bob@example.com"]
    known = {
        row.customer.customer_id: row.synced_identifier for row in ListMembership.objects.select_related("customer")
    }
    assert known == {"ada": "bob@example.com", "bob": "ada@example.com"}


def test_an_address_that_another_member_has_now_stays_on_the_list(by_identifier: Any, news: CustomerList) -> None:
    """Ada moves to Bob's address, and Bob to a new one: only Ada's old one leaves."""
    ada, bob = member(news, "ada"), member(news, "bob")
    drain()
    change(bob, email="new@example.com")
    change(ada, email="bob@example.com")
    drain()
    assert [name for endpoint, name in list_calls() if endpoint == "LIST_REMOVE"] == ["ada"]
    assert sorted(by_identifier.members(7)) == ["bob@example.com", "new@example.com"]


def test_what_was_handed_over_is_taken_off_when_the_next_one_leaves_it(by_identifier: Any, news: CustomerList) -> None:
    """Ada is to have Bob's address, which Blueshift refuses; then she gets another one. Nobody may be left behind."""
    ada, bob = member(news, "ada"), member(news, "bob")
    drain()
    by_identifier.fail("reject", customers="ada", next=1)
    change(ada, email="bob@example.com")
    change(bob, email="new@example.com")
    drain()
    assert Customer.objects.get(pk=ada.pk).state == "FAILED"
    change(ada, email="other@example.com")
    drain()
    assert sorted(by_identifier.members(7)) == ["new@example.com", "other@example.com"]


def test_who_shares_an_address_with_a_member_is_taken_off_without_a_call(
    by_identifier: Any, news: CustomerList
) -> None:
    ada, twin = member(news, "ada"), member(news, "twin")
    drain()
    change(twin, email="ada@example.com")
    drain()
    services.remove_from_list(news, [twin])
    drain()
    assert by_identifier.members(7) == ["ada@example.com"]
    row = ListMembership.objects.get(customer=twin)
    assert (row.state, row.synced_is_member) == ("SYNCED", False)
    services.remove_from_list(news, [ada])
    drain()
    assert by_identifier.members(7) == []


def test_the_old_address_is_removed_before_the_new_one_of_who_leaves(unthrottled: Any) -> None:
    """Whether Blueshift keeps members by the customer or by the identifier, nobody knows: both are taken off."""
    for kept_by in ("customers", "identifiers"):
        unthrottled.reset()
        unthrottled.scenario(calls_per_second=None, list_members=kept_by)
        unthrottled.create_list(7, source="email")
        ListMembership.objects.all().delete()
        CustomerList.objects.all().delete()
        Customer.objects.all().delete()
        news = make_list(list_id=7)
        ada = member(news, "ada")
        drain()
        change(ada, email="lovelace@example.com")
        ListMembership.objects.filter(customer=ada).update(state="PENDING", due_at=None)
        services.remove_from_list(news, [ada])
        drain()
        assert unthrottled.members(7) == [], kept_by
        assert ListMembership.objects.get().state == "SYNCED"


def test_changes_in_flight_end_with_the_last_one(by_identifier: Any, news: CustomerList) -> None:
    ada = member(news, "ada")
    drain()
    for name in ("b", "c", "d"):
        change(ada, email=f"{name}@example.com")
        drain(seconds=0)
    drain()
    assert by_identifier.members(7) == ["d@example.com"]


# While others work, and after crashes


@pytest.fixture
def removal_in_flight(by_identifier: Any, news: CustomerList, run_for_changes: RunForChanges) -> Any:
    """Ada has left the list; the call that says so is open. What it returns lets it arrive and the answer come."""
    ada = member(news, "ada")
    drain()
    services.remove_from_list(news, [ada])
    claim = claim_memberships(run_for_changes)
    assert claim is not None
    batch = memberships_batch(claim)
    with make_client() as client:
        http_call = client.prepare(batch.request)
        call = open_call(batch, http_call, job_id="job")

    def finish() -> None:
        with make_client() as client:
            assert client.send(http_call).status == 200
        accepted = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),))
        settle(batch, call, Exchange(status=200), accepted)

    return finish


def bob_gets_her_address(news: CustomerList) -> None:
    Customer.objects.filter(customer_id="ada").update(email="old@example.com", email_key="old@example.com")
    bob = make_customer(customer_id="bob", email="ada@example.com")
    services.add_to_list(news, [bob])
    drain()


def test_who_is_thrown_off_by_a_removal_in_flight_is_added_again(
    removal_in_flight: Any, by_identifier: Any, news: CustomerList
) -> None:
    bob_gets_her_address(news)
    assert by_identifier.members(7) == ["ada@example.com"]
    removal_in_flight()
    assert by_identifier.members(7) == []
    drain()
    assert by_identifier.members(7) == ["ada@example.com"]


def test_so_is_who_is_thrown_off_by_a_worker_taken_for_dead(
    removal_in_flight: Any, by_identifier: Any, news: CustomerList
) -> None:
    ListMembership.objects.filter(state="SENDING").update(claim_expires_at=timezone.now() - timedelta(days=1))
    recover_expired_claims()
    bob_gets_her_address(news)
    removal_in_flight()
    drain()
    assert by_identifier.members(7) == ["ada@example.com"]
    assert not ListMembership.objects.exclude(state="SYNCED").exists()


def test_what_a_dead_worker_may_have_added_leaves_when_the_address_changes(
    by_identifier: Any, news: CustomerList, run_for_changes: RunForChanges
) -> None:
    ada = make_customer(customer_id="ada", email="ada@example.com")
    drain()
    services.add_to_list(news, [ada])
    claim = claim_memberships(run_for_changes)
    assert claim is not None
    with make_client() as client:  # it arrives, and the worker dies before the answer
        client.send(client.prepare(memberships_batch(claim).request))
    ListMembership.objects.update(claim_expires_at=timezone.now() - timedelta(days=1))
    recover_expired_claims()
    change(ada, email="lovelace@example.com")
    drain()
    assert by_identifier.members(7) == ["lovelace@example.com"]


# What is known to be so already


def test_there_and_back_before_anything_is_sent_needs_no_call(by_identifier: Any, news: CustomerList) -> None:
    ada = member(news, "ada")
    drain()
    calls = ApiCall.objects.count()
    first = services.remove_from_list(news, [ada])
    second = services.add_to_list(news, [ada])
    drain()
    first.refresh_from_db()
    assert ApiCall.objects.count() == calls
    assert (first.state, second.state, second.total, second.unchanged) == ("SUCCEEDED", "SUCCEEDED", 0, 1)


@pytest.mark.parametrize(("mode", "is_asynchronous"), [("async", True), ("sync", False)])
def test_an_asynchronous_answer_is_only_the_taking_on(by_identifier: Any, mode: str, is_asynchronous: bool) -> None:
    member(make_list(list_id=7, mode=mode), "ada")
    drain()
    assert ListMembership.objects.get().synced_asynchronously is is_asynchronous
