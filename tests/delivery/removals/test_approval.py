"""Suspiciously many removals wait for somebody's yes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain, never
from blueshift_sync.delivery.gathering import gather_in_job
from blueshift_sync.delivery.removals import claim_removals
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, CustomerRemoval, SyncRun
from blueshift_sync.services.runs import ACTIONS
from tests.factories import (
    make_customer,
    make_removal,
)

from ..conftest import RunForChanges
from .scenes import HOUR, excluded_because_in_use, fate, reason

pytestmark = pytest.mark.django_db


def make_many(count: int, apart: timedelta = timedelta(seconds=1), **fields: Any) -> list[CustomerRemoval]:
    """Removals that were asked for one after the other until now."""
    now = timezone.now()
    moments = [now - apart * number for number in reversed(range(count))]
    return [make_removal(**{"customer": None, "created_at": moment, **fields}) for moment in moments]


def waiting_for_approval() -> int:
    return CustomerRemoval.objects.filter(state="PENDING", due_at=None, error_code="approval_needed").count()


def sent() -> int:
    return ApiCall.objects.count()


def test_a_few_go_by_themselves(unthrottled: Any, few: None) -> None:
    make_many(3)
    drain()
    assert (sent(), waiting_for_approval()) == (3, 0)


def test_many_wait_for_a_yes_and_say_so(unthrottled: Any, few: None) -> None:
    removal, *_ = make_many(4)
    drain()
    sweep()
    drain()
    assert (sent(), waiting_for_approval()) == (0, 4)
    removal.refresh_from_db()
    assert removal.error_message.startswith("More than 50 removals were asked for within an hour")
    assert not SyncRun.objects.exists()


def test_those_that_are_not_due_yet_count(unthrottled: Any, few: None) -> None:
    """Objects are deleted one by one: the first removal mustn't leave before the others are seen."""
    make_many(1)
    make_many(3, due_at=timezone.now() + HOUR)
    drain()
    assert (sent(), waiting_for_approval()) == (0, 4)


def test_those_that_were_sent_count(unthrottled: Any, few: None) -> None:
    make_many(3)
    drain()
    make_many(1)
    drain()
    assert (sent(), waiting_for_approval()) == (3, 1)


def test_it_matters_when_they_were_asked_for_and_not_when_they_are_sent(unthrottled: Any, few: None) -> None:
    """Sending was switched off for a day: what is due is no mass deletion for that, and no less of one either."""
    make_many(6, apart=timedelta(minutes=21))
    drain()
    assert (sent(), waiting_for_approval()) == (6, 0)
    yesterday = timezone.now() - 24 * HOUR
    for _ in range(4):
        make_removal(customer=None, created_at=yesterday)
    drain()
    assert (sent(), waiting_for_approval()) == (6, 4)


def test_all_of_that_hour_wait_and_no_others(unthrottled: Any, few: None) -> None:
    now = timezone.now()
    alone = make_removal(customer=None, created_at=now - 3 * HOUR)
    early = make_removal(customer=None, created_at=now - timedelta(minutes=59))
    make_many(3)
    drain()
    assert fate(alone) == ("SYNCED", "")
    assert reason(early) == "approval_needed"
    assert (sent(), waiting_for_approval()) == (1, 4)


def test_a_mass_is_parked_without_looking_at_each(
    few: None, run_for_changes: RunForChanges, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    CustomerRemoval.objects.bulk_create(
        CustomerRemoval(kind="DELETE", identifier_key="customer_id", identifier=f"c{number}", created_at=now)
        for number in range(2500)
    )
    with django_assert_max_num_queries(60):
        assert claim_removals(run_for_changes, 3) == []
    assert waiting_for_approval() == 2500


def test_what_is_approved_is_sent_and_counts_no_more(unthrottled: Any, few: None) -> None:
    operator = get_user_model().objects.create_user("operator")
    many = make_many(5)
    drain()
    run = services.approve_removals(many[:4], requested_by=operator)
    assert (run.kind, run.trigger, run.requested_by, run.total) == ("CUSTOMERS", "COMMAND", operator, 4)
    drain()
    run.refresh_from_db()
    assert (run.state, run.accepted) == ("SUCCEEDED", 4)
    assert (sent(), waiting_for_approval()) == (4, 1)
    many[0].refresh_from_db()
    assert (many[0].state, many[0].decided_by) == ("SYNCED", operator)
    assert many[0].decided_at is not None

    make_many(2)
    drain()
    assert (sent(), waiting_for_approval()) == (6, 1)


def test_an_approved_one_is_still_not_removed_while_in_use(unthrottled: Any, few: None) -> None:
    many = make_many(4)
    drain()
    make_customer(customer_id=many[0].identifier, state="SYNCED", due_at=None)
    run = services.approve_removals(CustomerRemoval.objects.all())
    drain()
    sweep()
    run.refresh_from_db()
    assert (run.state, run.total, run.accepted) == ("SUCCEEDED", 4, 3)
    excluded_because_in_use(many[0])


def test_only_what_waits_for_a_yes_can_be_approved(few: None) -> None:
    make_removal(state="FAILED", due_at=None)
    make_removal(due_at=None, error_code="lists_first")
    make_removal(state="SYNCED", due_at=None)
    run = services.approve_removals(CustomerRemoval.objects.all())
    assert (run.state, run.total) == ("SUCCEEDED", 0)
    assert not CustomerRemoval.objects.exclude(decided_at=None).exists()


def test_what_is_cancelled_is_never_sent(unthrottled: Any, few: None) -> None:
    operator = get_user_model().objects.create_user("operator")
    many = make_many(4)
    drain()
    run = services.cancel_removals(CustomerRemoval.objects.all(), requested_by=operator)
    assert (run.state, run.total, run.scope["changed"]) == ("SUCCEEDED", 0, 4)
    assert services.cancel_removals(CustomerRemoval.objects.all()).scope["changed"] == 0
    drain()
    assert fate(many[0]) == ("EXCLUDED", "cancelled")
    assert (many[0].decided_by, many[0].waiting_since) == (operator, None)
    assert many[0].error_message == "Cancelled: Blueshift keeps this customer."
    services.approve_removals(many)
    drain()
    assert sent() == 0


def test_one_that_is_on_its_way_cant_be_cancelled(run_for_changes: RunForChanges) -> None:
    removal = make_removal()
    claim_removals(run_for_changes, 1)
    assert services.cancel_removals([removal]).scope["changed"] == 0
    assert fate(removal)[0] == "SENDING"


def test_a_run_whose_last_removal_is_cancelled_ends() -> None:
    run = services.retry_removals([make_removal(state="FAILED", due_at=None)])
    assert run.state == "QUEUED"
    services.cancel_removals(CustomerRemoval.objects.all())
    run.refresh_from_db()
    assert run.state == "SUCCEEDED"


def test_very_many_are_decided_about_by_slices_and_a_job_goes_on(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    """The request does what it can; so many more rows take no more queries than slices."""
    monkeypatch.setattr("blueshift_sync.delivery.gathering.REQUEST_SECONDS", 0)
    CustomerRemoval.objects.bulk_create(
        CustomerRemoval(
            kind="DELETE",
            identifier_key="customer_id",
            identifier=f"c{number}",
            due_at=None,
            error_code="approval_needed",
        )
        for number in range(2500)
    )
    everything = services.Selection(CustomerRemoval)
    with django_assert_max_num_queries(40):
        run = services.approve_removals(everything)
    assert (run.total, run.closed_at) == (1000, None)

    with django_assert_max_num_queries(60):
        gather_in_job(run.pk, ACTIONS, never)
    run.refresh_from_db()
    assert (run.total, run.closed_at is None) == (2500, False)
    cancelled = services.cancel_removals(everything)
    gather_in_job(cancelled.pk, ACTIONS, never)
    cancelled.refresh_from_db()
    run.refresh_from_db()
    assert (cancelled.state, cancelled.scope["changed"]) == ("SUCCEEDED", 2500)
    assert run.state == "SUCCEEDED"
    assert set(CustomerRemoval.objects.values_list("state", "error_code")) == {("EXCLUDED", "cancelled")}
