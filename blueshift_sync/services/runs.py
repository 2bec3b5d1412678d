"""What the calls that send have in common: a new run, and bringing into it what it is asked to send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import Model, Q, QuerySet

from ..delivery import bulk, decisions, gathering
from ..delivery.gathering import Done
from ..delivery.idempotency import RequestKey
from ..delivery.push import kind_of
from ..delivery.runs import SentModel
from ..delivery.selections import AnySelection
from ..models import Customer, ListMembership, SyncRun, SyncState
from ..models.source_reference import SourceReference
from ..sources.behind import customers_behind, kind_behind, records_behind
from ..sources.capture import capture_origins

Record = Customer | ListMembership
Trigger = SyncRun.Trigger
#: Records dealt with at a time that aren't a selection.
CHUNK = 1000
FAILED = Q(state=SyncState.State.FAILED)


def run_of(
    model: type[Model], trigger: Trigger, requested_by: Any, asked_as: RequestKey | None = None, **columns: Any
) -> SyncRun:
    """A run of the records of `model` that isn't saved yet."""
    if asked_as is not None:
        columns |= asked_as.columns
    return SyncRun(kind=kind_of(model), trigger=trigger, requested_by=requested_by, **columns)


def new_run(model: type[Model], trigger: Trigger, requested_by: Any) -> SyncRun:
    """A new run of the records of `model`."""
    run = run_of(model, trigger, requested_by)
    run.save()
    return run


def gather(run: SyncRun, selections: Sequence[AnySelection], do: str, **options: Any) -> SyncRun:
    """Does what a request may take of it, and has a job do the rest. The run is a new one, not saved yet.

    Returns another one instead whose request was the same.
    """
    try:
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            gathering.begin(run, selections, do, **options)
    except IntegrityError:
        same = RequestKey(run.idempotency_key, run.request_digest).run() if run.idempotency_key else None
        if same is None:
            raise
        return same
    return go_on_gathering(run)


def go_on_gathering(run: SyncRun) -> SyncRun:
    if not gathering.gather(run.pk, ACTIONS, seconds=gathering.REQUEST_SECONDS):
        gathering.go_on_later(run.pk)
    run.refresh_from_db()
    return run


def go_on(run_id: int, asked_to_stop: Callable[[], bool]) -> None:
    """Goes on with a run of which not all records have been gathered. For the job that does so."""
    gathering.gather_in_job(run_id, ACTIONS, asked_to_stop)


def _to_records(act: Callable[[SyncRun, SentModel, Sequence[int]], Done]) -> gathering.Action:
    """Does to the records what is done to the rows that lead to them."""

    def act_on_rows(run: SyncRun, selection: AnySelection, pks: Sequence[Any]) -> Done:
        kind = kind_behind(run, selection)
        return act(run, kind, records_behind(kind, selection, pks))

    return act_on_rows


def _set_members(run: SyncRun, selection: AnySelection, pks: Sequence[Any]) -> Done:
    """An action: see `add_to_list` and `remove_from_list`."""
    return bulk.set_members(run, Customer, customers_behind(selection, pks))


def _import_members(run: SyncRun, selection: AnySelection, pks: Sequence[Any]) -> Done:
    """An action: see `start_import`."""
    return bulk.import_members(run, pks)


def _retry(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """An action: see `retry`."""
    failed = model._default_manager.using(router.db_for_write(model)).filter(FAILED, pk__in=pks)
    pks = list(failed.values_list("pk", flat=True))
    if issubclass(model, SourceReference):
        capture_origins(_origins(model._default_manager.using(router.db_for_write(model)).filter(pk__in=pks)))
    return bulk.send(run, model, pks)


def _include(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """An action: see `include`."""
    rows = model._default_manager.using(router.db_for_write(model)).filter(pk__in=pks)
    excluded = rows.filter(error_code=SyncState.EXCLUDED_BY_OPERATOR).select_for_update().order_by("pk")
    origins = _origins(excluded)
    changed = bulk.include(run, rows)
    # What their sources say of them wasn't kept.
    capture_origins(origins)
    added = rows.filter(run=run, state=SyncState.State.PENDING).count()
    return Done(added=added, changed=changed)


def _origins(rows: QuerySet[Any]) -> list[tuple[str, str]]:
    """The objects that these rows are of, as they name them."""
    named = rows.values_list("source_type", "source_id")
    return [(source_type, source_id) for source_type, source_id in named if source_type and source_id]


ACTIONS: Mapping[str, gathering.Action] = {
    "send": _to_records(bulk.send),
    "import_members": _import_members,
    "set_members": _set_members,
    "change_memberships": _to_records(bulk.change_memberships),
    "exclude": _to_records(bulk.exclude),
    "include": _to_records(_include),
    "send_anew": _to_records(bulk.send_anew),
    "retry": _to_records(_retry),
    "approve": _to_records(decisions.approve),
    "cancel_removals": _to_records(decisions.cancel),
}
