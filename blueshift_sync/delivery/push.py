"""Asking for records to be sent, changed or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import router
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..models import ListMembership, SyncRun, SyncState
from .locks import gives_way
from .runs import MODELS_OF, SentModel, close_run, finish_if_done
from .wake import wake_quietly

State = SyncState.State
CHUNK = 1000


class Cancelled(Exception):  # noqa: N818 - a finding, not a fault
    """Somebody cancelled the run while records were being added to it."""


def push_records(model: SentModel, pks: Iterable[int], run: SyncRun) -> SyncRun:
    """Makes these records due now, in `run`, and wakes a worker. EXCLUDED ones are left out.

    Goes in slices, each committed by itself, so that a million records hold no long locks; `run.total` grows with
    them.
    """
    return push_all([(model, pks)], run)


def push_all(records: Iterable[tuple[SentModel, Iterable[int]]], run: SyncRun) -> SyncRun:
    """As `push_records`, for records of several models."""
    overtaken: set[int] = set()
    for model, pks in records:
        overtaken |= _add_to_run(model, pks, run)
    close_run(run.pk)
    for run_id in overtaken:
        finish_if_done(run_id)
    run.refresh_from_db()
    return run


def _add_to_run(model: SentModel, pks: Iterable[int], run: SyncRun) -> set[int]:
    """Returns the runs from which records were taken over."""
    rows = model._default_manager.using(router.db_for_write(model))
    overtaken: set[int] = set()
    for chunk in chunks(pks):
        asked_for = sendable(rows.filter(pk__in=chunk))
        overtaken |= runs_of_waiting(asked_for)
        try:
            _add(asked_for, run)
        except Cancelled:
            break
        wake_quietly()
    return overtaken


@gives_way
def _add(rows: QuerySet[Any], run: SyncRun) -> None:
    """Nobody sees the records in the run before its total counts them. Raises Cancelled for a run that was."""
    added = make_due(rows, run)
    wanted = SyncRun.objects.filter(pk=run.pk, cancel_requested_at=None)
    if not wanted.update(total=F("total") + added, heartbeat_at=timezone.now()):
        raise Cancelled


def sendable(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of the rows that may be sent, in step or not."""
    # By the code, for one that was withdrawn while it is being sent is SENDING still.
    not_to_be_sent = SyncState.EXCLUDED_CODES | SyncState.UNSENDABLE_CODES
    return rows.exclude(state=State.EXCLUDED).exclude(error_code__in=not_to_be_sent)


def runs_of_waiting(rows: QuerySet[Any]) -> set[int]:
    """The runs in which these rows wait, and which end without them once somebody takes them over."""
    return set(rows.filter(state=State.PENDING, run__isnull=False).values_list("run_id", flat=True))


def make_due(rows: QuerySet[Any], run: SyncRun) -> int:
    """Makes these rows due now, in `run`. Returns how many they are."""
    now = timezone.now()
    being_sent = When(state=State.SENDING, then=F("due_at"))
    in_no_other_run = {"left_run": None} if rows.model is ListMembership else {}
    return rows.update(
        **in_no_other_run,
        run=run,
        # One that is being sent stays so; when its call is settled, its new run says that it goes again.
        state=Case(When(state=State.SENDING, then=Value(State.SENDING)), default=Value(State.PENDING)),
        due_at=Case(being_sent, default=Value(now)),
        waiting_since=Coalesce(F("waiting_since"), now),
        attempts=0,
        batch_limit=None,
        error_code="",
        error_message="",
        error_cause="",
    )


def chunks(pks: Iterable[int]) -> Iterator[list[int]]:
    """The keys in slices, each fit for one statement."""
    iterator = iter(pks)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def kind_of(model: type[Any]) -> SyncRun.Kind:
    """The kind of the runs that send records of `model`."""
    return next(kind for kind, models in MODELS_OF.items() if model in models)
