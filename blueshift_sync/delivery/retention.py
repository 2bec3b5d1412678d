"""Taking the audit away once it is older than the settings keep it: bodies first, then calls and results, then runs.

It goes by slices, the oldest first. Each is a short transaction that waits for nobody's lock, and is followed by a
pause. So workers and the site hardly notice. What a killed one left, the next one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import IntegrityError, router
from django.db.models import QuerySet
from django.utils import timezone

from ..conf import app_settings
from ..models import ApiCall, ListImport, ListImportChunk, ListImportPart, RecordResult, SyncRun
from .locks import HeldBySomebody, gives_up
from .runs import MODELS
from .statements import delete_rows, update_rows

#: Calls emptied, or looked at, at a time.
CALLS = 500
#: Results deleted at a time; those of one call always go together.
RESULTS = 2000
#: Runs deleted at a time, and records that let go of their run.
RUNS = 100
RECORDS = 1000
#: Files deleted at a time, and parts of them, each of up to a thousand lines.
IMPORTS = 100
PARTS_OF_FILES = 50
#: After each slice a pause, as a part of the time that it took.
PAUSE = 0.25


@dataclass(frozen=True)
class Slice:
    """What one transaction did: rows gone or emptied, the results among them, and rows left as somebody holds them."""

    done: int = 0
    results: int = 0
    held: int = 0


@dataclass(frozen=True)
class Part:
    """One kind of the audit that is too old."""

    #: What its rows are called, and what becomes of them.
    unit: str
    verb: str
    rows: QuerySet[Any]
    slices: Callable[[QuerySet[Any]], Iterator[Slice]]

    def count(self) -> int:
        """How many rows are too old; by an index, in a time that grows with them."""
        return self.rows.count()

    def prune(self) -> Iterator[Slice]:
        """Does away with them. Each slice is committed when it is yielded; whoever stops asking stops the work."""
        return _with_pauses(self.slices(self.rows))


def parts(now: datetime) -> list[Part]:
    """What the settings say is too old, in the order in which it goes."""
    settings = app_settings()
    found = []
    if settings.BODY_RETENTION_DAYS is not None:
        before = _before(now, settings.BODY_RETENTION_DAYS)
        found.append(Part("bodies", "emptied", _with_bodies(before), _empty))
        found.append(Part("parts of files", "deleted", _parts_of_files(before), _delete_parts_of_files))
    if settings.CALL_RETENTION_DAYS is not None:
        before = _before(now, settings.CALL_RETENTION_DAYS)
        found.append(Part("calls", "deleted", _ended_calls(before), _delete_calls))
        found.append(Part("files", "deleted", _ended_imports(before), _delete_imports))
        found.append(Part("runs", "deleted", _ended_runs(before), _delete_runs))
    return found


def prune_for(seconds: float) -> None:
    """Goes on where the last one stopped, for about so long."""
    deadline = time.monotonic() + seconds
    for part in parts(timezone.now()):
        for _ in part.prune():
            if time.monotonic() > deadline:
                return


def _before(now: datetime, days: float) -> datetime:
    return now - timedelta(days=days)


def _with_pauses(slices: Iterator[Slice]) -> Iterator[Slice]:
    begun = time.monotonic()
    for each in slices:
        took = time.monotonic() - begun
        yield each
        time.sleep(PAUSE * took)
        begun = time.monotonic()


# Which rows


def _ended_calls(before: datetime) -> QuerySet[ApiCall]:
    """An open one is in flight, however old it is, or the sweep closes it."""
    return _mine(ApiCall).filter(started_at__lt=before).exclude(state=ApiCall.State.OPEN)


def _with_bodies(before: datetime) -> QuerySet[ApiCall]:
    return _ended_calls(before).filter(bodies_emptied_at=None)


def _ended_runs(before: datetime) -> QuerySet[SyncRun]:
    """Those that have calls left are among them; few, as the calls go first."""
    return _mine(SyncRun).filter(created_at__lt=before, finished_at__lt=before)


def _ended_imports(before: datetime) -> QuerySet[ListImport]:
    """What is still open, the sweep ends."""
    return _mine(ListImport).filter(created_at__lt=before).exclude(state__in=_IMPORTS_GOING_ON)


_IMPORTS_GOING_ON = (*ListImport.OPEN_STATES, ListImport.State.STARTED)


def _parts_of_files(before: datetime) -> QuerySet[ListImportPart]:
    """The lines that meant nobody: they name people as bodies do."""
    return _mine(ListImportPart).filter(list_import__in=_ended_imports(before))


def _mine(model: type[Any]) -> QuerySet[Any]:
    queryset: QuerySet[Any] = model._default_manager.using(router.db_for_write(model))
    return queryset


def _oldest_first(rows: QuerySet[Any], moment: str, size: int, *columns: str) -> Iterator[list[Any]]:
    """Primary key, moment and other columns of the rows, by slices. A row that stays is not met twice."""
    values = rows.order_by(moment, "pk").values_list("pk", moment, *columns)
    found = list(values[:size])
    while found:
        yield found
        pk, last = found[-1][:2]
        later = values.filter(**{f"{moment}__gte": last}).exclude(**{moment: last, "pk__lte": pk})
        found = list(later[:size])


# What becomes of them


def _empty(calls: QuerySet[Any]) -> Iterator[Slice]:
    for found in _oldest_first(calls, "started_at", CALLS):
        yield _done_or_held(_empty_slice, [pk for pk, _ in found])


@gives_up
def _empty_slice(pks: Sequence[int]) -> Slice:
    emptied = {"request_body": "", "response_body": "", "bodies_emptied_at": timezone.now()}
    return Slice(update_rows(ApiCall, pks, emptied))


def _delete_calls(calls: QuerySet[Any]) -> Iterator[Slice]:
    for found in _oldest_first(calls, "started_at", CALLS, "record_count"):
        for few in _with_few_results([(pk, count) for pk, _, count in found]):
            yield _done_or_held(_delete_slice_of_calls, few)


def _with_few_results(calls: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """The calls in slices with at most RESULTS results, of which each call has as many as records."""
    rest = list(calls)
    while rest:
        totals = accumulate(count for _, count in rest)
        size = max(1, sum(total <= RESULTS for total in totals))
        yield [pk for pk, _ in rest[:size]]
        rest = rest[size:]


@gives_up
def _delete_slice_of_calls(pks: Sequence[int]) -> Slice:
    results = delete_rows(RecordResult, call=pks)
    return Slice(delete_rows(ApiCall, id=pks), results)


def _delete_parts_of_files(parts: QuerySet[Any]) -> Iterator[Slice]:
    for pks in _by_key(parts, PARTS_OF_FILES):
        yield _done_or_held(_delete_slice_of_parts, pks)


def _by_key(rows: QuerySet[Any], size: int) -> Iterator[list[int]]:
    last = 0
    while pks := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:size]):
        last = pks[-1]
        yield pks


@gives_up
def _delete_slice_of_parts(pks: Sequence[int]) -> Slice:
    return Slice(delete_rows(ListImportPart, id=pks))


def _delete_imports(imports: QuerySet[Any]) -> Iterator[Slice]:
    """Those with parts left, which somebody held, stay too."""
    for found in _oldest_first(imports, "created_at", IMPORTS):
        pks = [pk for pk, _ in found]
        for parts in _by_key(_mine(ListImportPart).filter(list_import__in=pks), PARTS_OF_FILES):
            _done_or_held(_delete_slice_of_parts, parts)
        try:
            yield _delete_slice_of_imports(pks)
        except (HeldBySomebody, IntegrityError):
            yield Slice(held=len(pks))


@gives_up
def _delete_slice_of_imports(pks: Sequence[int]) -> Slice:
    delete_rows(ListImportChunk, list_import=pks)  # of a file that was thrown away by somebody who died over it
    return Slice(delete_rows(ListImport, id=pks))


def _delete_runs(runs: QuerySet[Any]) -> Iterator[Slice]:
    for found in _oldest_first(runs, "created_at", RUNS):
        pks = _without_calls([pk for pk, _ in found])
        try:
            for model in (*MODELS, ListImport, SyncRun):
                _let_go_of(pks, model)
            yield _delete_slice_of_runs(pks)
        except (HeldBySomebody, IntegrityError):  # the latter: somebody has just named one of them
            yield Slice(held=len(pks))


def _without_calls(runs: Sequence[int]) -> list[int]:
    with_calls = set(_mine(ApiCall).filter(run__in=runs).order_by().values_list("run_id", flat=True).distinct())
    return [pk for pk in runs if pk not in with_calls]


def _let_go_of(runs: Sequence[int], model: type[Any]) -> None:
    """Records of the mirror say which run they last went out with, and runs which one they retry."""
    column = "retry_of" if model is SyncRun else "run"
    naming = _mine(model).filter(**{f"{column}__in": runs})
    while pks := list(naming.values_list("pk", flat=True)[:RECORDS]):
        _forget(model, pks, column)


@gives_up
def _forget(model: type[Any], pks: Sequence[int], column: str) -> None:
    update_rows(model, pks, {column: None})


@gives_up
def _delete_slice_of_runs(pks: Sequence[int]) -> Slice:
    return Slice(delete_rows(SyncRun, id=pks))


def _done_or_held(work: Callable[[Sequence[int]], Slice], pks: Sequence[int]) -> Slice:
    try:
        return work(pks)
    except HeldBySomebody:
        return Slice(held=len(pks))
