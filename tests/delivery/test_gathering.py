"""Runs for which more is done than a request may take: slice by slice, each row once, whoever goes on."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from blueshift_sync import services, tasks
from blueshift_sync.delivery import gathering, locks
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from blueshift_sync.services import Selection
from blueshift_sync.services.runs import ACTIONS
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = pytest.mark.django_db

IN_STEP: dict[str, Any] = {"state": "SYNCED", "synced_version": 1, "due_at": None, "waiting_since": None}
EVERYBODY = Selection(Customer)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of 10, of which a request does one."""
    monkeypatch.setattr(gathering, "SLICE", 10)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)


def make_many(count: int, **columns: Any) -> None:
    Customer.objects.bulk_create(
        Customer(customer_id=f"c{number:05}", **{**IN_STEP, **columns}) for number in range(count)
    )


def queued() -> list[int]:
    return [job.kwargs["run_id"] for job in django_rq.get_queue("default").jobs if job.func_name.endswith("gather")]


def test_few_are_gathered_at_once() -> None:
    make_many(25)
    run = services.push(Selection(Customer, Q(customer_id__lt="c00020")))
    assert (run.total, run.scope["looked_at"], run.closed_at is None) == (20, 20, False)
    assert Customer.objects.filter(run=run, state="PENDING").count() == 20
    assert "gathering" not in run.scope


@pytest.mark.django_db(transaction=True)
def test_many_are_gathered_by_a_job(small_slices: None) -> None:
    make_many(35)
    run = services.push(EVERYBODY)
    assert (run.total, run.closed_at, run.state) == (10, None, "QUEUED")
    assert queued() == [run.pk]
    tasks.gather(run_id=run.pk, later="unknown to this version")
    run.refresh_from_db()
    assert (run.total, run.closed_at is None) == (35, False)
    assert Customer.objects.filter(run=run, state="PENDING").count() == 35


@pytest.mark.django_db(transaction=True)
def test_no_job_is_queued_for_what_is_rolled_back(small_slices: None) -> None:
    make_many(35)
    with transaction.atomic():
        services.push(EVERYBODY)
        transaction.set_rollback(True)
    assert queued() == []
    assert not SyncRun.objects.exists()


def test_what_is_made_meanwhile_is_left_out(small_slices: None) -> None:
    make_many(15)
    run = services.push(EVERYBODY)
    late = make_customer(**IN_STEP)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    late.refresh_from_db()
    assert (run.total, late.state) == (15, "SYNCED")


def test_a_job_that_is_asked_to_stop_leaves_the_rest_to_another(
    small_slices: None, django_capture_on_commit_callbacks: Any
) -> None:
    make_many(35)
    run = services.push(EVERYBODY)
    with django_capture_on_commit_callbacks(execute=True):
        services.go_on(run.pk, lambda: True)
    run.refresh_from_db()
    assert (run.total, run.closed_at) == (20, None)
    assert queued() == [run.pk]


def test_the_sweep_goes_on_with_what_a_lost_job_left(small_slices: None) -> None:
    make_many(35)
    run = services.push(EVERYBODY)
    sweep()
    assert queued() == []
    SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    sweep()
    sweep()
    assert queued() == [run.pk]
    run.refresh_from_db()
    assert run.closed_at is None
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert run.total == 35


def test_redis_away_is_no_matter(small_slices: None, settings: Any, django_capture_on_commit_callbacks: Any) -> None:
    make_many(15)
    settings.RQ_QUEUES = {"default": {"URL": "redis://127.0.0.1:9/0"}}
    with django_capture_on_commit_callbacks(execute=True):
        run = services.push(EVERYBODY)
    assert run.total == 10


def test_who_finds_that_another_went_on_withdraws(small_slices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_many(35)
    run = services.push(EVERYBODY)
    move_on = gathering._move_on

    def overtaken_by_another(*args: Any) -> None:
        monkeypatch.setattr(gathering, "_move_on", move_on)
        services.go_on(run.pk, lambda: True)
        move_on(*args)

    monkeypatch.setattr(gathering, "_move_on", overtaken_by_another)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.total, Customer.objects.filter(run=run).count()) == (10, 10)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.total, Customer.objects.filter(run=run).count()) == (35, 35)


@pytest.mark.django_db(transaction=True)
def test_of_two_jobs_at_once_none_takes_a_row_twice(small_slices: None) -> None:
    make_many(300)
    run = services.push(EVERYBODY)

    def go_on() -> None:
        services.go_on(run.pk, lambda: False)
        connection.close()

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.total, Customer.objects.filter(run=run, state="PENDING").count()) == (300, 300)
    assert run.closed_at is not None


def test_a_cancelled_run_gathers_no_more_and_gives_back_what_it_had(small_slices: None) -> None:
    make_many(35)
    run = services.cancel(services.push(EVERYBODY))
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.state, run.total) == ("CANCELLED", 10)
    assert Customer.objects.filter(state="SYNCED").count() == 35


def test_a_slice_of_a_run_that_is_cancelled_meanwhile_is_undone(
    small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_many(35)
    run = services.push(EVERYBODY)
    move_on = gathering._move_on

    def cancelled_before(*args: Any) -> None:
        services.cancel(run)
        move_on(*args)

    monkeypatch.setattr(gathering, "_move_on", cancelled_before)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.total, Customer.objects.filter(state="PENDING").count()) == (10, 10)


def test_only_what_is_not_in_step(small_slices: None) -> None:
    make_many(5)
    changed = [make_customer(), make_customer(state="FAILED", error_code="email_invalid", due_at=None)]
    run = services.push(EVERYBODY, only_changed=True)
    assert (run.total, run.unchanged) == (2, 5)
    assert set(Customer.objects.filter(run=run)) == set(changed)


def test_a_drain_sends_while_more_is_gathered(small_slices: None, blueshift: Any, settings: Any) -> None:
    blueshift.scenario(calls_per_second=None)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    make_many(25)
    run = services.push(EVERYBODY)
    drain()
    run.refresh_from_db()
    assert (run.state, run.accepted) == ("RUNNING", 10)
    services.go_on(run.pk, lambda: False)
    drain()
    run.refresh_from_db()
    assert (run.state, run.total, run.accepted) == ("SUCCEEDED", 25, 25)


def test_nothing_selected_ends_at_once() -> None:
    run = services.push(Selection(Customer, Q(state="FAILED")))
    assert (run.total, run.state) == (0, "SUCCEEDED")


def test_what_can_be_selected() -> None:
    who = make_membership()
    when = timezone.now()
    where = Q(
        Q(customer__customer_id__startswith="c") | ~Q(is_member=True), customer=who.customer, created_at__lte=when
    )
    again = Selection.from_json(Selection(ListMembership, where & Q(pk__in={who.pk})).to_json())
    assert list(again.rows) == [who]
    for wrong in (Q(version=F("synced_version")), Q(Q(pk=1) | Q(version=object()))):
        with pytest.raises(TypeError, match="can't be kept"):
            Selection(Customer, wrong).to_json()
    with pytest.raises(BlueshiftSyncError, match="Only customers and list memberships"):
        services.push(Selection(RecordResult))


# Lists


@pytest.mark.parametrize("is_member", [True, False])
def test_a_selection_is_put_on_a_list_and_taken_off(small_slices: None, is_member: bool) -> None:
    make_many(25)
    news = make_list()
    make_membership(customer_list=news, customer=Customer.objects.first(), is_member=not is_member)
    change = services.add_to_list if is_member else services.remove_from_list
    run = change(news, EVERYBODY)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.kind, run.total) == ("LISTS", 25)
    memberships = ListMembership.objects.filter(customer_list=news, run=run, state="PENDING")
    assert set(memberships.values_list("is_member", flat=True)) == {is_member}
    assert memberships.count() == 25


# Calls and results


def test_a_run_ends_whose_list_was_deleted(small_slices: None) -> None:
    make_many(25)
    news = make_list()
    run = services.add_to_list(news, EVERYBODY)
    news.delete()
    tasks.gather(run_id=run.pk)
    run.refresh_from_db()
    assert run.closed_at is not None
    assert run.error == "Not all was gathered. The customer list was deleted on this site."
    assert not ListMembership.objects.exists()


def test_a_record_that_several_calls_carried_goes_once(small_slices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "CALLS_IN_A_SLICE", 1)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 10)
    calls = [make_call(), make_call(), make_call()]
    customer, other = make_customer(**IN_STEP), make_customer(**IN_STEP)
    membership = make_membership(**IN_STEP)
    for call in calls:
        make_result(call=call, customer=customer)
    make_result(call=calls[0], customer=other)
    make_result(call=calls[1], customer=membership.customer, membership=membership)
    runs = services.resend(Selection(ApiCall, Q(pk__in=[call.pk for call in calls])))
    assert {(run.kind, run.total) for run in runs} == {("LISTS", 1), ("CUSTOMERS", 2)}
    assert [run.kind for run in services.resend(Selection(RecordResult, Q(call=calls[2])))] == ["CUSTOMERS"]


def test_a_retry_of_many_goes_on_in_a_job(small_slices: None) -> None:
    failed = make_run(rejected=25)
    make_many(25, state="FAILED", run=failed)
    run = services.retry(failed)
    assert (run.total, run.closed_at, run.retry_of) == (10, None, failed)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert run.total == 25


def test_a_request_takes_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SLICE", 10)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0.2)
    make_many(2000)
    began = time.monotonic()
    run = services.push(EVERYBODY)
    assert time.monotonic() - began < 2
    assert run.scope["looked_at"] >= 10


@pytest.mark.django_db(transaction=True)
def test_a_request_waits_for_no_lock_of_the_site_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job does what somebody held; a rehearsal, which can't wait for one, says so."""
    make_many(3)
    monkeypatch.setattr(locks, "FEW_TRIES", 2)
    monkeypatch.setitem(ACTIONS, "send", held_by_somebody)

    run = services.push(EVERYBODY)

    assert (run.total, run.closed_at, run.state) == (0, None, "QUEUED")
    assert queued() == [run.pk]
    with pytest.raises(BlueshiftSyncError, match="Try again"):
        services.rehearse_push(EVERYBODY)
    monkeypatch.undo()
    tasks.gather(run_id=run.pk)
    run.refresh_from_db()
    assert (run.total, run.closed_at is None) == (3, False)


def held_by_somebody(*_args: Any) -> Any:
    """What a database says to who may not wait for a lock."""
    raise OperationalError from Exception(1205)
