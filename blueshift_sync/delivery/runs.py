"""Keeping the books of runs.

A run's waiting records are counted where they are, in the mirror. What is neither accepted, rejected nor waiting was
overtaken: another run took it over, or it is no longer to be sent. So the totals add up at every moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from math import inf
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncRun, SyncState
from ..models.state import failure
from ..signals import run_finished
from .locks import gives_way

#: Calls by which the pace of a run is told, and how old they may be.
PACE_CALLS = 100
PACE_TIME = timedelta(minutes=2)
#: Rows changed in one statement.
SLICE = 1000
#: The columns of a record that waits for nothing.
AT_REST: dict[str, Any] = {"due_at": None, "waiting_since": None, "attempts": 0, "batch_limit": None}

#: The key of a run's scope that says how far its records have been gathered; it is there until they all have been.
GATHERING = "gathering"
#: The key of what was selected, for as long as the run goes on.
SELECTED = "of"

#: What is said of a run that ended before all of its memberships could be sent.
PARKED = "Some memberships wait for their customer or their list. They say for what, and follow by themselves."

#: What is said of a record whose run was cancelled.
CANCELLED = ("cancelled", "The run was cancelled before this was sent.")


class RunsCancelled(Exception):  # noqa: N818 - a finding, not a fault
    """Somebody has cancelled these runs, or they are gone: nothing more is sent for them."""

    def __init__(self, run_ids: set[int]) -> None:
        super().__init__(run_ids)
        self.run_ids = run_ids


#: What is sent.
SentModel = type[Customer] | type[CustomerRemoval] | type[ListMembership]
MODELS: tuple[SentModel, ...] = (Customer, ListMembership, CustomerRemoval)
#: What the runs of each kind send.
MODELS_OF: dict[SyncRun.Kind, tuple[SentModel, ...]] = {
    SyncRun.Kind.CUSTOMERS: (Customer, CustomerRemoval),
    SyncRun.Kind.LISTS: (ListMembership,),
}


def models_of(run: SyncRun) -> tuple[SentModel, ...]:
    """What `run` sends."""
    return MODELS_OF[SyncRun.Kind(run.kind)]


def waiting_in(run: SyncRun) -> int:
    """How many records of `run` are still to be sent, or being sent."""
    return sum(waiting_by_model(run).values())


def waiting_by_model(run: SyncRun, *, at_most: int | None = None) -> dict[SentModel, int]:
    """As `waiting_in`, for each model; counted no further than `at_most`."""
    unsent = [SyncState.State.PENDING, SyncState.State.SENDING]
    waiting = {model: model._default_manager.filter(run=run, state__in=unsent).order_by() for model in models_of(run)}
    return {model: rows[:at_most].count() for model, rows in waiting.items()}


def pace_of(run: SyncRun) -> float:
    """Records of the run a second, in its latest calls; 0 where none was made of late."""
    now = timezone.now()
    calls = run.calls.exclude(state=ApiCall.State.OPEN).order_by("-id").values_list("started_at", "record_count")
    recent = [call for call in calls[:PACE_CALLS] if now - call[0] < PACE_TIME]
    if not recent:
        return 0.0
    seconds = (now - min(started_at for started_at, _records in recent)).total_seconds()
    return float(sum(records for _started_at, records in recent) / max(seconds, 1.0))


def note_calls(calls_of_runs: Mapping[int, int]) -> None:
    """So many calls are about to be made for each run. Raises RunsCancelled.

    Until the transaction ends, who cancels one of the runs waits: a call is either opened before or not at all.
    """
    now = timezone.now()
    queued = When(state=SyncRun.State.QUEUED, then=Value(SyncRun.State.RUNNING))
    cancelled = set()
    for run_id, count in sorted(calls_of_runs.items()):  # all workers in one order, or they would wait in a circle
        wanted = SyncRun.objects.filter(pk=run_id, cancel_requested_at=None).update(
            calls_made=F("calls_made") + count,
            heartbeat_at=now,
            started_at=Coalesce(F("started_at"), now),
            state=Case(queued, default=F("state")),
        )
        if not wanted:
            cancelled.add(run_id)
    if cancelled:
        raise RunsCancelled(cancelled)


def note_outcomes(run_id: int, *, accepted: int, rejected: int, unknown: int = 0) -> None:
    """So many records of the run have come to an end. `unknown` are those of the rejected that no answer came for."""
    SyncRun.objects.filter(pk=run_id).update(
        accepted=F("accepted") + accepted,
        rejected=F("rejected") + rejected,
        unknown=F("unknown") + unknown,
        heartbeat_at=timezone.now(),
    )


def note_parked(run_id: int, count: int) -> None:
    """So many memberships leave the run, as they have to wait for their customer or their list.

    A run that nobody asked for is as if it had never had them. Any other says that it ended without them.
    """
    run = SyncRun.objects.filter(pk=run_id)
    run.filter(trigger=SyncRun.Trigger.SIGNAL).update(total=F("total") - count)
    run.exclude(trigger=SyncRun.Trigger.SIGNAL).update(error=PARKED)


@gives_way
def _change(runs: QuerySet[SyncRun], **columns: Any) -> int:
    """Returns how many were changed. On MariaDB even one statement may be ended by a deadlock with a worker's."""
    return runs.update(**columns)


def close_run(run_id: int) -> None:
    """No more records will be added; the run ends now or with its last record."""
    _change(SyncRun.objects.filter(pk=run_id, closed_at__isnull=True), closed_at=timezone.now())
    finish_if_done(run_id)


def finish_if_done(run_id: int) -> None:
    """Ends a complete run in which nothing waits any more."""
    run = SyncRun.objects.filter(pk=run_id, closed_at__isnull=False, state__in=SyncRun.OPEN_STATES).first()
    if run is None:
        return
    if run.cancel_requested_at is not None:
        _take_back(run)
    if waiting_in(run):
        return
    state = _final_state(run)
    open_run = SyncRun.objects.filter(pk=run.pk, state__in=SyncRun.OPEN_STATES)
    if _change(open_run, state=state, finished_at=timezone.now(), scope=scope_of_ended(run)):
        run_finished.send_robust(sender=SyncRun, run_id=run.pk, state=state)


def scope_of_ended(run: SyncRun) -> dict[str, Any]:
    """The run's scope without what was selected: what was searched for may name a person, and may be long."""
    return {name: value for name, value in run.scope.items() if name not in {SELECTED, GATHERING}}


def cancel_run(run_id: int) -> None:
    """Takes back what of the run hasn't been sent. Calls in flight are finished; the run ends with the last of them."""
    cancel_runs(SyncRun.objects.filter(pk=run_id), inf)
    finish_if_done(run_id)


def cancel_runs(rows: QuerySet[SyncRun], seconds: float) -> list[int]:
    """Cancels those of the runs that go on. Returns their primary keys.

    All of them are told to stop at once; those that can't be ended in so many seconds the sweep ends.
    """
    deadline = time.monotonic() + seconds
    going_on = rows.filter(state__in=SyncRun.OPEN_STATES, cancel_requested_at=None)
    cancelled = []
    while pks := list(going_on.order_by("pk").values_list("pk", flat=True)[:SLICE]):
        now = timezone.now()
        _change(going_on.filter(pk__in=pks), cancel_requested_at=now, closed_at=Coalesce(F("closed_at"), now))
        cancelled += pks
    for pk in cancelled:
        if time.monotonic() >= deadline:
            break
        finish_if_done(pk)
    return cancelled


def _take_back(run: SyncRun) -> None:
    """Records in step before they were asked for are so again; a change that Blueshift hasn't got is FAILED.

    So it is with memberships that had to leave the run, as they wait for something else: nobody wants them any more.
    They come last, for a worker may be parking some at this moment.
    """
    for model in models_of(run):
        _take_back_from(model._default_manager.filter(run=run, state=SyncState.State.PENDING))
        if model is ListMembership:
            _take_back_from(ListMembership.objects.filter(left_run=run.pk, state=SyncState.State.PENDING))


def _take_back_from(waiting: QuerySet[Any]) -> None:
    while pks := list(waiting.values_list("pk", flat=True)[:SLICE]):
        _take_back_slice(waiting.filter(pk__in=pks))


@gives_way
def _take_back_slice(rows: QuerySet[Any]) -> None:
    in_step = rows.filter(version=F("synced_version"))
    in_step.update(state=SyncState.State.SYNCED, error_code="", error_message="", **AT_REST)
    rows.update(**AT_REST | failure(*CANCELLED, timezone.now()))


def _final_state(run: SyncRun) -> SyncRun.State:
    if run.cancel_requested_at is not None:
        return SyncRun.State.CANCELLED
    if run.error:
        return SyncRun.State.PARTIAL
    if not run.rejected:
        return SyncRun.State.SUCCEEDED
    return SyncRun.State.PARTIAL if run.accepted else SyncRun.State.FAILED


def finish_runs() -> None:
    """Ends every run in which nothing waits any more.

    One that its worker never completed counts as complete when nothing happened to it for longer than a lease lasts,
    but for those whose records are still being gathered: somebody goes on with them.
    """
    deadline = timezone.now() - timedelta(seconds=app_settings().LEASE_SECONDS)
    left_behind = Q(heartbeat_at__lt=deadline) | Q(heartbeat_at=None, created_at__lt=deadline)
    to_end = SyncRun.objects.filter(left_behind | Q(closed_at__isnull=False), state__in=SyncRun.OPEN_STATES)
    to_end = to_end.exclude(closed_at=None, scope__has_key=GATHERING)
    for run_id in to_end.values_list("pk", flat=True):
        close_run(run_id)
