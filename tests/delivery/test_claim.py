"""Who gets which records, and who doesn't."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from blueshift_sync.delivery.claim import Claim, release
from blueshift_sync.models import Customer, CustomerList, ListMembership, SyncRun
from tests.delivery.conftest import RunForChanges
from tests.delivery.one_call import claim_customers, claim_memberships
from tests.factories import make_customer, make_list, make_membership, make_run

pytestmark = pytest.mark.django_db


def claimed(claim: Claim | None) -> list[str]:
    return [record.identifier for record in claim.records] if claim else []


def test_a_claim_takes_what_is_due_and_no_more_than_a_call_holds(run_for_changes: RunForChanges) -> None:
    for _ in range(60):
        make_customer()
    make_customer(customer_id="later", due_at=timezone.now() + timedelta(minutes=1))
    make_customer(customer_id="done", state="SYNCED", due_at=None)
    first, second, third = (claim_customers(run_for_changes) for _ in range(3))
    assert (len(claimed(first)), len(claimed(second)), third) == (50, 10, None)
    assert not set(claimed(first)) & set(claimed(second))
    assert not {"later", "done"} & {*claimed(first), *claimed(second)}


def test_a_claimed_record_is_leased(run_for_changes: RunForChanges, settings: Any) -> None:
    customer = make_customer(version=7)
    claim = claim_customers(run_for_changes)
    customer.refresh_from_db()
    assert claim is not None
    assert (customer.state, customer.claim_token, customer.claimed_version) == ("SENDING", claim.token, 7)
    assert customer.claim_expires_at is not None
    assert timedelta(seconds=290) < customer.claim_expires_at - timezone.now() <= timedelta(seconds=300)


def test_what_nobody_asked_for_goes_into_the_run_for_changes(run_for_changes: RunForChanges) -> None:
    make_customer()
    make_customer()
    claim = claim_customers(run_for_changes)
    run = SyncRun.objects.get()
    assert claim is not None
    assert (claim.run_id, run.total) == (run.pk, 2)


def test_records_of_two_runs_go_in_two_calls(run_for_changes: RunForChanges) -> None:
    runs = [make_run(), make_run()]
    for number in range(4):
        make_customer(customer_id=f"c{number}", run=runs[number % 2])
    assert claimed(claim_customers(run_for_changes)) == ["c0", "c2"]
    assert claimed(claim_customers(run_for_changes)) == ["c1", "c3"]


def test_a_suspect_goes_in_no_larger_company_than_it_may(run_for_changes: RunForChanges) -> None:
    for number in range(5):
        make_customer(customer_id=f"c{number}", batch_limit=2)
    make_customer(customer_id="alone", batch_limit=1)
    sizes = [len(claimed(claim_customers(run_for_changes))) for _ in range(4)]
    assert sizes == [2, 2, 1, 1]


def test_one_email_is_never_twice_in_a_batch(run_for_changes: RunForChanges) -> None:
    make_customer(customer_id=None, email="ada@example.com", firstname="First")
    second = make_customer(customer_id=None, email="ADA@example.com", firstname="Second")
    assert claimed(claim_customers(run_for_changes)) == ["ada@example.com"]
    second.refresh_from_db()
    assert (second.state, second.claim_token) == ("PENDING", None)


def test_one_email_is_never_in_two_calls_in_flight(run_for_changes: RunForChanges) -> None:
    make_customer(customer_id=None, email="ada@example.com", state="SENDING")
    make_customer(customer_id=None, email="Ada@Example.com")
    make_customer(customer_id="grace", email="ada@example.com")
    assert claimed(claim_customers(run_for_changes)) == ["grace"]
    assert claim_customers(run_for_changes) is None


def test_a_customer_without_identifier_fails_with_a_sentence_and_holds_up_nobody(
    run_for_changes: RunForChanges,
) -> None:
    nameless = make_customer(customer_id=None, email="")
    make_customer(customer_id="ada")
    assert claimed(claim_customers(run_for_changes)) == ["ada"]
    nameless.refresh_from_db()
    assert (nameless.state, nameless.error_code) == ("FAILED", "identifier_missing")
    assert nameless.error_message.startswith("Neither customer ID nor e-mail")
    assert SyncRun.objects.get().rejected == 1


def test_a_claim_of_memberships_is_of_one_list_and_one_direction(run_for_changes: RunForChanges) -> None:
    news, offers = make_list(), make_list()
    for customer_list, is_member in [(news, True), (offers, True), (news, False), (news, True)]:
        make_membership(customer_list=customer_list, is_member=is_member, customer=make_customer(state="SYNCED"))
    claims = [claim_memberships(run_for_changes) for _ in range(3)]
    shapes = [[(record.customer_list, record.is_member) for record in claim.records] for claim in claims if claim]
    assert shapes == [[(news, True)] * 2, [(offers, True)], [(news, False)]]


@pytest.mark.parametrize(("mode", "size"), [("sync", 25), ("async", 500), ("", 500)])
def test_the_mode_of_a_list_sets_the_size_of_its_calls(run_for_changes: RunForChanges, mode: str, size: int) -> None:
    news = make_list(mode=mode)
    customers = Customer.objects.bulk_create(
        Customer(customer_id=f"c{number}", email=f"c{number}@example.com", state="SYNCED") for number in range(510)
    )
    ListMembership.objects.bulk_create(ListMembership(customer_list=news, customer=customer) for customer in customers)
    assert len(claimed(claim_memberships(run_for_changes))) == size


@pytest.mark.parametrize(
    ("customer", "customer_list", "code"),
    [
        ({"state": "PENDING"}, {}, "customer_waiting"),
        ({"state": "FAILED"}, {}, "customer_failed"),
        ({"state": "EXCLUDED"}, {}, "customer_excluded"),
        ({"state": "SYNCED"}, {"status": CustomerList.Status.DELETED}, "list_deleted"),
        ({"state": "SYNCED"}, {"status": CustomerList.Status.UNSUPPORTED}, "list_unsupported"),
        ({"state": "SYNCED"}, {"identifier_key": ""}, "list_unread"),
    ],
)
def test_a_membership_that_has_to_wait_is_parked_and_says_for_what(
    run_for_changes: RunForChanges, customer: dict[str, Any], customer_list: dict[str, Any], code: str
) -> None:
    membership = make_membership(customer=make_customer(**customer), customer_list=make_list(**customer_list))
    assert claim_memberships(run_for_changes) is None
    membership.refresh_from_db()
    assert (membership.state, membership.due_at, membership.error_code) == ("PENDING", None, code)
    assert membership.error_message.endswith(".")


def test_no_more_memberships_are_parked_at_once_than_a_call_holds(run_for_changes: RunForChanges) -> None:
    customer_list = make_list(mode="sync")
    for _ in range(60):
        make_membership(customer_list=customer_list, customer=make_customer())
    assert claim_memberships(run_for_changes) is None
    assert ListMembership.objects.filter(due_at=None).count() == 25


def test_a_removal_does_not_wait_for_its_customer(run_for_changes: RunForChanges) -> None:
    make_membership(customer=make_customer(state="EXCLUDED", email="ada@example.com"), is_member=False)
    assert claimed(claim_memberships(run_for_changes)) == ["ada@example.com"]


def test_a_customer_without_the_lists_identifier_fails_with_a_sentence(run_for_changes: RunForChanges) -> None:
    membership = make_membership(customer=make_customer(state="SYNCED", email=""), customer_list=make_list())
    assert claim_memberships(run_for_changes) is None
    membership.refresh_from_db()
    assert membership.state == "FAILED"
    assert membership.error_message == "The list knows its customers by Email, and this customer has none."


def test_a_released_claim_is_due_as_before(run_for_changes: RunForChanges) -> None:
    customer = make_customer()
    claim = claim_customers(run_for_changes)
    assert claim is not None
    release(Customer, claim)
    customer.refresh_from_db()
    assert (customer.state, customer.claim_token) == ("PENDING", None)
    assert claim_customers(run_for_changes) is not None


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_the_same_time_never_share_a_record() -> None:
    run = make_run()
    Customer.objects.bulk_create(Customer(customer_id=f"c{number}", run=run) for number in range(400))
    start = threading.Barrier(4)
    taken: list[str] = []

    def work() -> None:
        try:
            start.wait()
            while claim := claim_customers(lambda kind: run.pk):
                taken.extend(claimed(claim))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == sorted(f"c{number}" for number in range(400))
