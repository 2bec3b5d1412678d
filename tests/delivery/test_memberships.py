"""Memberships on their way: what a claim takes of them, who is left out of it since, and what a cancelled run keeps."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.memberships import claim_memberships
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncRun
from tests.delivery.conftest import RunForChanges
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db


def people(count: int, **fields: Any) -> list[Customer]:
    """Customers in step, unless `fields` say otherwise."""
    columns = {"state": "SYNCED", "synced_version": 1, "due_at": None, **fields}
    return Customer.objects.bulk_create(
        Customer(customer_id=f"c{number}", email=f"c{number}@example.com", **columns) for number in range(count)
    )


def states(**of: Any) -> set[tuple[str, str]]:
    return set(ListMembership.objects.filter(**of).values_list("state", "error_code"))


# Claims


def test_one_claim_takes_several_calls_of_a_list_in_a_handful_of_statements(run_for_changes: RunForChanges) -> None:
    news = make_list(mode="sync")
    services.add_to_list(news, people(150))
    with CaptureQueriesContext(connection) as queries:
        claims = claim_memberships(run_for_changes, 4)
    assert [len(claim.records) for claim in claims] == [25] * 4
    written = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(written) == 1 if connection.vendor == "postgresql" else len(written) <= 2
    assert len(queries) < 15
    for claim in claims:
        for record in claim.records:
            row = ListMembership.objects.get(pk=record.pk)
            assert (row.state, row.claim_token, row.synced_identifier) == ("SENDING", claim.token, record.identifier)
            assert record.identifier == row.customer.email
            assert (record.claimed_version, record.customer.version) == (row.version, row.customer.version)
    assert not ListMembership.objects.filter(state="PENDING").exclude(synced_identifier="").exists()


def test_of_several_lists_each_gets_its_share_of_the_calls_at_once(run_for_changes: RunForChanges) -> None:
    customers = people(150)
    lists = [make_list(mode="sync") for _ in range(3)]
    for customer_list in lists:
        services.add_to_list(customer_list, customers)
    claims = claim_memberships(run_for_changes, 6)
    assert sorted(claim.records[0].customer_list.pk for claim in claims) == sorted(row.pk for row in lists * 2)


def test_whom_a_claim_leaves_out_keeps_what_was_known(run_for_changes: RunForChanges) -> None:
    news, (ready, waiting) = make_list(), people(2)
    Customer.objects.filter(pk=waiting.pk).update(state="PENDING")
    for customer in (ready, waiting):
        make_membership(customer_list=news, customer=customer, synced_identifier="old@example.com")
    nameless = make_membership(customer_list=news, customer=make_customer(state="SYNCED", email=""))
    claims = claim_memberships(run_for_changes, 4)
    assert [record.customer.pk for claim in claims for record in claim.records] == [ready.pk]
    row = ListMembership.objects.get(customer=waiting)
    assert (row.state, row.due_at, row.synced_identifier) == ("PENDING", None, "old@example.com")
    nameless.refresh_from_db()
    assert (nameless.state, nameless.synced_identifier) == ("FAILED", "")


# Claimed, and not wanted any more


@pytest.fixture
def news(unthrottled: Any, settings: Any) -> CustomerList:
    """A list of which two calls are made at a time, each with one member, and two more are claimed ahead."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 2}
    unthrottled.create_list(7, source="customer_id")
    return make_list(list_id=7, identifier_key="customer_id")


def members_one_a_call(news: CustomerList, count: int, *, is_member: bool = True) -> None:
    rows = [
        ListMembership(
            customer_list=news,
            customer=customer,
            is_member=is_member,
            batch_limit=1,
            synced_identifier="" if is_member else customer.customer_id,
        )
        for customer in people(count)
    ]
    ListMembership.objects.bulk_create(rows)


@pytest.mark.parametrize("is_member", [True, False])
def test_whose_customer_is_excluded_after_the_claim_is_not_put_on_the_list(
    unthrottled: Any, news: CustomerList, is_member: bool
) -> None:
    """Who leaves the list does so all the same."""
    members_one_a_call(news, 6, is_member=is_member)
    excluded: list[Customer] = []

    def exclude_one_who_was_claimed_early() -> bool:
        opened = ApiCall.objects.values_list("claim_token", flat=True)
        claimed_early = ListMembership.objects.filter(state="SENDING").exclude(claim_token__in=list(opened))
        if claimed_early.count() == 2 and not excluded:
            customer = claimed_early.order_by("pk")[0].customer
            services.exclude(services.Selection.of([customer], Customer))
            excluded.append(customer)
        return False

    drain(asked_to_stop=exclude_one_who_was_claimed_early)
    (customer,) = excluded
    sent = [name for request in unthrottled.requests for name in request.json["identifier_values"]]
    everybody = {f"c{number}" for number in range(6)}
    assert set(sent) == (everybody - {customer.customer_id} if is_member else everybody)
    if is_member:
        row = ListMembership.objects.get(customer=customer)
        assert (row.state, row.due_at, row.error_code) == ("PENDING", None, "customer_excluded")


# Cancelling


def test_what_a_cancelled_run_had_to_leave_waiting_never_goes_out(unthrottled: Any) -> None:
    unthrottled.create_list(7)
    news, customers = make_list(list_id=7), people(6)
    Customer.objects.filter(pk__in=[each.pk for each in customers[:2]]).update(state="PENDING", due_at=None)
    run = services.add_to_list(news, customers)
    in_step_before = make_membership(
        customer_list=news, customer=make_customer(state="FAILED"), version=3, synced_version=3, state="SYNCED"
    )
    services.push([in_step_before])
    ListMembership.objects.filter(pk=in_step_before.pk).update(run=run)
    claim_memberships(lambda kind: run.pk, 1)  # by a worker that doesn't come to send any
    assert states(due_at=None, state="PENDING") == {("PENDING", "customer_waiting"), ("PENDING", "customer_failed")}
    services.cancel(run)
    assert states(due_at=None, state="PENDING") == set()
    Customer.objects.update(state="SYNCED")
    sweep()
    drain()
    left = ListMembership.objects.filter(customer__in=customers[:2])
    assert set(left.values_list("state", "error_code")) == {("FAILED", "cancelled")}
    in_step_before.refresh_from_db()
    assert (in_step_before.state, in_step_before.error_code) == ("SYNCED", "")
    assert not unthrottled.requests
    assert services.push(left).total == 2  # after all


@pytest.mark.parametrize("by", ["another run", "another wish", "being sent"])
def test_what_was_asked_for_anew_is_not_the_cancelled_runs_any_more(unthrottled: Any, by: str) -> None:
    unthrottled.create_list(7)
    news, customers = make_list(list_id=7), people(3)
    waiting = customers[0]
    Customer.objects.filter(pk=waiting.pk).update(state="PENDING", due_at=None)
    run = services.add_to_list(news, customers)
    claim_memberships(lambda kind: run.pk, 1)
    row = ListMembership.objects.get(customer=waiting)
    assert row.left_run == run.pk
    if by == "another run":
        services.push([row])
    elif by == "another wish":
        services.remove_from_list(news, [waiting])
    else:
        Customer.objects.update(state="SYNCED")
        sweep()
        drain()
        ListMembership.objects.filter(pk=row.pk).update(state="PENDING", due_at=timezone.now())
    services.cancel(run)
    row.refresh_from_db()
    assert (row.state, row.left_run) == ("PENDING", None)
    assert SyncRun.objects.get(pk=run.pk).cancel_requested_at is not None
