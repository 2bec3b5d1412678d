"""The audit goes when it is older than the settings keep it: what is too old, all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import tasks
from blueshift_sync.client import Answer, CallOutcome, Exchange, find_customer
from blueshift_sync.delivery import retention
from blueshift_sync.delivery.audit import close_calls
from blueshift_sync.delivery.batches import Batch, Finished
from blueshift_sync.delivery.locks import HeldBySomebody
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from tests.factories import make_call, make_customer, make_membership, make_removal, make_result, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE", 0)


@pytest.fixture(autouse=True)
def _kept(settings: Any) -> None:
    keep(settings, 30, 90)


def keep(settings: Any, bodies: float | None, calls: float | None) -> None:
    days = {"BODY_RETENTION_DAYS": bodies, "CALL_RETENTION_DAYS": calls}
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, **days}


def days_ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def call_of(days: float, results: int = 1, **fields: Any) -> ApiCall:
    call = make_call(started_at=days_ago(days), record_count=results, **fields)
    for _ in range(results):
        make_result(call=call)
    return call


def run_of(days: float, **fields: Any) -> SyncRun:
    ended = {"state": SyncRun.State.SUCCEEDED, "created_at": days_ago(days), "finished_at": days_ago(days)}
    return make_run(**{**ended, **fields})


#: What is said where nobody uploaded a file.
NO_LINES, NO_FILES = "0 parts of files deleted.\n", "0 files deleted.\n"


def prune() -> str:
    out = StringIO()
    call_command("blueshift_prune", stdout=out)
    return out.getvalue().replace(NO_FILES, "").replace(NO_LINES, "")


def bodies() -> dict[int, bool]:
    """Whether each call still has its bodies."""
    return {call.pk: bool(call.request_body or call.response_body) for call in ApiCall.objects.all()}


def test_bodies_are_emptied_first_then_calls_go_with_their_results_then_runs() -> None:
    run = run_of(91)
    gone, emptied, kept = call_of(91, 3, run=run), call_of(31), call_of(29)
    before = timezone.now()
    assert prune() == "2 bodies emptied.\n1 calls deleted with 3 results.\n1 runs deleted.\n"
    assert bodies() == {emptied.pk: False, kept.pk: True}
    emptied.refresh_from_db()
    kept.refresh_from_db()
    assert emptied.bodies_emptied_at is not None
    assert emptied.bodies_emptied_at >= before
    assert kept.bodies_emptied_at is None
    assert not RecordResult.objects.filter(call=gone.pk).exists()
    assert RecordResult.objects.count() == 2
    assert not SyncRun.objects.exists()


def test_the_second_time_there_is_nothing_to_do() -> None:
    call_of(91)
    call_of(31)
    prune()
    assert prune() == "0 bodies emptied.\n0 calls deleted.\n0 runs deleted.\n"


def test_what_is_kept_of_a_call_without_bodies_is_the_rest() -> None:
    call = call_of(31, error="A sentence.")
    prune()
    now = ApiCall.objects.get()
    unchanged = {field.attname for field in ApiCall._meta.concrete_fields}
    unchanged -= {"request_body", "response_body", "bodies_emptied_at"}
    assert {name: getattr(now, name) for name in unchanged} == {name: getattr(call, name) for name in unchanged}


@pytest.mark.parametrize(("days_of_bodies", "days_of_calls"), [(None, None), (30, None), (None, 90)])
def test_none_keeps_for_ever(settings: Any, days_of_bodies: float | None, days_of_calls: float | None) -> None:
    keep(settings, days_of_bodies, days_of_calls)
    call = call_of(30_000)
    said = prune()
    assert ApiCall.objects.exists() == (days_of_calls is None)
    assert bodies().get(call.pk, False) == (days_of_bodies is None and days_of_calls is None)
    assert ("Nothing is ever too old" in said) == (days_of_bodies is None and days_of_calls is None)


def test_zero_days_keep_nothing_but_what_is_in_flight(settings: Any) -> None:
    keep(settings, 0, 0)
    call_of(0.001)
    in_flight = call_of(0.001, state=ApiCall.State.OPEN)
    prune()
    assert bodies() == {in_flight.pk: True}


def test_a_call_that_is_open_for_long_is_left_to_the_sweep() -> None:
    call = call_of(1000, state=ApiCall.State.OPEN)
    prune()
    assert bodies() == {call.pk: True}


def test_an_answer_that_comes_after_the_bodies_went_doesnt_bring_one_back() -> None:
    late, in_time = call_of(31, 0, state=ApiCall.State.UNKNOWN), call_of(29, 0, state=ApiCall.State.UNKNOWN)
    prune()
    exchange = Exchange(status=200, headers={"X": "1"}, body=b'{"email": "ada@example.com"}', duration_ms=5)
    batch = Batch(find_customer("ada@example.com"), None, Customer)
    answer = Answer(CallOutcome.ANSWERED, "", "", ())
    close_calls([Finished(batch, call, exchange, answer) for call in (late, in_time)])
    assert bodies() == {late.pk: False, in_time.pk: True}
    late.refresh_from_db()
    assert late.response_headers == {"X": "1"}


# Runs


def test_runs_stay_that_have_calls_or_havent_ended() -> None:
    with_call = run_of(91)
    call_of(89, run=with_call)
    still_open = run_of(91, state=SyncRun.State.RUNNING, finished_at=None)
    ended_lately = run_of(91, finished_at=days_ago(1))
    run_of(91)
    prune()
    assert set(SyncRun.objects.all()) == {with_call, still_open, ended_lately}


def test_records_and_retries_let_go_of_a_run_that_goes() -> None:
    run = run_of(91)
    rows = [
        make_customer(run=run, state=Customer.State.FAILED),
        make_membership(run=run, state=ListMembership.State.SYNCED),
        make_removal(run=run, state="EXCLUDED"),
        run_of(1, retry_of=run),
    ]
    prune()
    for row in rows:
        row.refresh_from_db()
    assert [rows[0].run, rows[1].run, rows[2].run, rows[3].retry_of] == [None] * 4
    assert (rows[0].state, rows[1].state) == ("FAILED", "SYNCED")


# By slices


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALLS", "RUNS", "RECORDS"):
        monkeypatch.setattr(retention, name, 3)
    monkeypatch.setattr(retention, "RESULTS", 4)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("moments", ["alike", "apart"])
def test_by_slices_everything_goes_once_even_if_all_began_at_one_moment(moments: str) -> None:
    old = days_ago(91)
    for number in range(11):
        call = call_of(91, number % 6)
        ApiCall.objects.filter(pk=call.pk).update(started_at=old + timedelta(seconds=number * (moments == "apart")))
        SyncRun.objects.filter(pk=run_of(91).pk).update(created_at=old)
    for run in SyncRun.objects.all():
        for _ in range(4):
            make_customer(run=run, state=Customer.State.SYNCED)
    kept = call_of(29)
    assert prune() == "11 bodies emptied.\n11 calls deleted with 25 results.\n11 runs deleted.\n"
    assert list(ApiCall.objects.all()) == [kept]


@pytest.mark.usefixtures("small_slices")
def test_no_statement_deletes_more_than_its_slice() -> None:
    for _ in range(6):
        call_of(91, 3)
    parts = {part.unit: part for part in retention.parts(timezone.now())}
    slices = list(parts["calls"].prune())
    assert [(each.done, each.results) for each in slices] == [(1, 3)] * 6


@pytest.mark.usefixtures("small_slices")
def test_one_that_stopped_in_the_middle_is_finished_by_the_next() -> None:
    for _ in range(10):
        call_of(91, 2, run=run_of(91))
    for part in retention.parts(timezone.now()):
        next(part.prune(), None)
    assert 0 < ApiCall.objects.count() < 10
    prune()
    assert not ApiCall.objects.exists()
    assert not RecordResult.objects.exists()
    assert not SyncRun.objects.exists()


@pytest.mark.usefixtures("small_slices")
def test_the_number_of_statements_goes_by_the_slices_and_not_by_what_is_kept() -> None:
    for _ in range(6):
        call_of(31)
    with CaptureQueriesContext(connection) as few:
        prune()
    for _ in range(6):
        call_of(31)
    for _ in range(50):
        call_of(1)
    with CaptureQueriesContext(connection) as again:
        prune()
    assert len(again) == len(few)


@pytest.mark.usefixtures("small_slices")
def test_what_somebody_holds_is_left_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [call_of(31) for _ in range(7)]
    empty = retention._empty_slice

    def held(pks: Any) -> Any:
        if calls[0].pk in pks:
            raise HeldBySomebody
        return empty(pks)

    monkeypatch.setattr(retention, "_empty_slice", held)
    with pytest.raises(CommandError, match="3 rows were left, as somebody is working on them"):
        prune()
    assert list(bodies().values()) == [True] * 3 + [False] * 4


# The timer


def test_the_timers_part_is_bounded_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter(range(0, 10_000, 6))
    monkeypatch.setattr(retention, "CALLS", 3)
    monkeypatch.setattr(retention.time, "monotonic", lambda: next(clock))
    for _ in range(9):
        call_of(31)
    tasks.prune(unknown_argument=1)
    assert 0 < sum(bodies().values()) < 9
    for _ in range(9):
        tasks.prune()
    assert sum(bodies().values()) == 0


def test_the_timer_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from blueshift_sync import cron

    registered: list[Any] = []
    monkeypatch.setattr("rq.cron.register", lambda work, **options: registered.append((work, options["interval"])))
    importlib.reload(cron)
    assert registered == [(tasks.sweep, cron.SWEEP_SECONDS), (tasks.prune, cron.PRUNE_INTERVAL)]
