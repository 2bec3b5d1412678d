"""What happens to a record while its call is in flight, and after a worker died."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery import parking
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from blueshift_sync.models.causes import cause_of
from tests.delivery.conftest import RunForChanges
from tests.delivery.one_call import claim_customers, open_call, settle
from tests.factories import make_call, make_customer, make_list, make_membership, make_run

pytestmark = pytest.mark.django_db

Finish = Callable[..., None]


@pytest.fixture
def send(run_for_changes: RunForChanges) -> Callable[[], Finish]:
    """Claims what is due and opens its call. What it returns lets the answer come: one outcome for all records."""

    def begin() -> Finish:
        claim = claim_customers(run_for_changes)
        assert claim is not None
        batch = customers_batch(claim)
        with make_client() as client:
            call = open_call(batch, client.prepare(batch.request), job_id="job-1")

        def finish(outcome: RecordOutcome = RecordOutcome.ACCEPTED, code: str = "") -> None:
            records = tuple(RecordAnswer(outcome, code=code, message=code) for _ in batch.records)
            settle(batch, call, Exchange(status=200), Answer(CallOutcome.ANSWERED, records))

        return finish

    return begin


def change(customer: Customer, **columns: Any) -> None:
    """What a capture does: the row changes, and says so."""
    customer.refresh_from_db()
    customer.firstname = "Changed"
    customer.fingerprint = customer.fingerprint_of_payload()
    customer.mark_changed(due_at=timezone.now(), **columns)
    customer.save()


def test_an_accepted_record_is_in_step(send: Callable[[], Finish]) -> None:
    customer = make_customer(version=4)
    send()()
    customer.refresh_from_db()
    assert (customer.state, customer.synced_version, customer.due_at, customer.claim_token) == ("SYNCED", 4, None, None)
    assert customer.synced_at is not None
    assert customer.waiting_since is None


def test_a_record_changed_in_flight_is_sent_next(send: Callable[[], Finish]) -> None:
    customer = make_customer()
    finish = send()
    change(customer)
    customer.refresh_from_db()
    assert customer.state == "SENDING"
    finish()
    customer.refresh_from_db()
    assert (customer.state, customer.version, customer.synced_version, customer.run) == ("PENDING", 2, 1, None)
    assert SyncRun.objects.get().accepted == 1
    send()()
    customer.refresh_from_db()
    assert (customer.state, customer.synced_version) == ("SYNCED", 2)


def test_a_refusal_of_old_values_does_not_fail_the_new_ones(send: Callable[[], Finish]) -> None:
    customer = make_customer()
    finish = send()
    change(customer)
    finish(RecordOutcome.REJECTED, "invalid")
    customer.refresh_from_db()
    assert (customer.state, customer.error_code) == ("PENDING", "")


@pytest.mark.parametrize(
    ("code", "state"), [("excluded", "EXCLUDED"), ("source_deleted", "EXCLUDED"), ("source_error", "FAILED")]
)
def test_a_record_withdrawn_in_flight_stops_after_its_call(send: Callable[[], Finish], code: str, state: str) -> None:
    customer = make_customer()
    finish = send()
    change(customer, error_code=code, error_message="Why.")
    finish()
    customer.refresh_from_db()
    assert (customer.state, customer.error_code, customer.due_at, customer.synced_version) == (state, code, None, 1)


def test_a_push_in_flight_sends_again_in_its_own_run(send: Callable[[], Finish]) -> None:
    customer = make_customer()
    finish = send()
    run = services.push([customer])
    finish()
    customer.refresh_from_db()
    assert (customer.state, customer.run) == ("PENDING", run)
    assert SyncRun.objects.get(pk=run.pk).state == "QUEUED"
    send()()
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
    assert list(SyncRun.objects.order_by("pk").values_list("total", "accepted")) == [(1, 1), (1, 1)]


def test_back_to_what_blueshift_holds_needs_no_call(send: Callable[[], Finish]) -> None:
    customer = make_customer(firstname="Ada")
    customer.fingerprint = customer.fingerprint_of_payload()
    customer.save()
    send()()
    change(customer)
    assert customer.state == "PENDING"
    customer.firstname = "Ada"
    customer.fingerprint = customer.fingerprint_of_payload()
    customer.mark_changed(due_at=timezone.now())
    assert (customer.state, customer.synced_version) == ("SYNCED", customer.version)


def test_what_blueshift_holds_is_not_known_while_a_call_is_open(send: Callable[[], Finish]) -> None:
    customer = make_customer(synced_fingerprint="old")
    send()
    customer.refresh_from_db()
    assert customer.synced_fingerprint == ""


def test_a_dead_workers_records_go_again_and_its_call_is_unknown(send: Callable[[], Finish]) -> None:
    customers = [make_customer(), make_customer()]
    send()
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    recover_expired_claims()
    call = ApiCall.objects.get()
    assert (call.state, call.error_code) == ("UNKNOWN", "worker_died")
    results = call.results.order_by("position").values_list("customer", "outcome")
    assert list(results) == [(customer.pk, "UNKNOWN") for customer in customers]
    assert set(Customer.objects.values_list("state", "batch_limit", "claim_token")) == {("PENDING", 1, None)}


def test_a_worker_whose_lease_ran_out_may_not_settle(send: Callable[[], Finish]) -> None:
    customer = make_customer()
    finish = send()
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    recover_expired_claims()
    finish()
    customer.refresh_from_db()
    assert (customer.state, customer.synced_version) == ("PENDING", 0)
    call = ApiCall.objects.get()
    assert (call.state, call.status_code) == ("UNKNOWN", 200)  # the late answer is kept as evidence
    assert list(RecordResult.objects.values_list("outcome", flat=True)) == ["UNKNOWN"]


@pytest.mark.parametrize("outcome", RecordOutcome)
def test_only_the_claims_own_token_settles(send: Callable[[], Finish], outcome: RecordOutcome) -> None:
    make_customer()
    finish = send()
    Customer.objects.update(claim_token=UUID(int=7))
    claimed_by_another = Customer.objects.values().get()
    finish(outcome, "bad")
    assert Customer.objects.values().get() == claimed_by_another


@pytest.mark.parametrize("newer_is_answered_first", [True, False])
def test_what_a_late_call_may_have_undone_goes_again(send: Callable[[], Finish], newer_is_answered_first: bool) -> None:
    customer = make_customer()
    finish_late = send()
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    recover_expired_claims()
    change(customer)
    finish_newer = send()
    for finish in [finish_newer, finish_late] if newer_is_answered_first else [finish_late, finish_newer]:
        finish()
    customer.refresh_from_db()
    assert (customer.state, customer.synced_version) == ("PENDING", customer.version)
    send()()
    customer.refresh_from_db()
    assert customer.state == "SYNCED"
    assert set(SyncRun.objects.filter(trigger="SWEEP").values_list("total", "accepted")) == {(1, 1)}


def test_a_living_workers_claim_is_left_alone(send: Callable[[], Finish]) -> None:
    make_customer()
    send()
    sweep()
    assert Customer.objects.get().state == "SENDING"
    assert ApiCall.objects.get().state == "OPEN"


def test_a_call_is_not_closed_for_its_age_while_its_worker_lives(send: Callable[[], Finish]) -> None:
    """The clock of the worker that opened it may be slow."""
    make_customer()
    send()
    ApiCall.objects.update(started_at=timezone.now() - timedelta(hours=1))
    sweep()
    assert ApiCall.objects.get().state == "OPEN"


def test_the_sweep_closes_calls_that_nobody_will_answer() -> None:
    old = make_call(state="OPEN", started_at=timezone.now() - timedelta(hours=1), status_code=None)
    sweep()
    old.refresh_from_db()
    assert (old.state, old.error_code) == ("UNKNOWN", "worker_died")


def test_the_sweep_ends_runs_of_dead_workers() -> None:
    run = make_run(state="RUNNING", heartbeat_at=timezone.now() - timedelta(hours=1), total=0)
    sweep()
    run.refresh_from_db()
    assert run.finished_at is not None


def test_the_sweep_wakes_a_worker_for_what_is_due() -> None:
    import django_rq

    sweep()
    assert len(django_rq.get_queue("default")) == 0
    make_customer()
    sweep()
    sweep()
    assert len(django_rq.get_queue("default")) == 1


def test_the_sweep_frees_a_membership_that_missed_its_customer() -> None:
    membership = make_membership(customer=make_customer(state="SYNCED"), due_at=None, error_code="customer_waiting")
    sweep()
    membership.refresh_from_db()
    assert (membership.error_code, membership.due_at is None) == ("", False)


def test_the_sweep_frees_many_memberships_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new list may have a million of them, more than SQLite takes in one statement."""
    monkeypatch.setattr(parking, "SLICE", 2)
    customer_list = make_list()
    for _ in range(5):
        customer = make_customer(state="SYNCED", due_at=None)
        make_membership(customer_list=customer_list, customer=customer, due_at=None, error_code="list_unread")
    with CaptureQueriesContext(connection) as queries:
        assert parking.wake_parked(ListMembership.objects.all(), timezone.now()) == 5
    assert sum("UPDATE" in query["sql"] for query in queries) == 3
    assert not ListMembership.objects.filter(due_at=None).exists()


def test_a_run_of_which_a_record_was_excluded_still_ends(unthrottled: Any) -> None:
    kept, gone = make_customer(), make_customer()
    run = services.push([kept, gone])
    change(gone, error_code="excluded", error_message="Left out.")
    drain()
    run.refresh_from_db()
    assert (run.state, run.total, run.accepted, run.rejected) == ("SUCCEEDED", 2, 1, 0)


def test_what_a_late_call_may_have_undone_is_not_taken_for_known(send: Callable[[], Finish]) -> None:
    """Who was withdrawn meanwhile isn't sent again now, but is when he comes back with the values of before."""
    customer = make_customer()
    finish_late = send()
    Customer.objects.update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    recover_expired_claims()
    change(customer)
    send()()
    change(customer, error_code="excluded")
    finish_late()
    customer.refresh_from_db()
    assert (customer.state, customer.synced_fingerprint) == ("EXCLUDED", "")
    change(customer)
    assert customer.state == "PENDING"


def test_what_is_rejected_for_the_same_reason_has_one_cause(send: Callable[[], Finish]) -> None:
    customers = [make_customer(), make_customer()]
    finish = send()
    finish(RecordOutcome.REJECTED, "bad_name")
    for customer in customers:
        customer.refresh_from_db()
    causes = {customer.error_cause for customer in customers}
    assert causes == {cause_of("bad_name", "bad_name")}
    assert set(RecordResult.objects.values_list("error_cause", flat=True)) == causes
    assert all(customer.failed_at is not None for customer in customers)


@pytest.mark.parametrize("outcome", [RecordOutcome.ACCEPTED, RecordOutcome.RETRY, RecordOutcome.UNKNOWN])
def test_what_is_not_rejected_has_no_cause(send: Callable[[], Finish], outcome: RecordOutcome) -> None:
    customer = make_customer()
    send()(outcome, "later")
    customer.refresh_from_db()
    assert (customer.error_cause, RecordResult.objects.get().error_cause) == ("", "")


def test_sent_again_a_record_has_no_cause_any_more(send: Callable[[], Finish]) -> None:
    customer = make_customer()
    send()(RecordOutcome.REJECTED, "bad_name")
    services.push([customer])
    customer.refresh_from_db()
    assert (customer.state, customer.error_cause) == ("PENDING", "")


@pytest.mark.parametrize(("outcome", "unknown"), [(RecordOutcome.UNKNOWN, 1), (RecordOutcome.RETRY, 0)])
def test_a_run_knows_of_how_many_nobody_ever_said_what_became_of_them(
    send: Callable[[], Finish], settings: Any, outcome: RecordOutcome, unknown: int
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 1}
    customer = make_customer()
    finish = send()
    finish(outcome, "timeout")
    customer.refresh_from_db()
    run = SyncRun.objects.get()
    assert customer.state in {"FAILED", "PENDING"}
    assert (run.rejected, run.unknown) == (int(customer.state == "FAILED"), unknown)
