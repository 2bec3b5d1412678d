"""Having customers and memberships sent, and not sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.db.models import Model, Q, QuerySet

from ..delivery import gathering
from ..delivery.connection import make_client
from ..delivery.idempotency import RequestKey
from ..delivery.push import push_records
from ..delivery.runs import MODELS_OF, SentModel, cancel_run, cancel_runs, models_of
from ..delivery.selections import AnySelection, ObjectSelection, Selection
from ..delivery.stop import KEY_IS_GOOD, probe
from ..delivery.wake import wake_again_quietly
from ..exceptions import BlueshiftSyncError
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncRun
from ..models.state import HAS_CAUSE
from ..sources.behind import OF_KIND, leads_to
from ..sources.mirrored import pks_of
from ..sources.preview import Preview
from ..sources.preview import preview as preview_records
from .runs import CHUNK, FAILED, Record, Trigger, gather, new_run, run_of


def push(
    records: AnySelection | QuerySet[Any] | Iterable[Record],
    requested_by: Any = None,
    *,
    kind: SentModel | None = None,
    trigger: Trigger = Trigger.COMMAND,
    only_changed: bool = False,
    asked_as: RequestKey | None = None,
) -> SyncRun:
    """Sends these customers or memberships now, changed or not. EXCLUDED ones are left out.

    `records` are all of one kind; `requested_by` is a user. Returns the run, whose `total` says how many are sent.
    Of a selection so many at once are brought into the run as a request may take; a job goes on with the rest. It may
    be one of calls, results or objects of the site as well: then `kind` says which of the records are sent that they
    lead to. With `only_changed` those of a selection are left as they are that are in step. A selection that is
    `asked_as` another was before gets the run of that one.
    Raises BlueshiftSyncError where there is nothing to tell the kind by, or there are two.
    """
    if isinstance(records, Selection | ObjectSelection):
        run = run_of(known_model(kind or records.model), trigger, requested_by, asked_as)
        return gather(run, [records], "send", only_changed=only_changed)
    model, pks = _model_and_pks(records)
    return push_records(model, pks, new_run(model, trigger, requested_by))


def push_objects(
    objects: QuerySet[Any] | Iterable[Model],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
    models: Sequence[type[Record]] = (Customer, ListMembership),
) -> list[SyncRun]:
    """Sends the customers and memberships that mirror these objects of the site now, changed or not.

    Objects that no signal has told of are captured first. `models` says which of the two are sent. An iterable that
    isn't a queryset must be one that can be gone through twice. Returns a run for each kind that there is any of.
    """
    runs = []
    for model in models:
        pks = pks_of(model, objects)
        first = next(pks, None)
        if first is not None:
            runs.append(push_records(model, chain([first], pks), new_run(model, trigger, requested_by)))
    return runs


def preview(records: Sequence[Record]) -> Preview:
    """The calls that would carry these records if they left now, and how their objects differ from the mirror.

    `records` are of one kind, and no more than one call of customers may carry. Nothing is sent or written.
    """
    return preview_records(records)


def exclude(
    records: AnySelection,
    requested_by: Any = None,
    *,
    kind: SentModel | None = None,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Has these customers or memberships not sent any more, whatever changes, until `include`. `kind` is as for `push`.

    What Blueshift has of them it keeps. Returns a run that sends nothing; `scope["changed"]` counts them.
    """
    return gather(run_of(kind or records.model, trigger, requested_by), [records], "exclude")


def include(
    records: AnySelection,
    requested_by: Any = None,
    *,
    kind: SentModel | None = None,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Ends what `exclude` did: the objects of sources are read again, and what Blueshift hasn't got is sent.

    Those that their own source leaves out stay excluded. Returns the run; `scope["changed"]` counts all of them.
    """
    return gather(run_of(kind or records.model, trigger, requested_by), [records], "include")


def retry(run: SyncRun, requested_by: Any = None, *, asked_as: RequestKey | None = None) -> SyncRun:
    """Sends those records of `run` again that are FAILED, with their newest values. Returns the new run.

    The objects that they come from are read again before: what was wrong with them may have been put right since, and
    `QuerySet.update` tells nobody. Those that still can't be sent stay FAILED, and are left out. So many at once are
    brought into the run as a request may take; a job goes on with the rest.
    """
    again = run_of(models_of(run)[0], Trigger.RETRY, requested_by, asked_as, retry_of=run)
    return gather(again, failed_of(run), "retry")


def failed_of(run: SyncRun) -> list[Selection]:
    return [Selection(model, FAILED & Q(run=run)) for model in models_of(run)]


def retry_many(
    runs: Selection, requested_by: Any = None, *, kinds: Sequence[SentModel], trigger: Trigger = Trigger.RETRY
) -> list[SyncRun]:
    """Sends those records of these runs again that are FAILED, as `retry` does. `kinds` says which of them.

    Returns the new runs: that of the one run, or one for each kind of runs.
    """
    only = list(runs.rows[:2])
    if len(only) == 1:
        return [retry(only[0], requested_by)]
    new = []
    for models in MODELS_OF.values():
        failed = [runs.leading_here(model, "run").only(FAILED) for model in models if model in kinds]
        found = [selection for selection in failed if selection.rows.exists()]
        if found:
            new.append(gather(run_of(models[0], trigger, requested_by), found, "retry"))
    return new


def retry_cause(model: SentModel, cause: str, requested_by: Any = None, *, trigger: Trigger = Trigger.RETRY) -> SyncRun:
    """Sends those records of `model` again that are FAILED for this cause, as `retry` does. Returns the new run.

    `cause` is an `error_cause` of theirs.
    """
    return retry_failed(Selection(model, HAS_CAUSE & Q(error_cause=cause)), requested_by, trigger=trigger)


def retry_failed(
    records: AnySelection,
    requested_by: Any = None,
    *,
    kind: SentModel | None = None,
    trigger: Trigger = Trigger.RETRY,
) -> SyncRun:
    """Sends those of these records again that are FAILED, as `retry` does. Returns the new run.

    `kind` is as for `push`; the records may be removals too.
    """
    run = run_of(kind or records.model, trigger, requested_by)
    are_records = isinstance(records, Selection) and records.model in {Customer, ListMembership, CustomerRemoval}
    return gather(run, [records.only(FAILED) if are_records else records], "retry")  # type: ignore[union-attr]


def resend(
    calls: Selection | QuerySet[ApiCall] | Iterable[ApiCall],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.RETRY,
    asked_as: RequestKey | None = None,
) -> list[SyncRun]:
    """Sends the records of these calls again, with their newest values: one run for each kind of record.

    A Selection may be one of RecordResults too; it is gone through as `push` does it. One call, whose records are of
    one kind, may be `asked_as` it was before: then the run is that one.
    """
    if isinstance(calls, Selection):
        selection = calls
    else:
        pks = calls.values_list("pk", flat=True) if isinstance(calls, QuerySet) else [call.pk for call in calls]
        selection = Selection(ApiCall, Q(pk__in=list(pks)))
    return [
        push(selection, requested_by, kind=kind, trigger=trigger, asked_as=asked_as)
        for kind in OF_KIND
        if leads_to(selection, kind)
    ]


def cancel(run: SyncRun) -> SyncRun:
    """Takes back what of `run` hasn't been sent; calls in flight are finished. A run that has ended stays as it is."""
    cancel_run(run.pk)
    run.refresh_from_db()
    return run


def cancel_many(runs: Selection) -> list[int]:
    """As `cancel`, for all of the runs that go on. Returns their primary keys.

    Workers stop with all of them at once; of very many the sweep takes back what is left.
    """
    return cancel_runs(runs.rows, gathering.REQUEST_SECONDS)


def check_key() -> ApiCall:
    """Asks Blueshift, with a call that changes nothing, whether it takes the key. Returns that call.

    A good key ends a stop that a refused one caused. Raises BlueshiftSyncError with the reason where it isn't good,
    where nothing may be sent, or where Blueshift can't be reached.
    """
    with make_client() as client:
        call, answer = probe(client)
    if answer.outcome not in KEY_IS_GOOD:
        raise BlueshiftSyncError(f"The key could not be checked, or is no good: {answer.message}")
    # Drains that found sending stopped may have gone without taking the flag down that says one is queued.
    wake_again_quietly()
    return call


def _model_and_pks(records: QuerySet[Any] | Iterable[Record]) -> tuple[type[Record], Iterator[int]]:
    if isinstance(records, QuerySet):
        return known_model(records.model), records.order_by("pk").values_list("pk", flat=True).iterator(CHUNK)
    iterator = iter(records)
    first = next(iterator, None)
    if first is None:
        raise BlueshiftSyncError("There is nothing to send: not one record was given.")
    model = known_model(type(first))
    return model, (_pk_of(record, model) for record in chain([first], iterator))


def known_model(model: type[Any]) -> type[Record]:
    if model not in {Customer, ListMembership}:
        raise BlueshiftSyncError(f"Only customers and list memberships can be sent, not {model.__name__} objects.")
    return model


def _pk_of(record: Record, model: type[Record]) -> int:
    if type(record) is not model:
        raise BlueshiftSyncError("Customers and list memberships can't be sent in one run; push them separately.")
    return record.pk
