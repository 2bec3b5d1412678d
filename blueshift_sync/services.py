"""The Python calls of this app: for the site's own code, and for the admin, the API and the commands alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from django.db import router, transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from .delivery import bulk, decisions, gathering
from .delivery.attribute_types import forget_types as forget_attribute_types
from .delivery.connection import make_client
from .delivery.erasure import Erased, erase
from .delivery.gathering import Done
from .delivery.locks import gives_way
from .delivery.push import kind_of, push_records
from .delivery.runs import SentModel, cancel_run, models_of
from .delivery.selections import Selection
from .delivery.stop import KEY_IS_GOOD, probe
from .delivery.wake import wake_on_commit, wake_quietly
from .exceptions import BlueshiftSyncError
from .models import (
    ApiCall,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListMembership,
    RecordResult,
    SyncRun,
    SyncState,
)
from .models.source_reference import SourceReference
from .models.state import CHANGE_COLUMNS, HAS_CAUSE
from .sources.capture import capture_objects, capture_origins
from .sources.captured import Captured
from .sources.customers import let_have_ids
from .sources.mirrored import pks_of
from .sources.preview import Preview
from .sources.preview import preview as preview_records
from .sources.receivers import disabled

__all__ = [
    "Selection",
    "add_to_list",
    "approve_removals",
    "cancel",
    "cancel_removals",
    "capture",
    "change_memberships",
    "check_key",
    "disabled",
    "erase_person",
    "exclude",
    "forget_types",
    "include",
    "preview",
    "push",
    "push_objects",
    "remove_from_list",
    "resend",
    "retry",
    "retry_cause",
    "retry_failed",
    "retry_removals",
    "save_edited",
]

Record = Customer | ListMembership
Trigger = SyncRun.Trigger
CHUNK = 1000


def capture(objects: QuerySet[Any] | Iterable[Model]) -> Captured:
    """Re-reads source objects: for after `bulk_create`, `update()` or raw SQL, which send no signals.

    `objects` may be of any models that have a source; others are passed over. They are read by slices, each in a
    transaction of its own unless there is one already. Returns how many objects were read, of how many the mirror had
    to be changed, and how many can't be sent as they are.
    """
    return capture_objects(objects)


def push(
    records: Selection | QuerySet[Any] | Iterable[Record],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
    only_changed: bool = False,
) -> SyncRun:
    """Sends these customers or memberships now, changed or not. EXCLUDED ones are left out.

    `records` are all of one kind; `requested_by` is a user. Returns the run, whose `total` says how many are sent.
    Of a Selection so many at once are brought into the run as a request may take; a job goes on with the rest. With
    `only_changed` those of a Selection are left as they are that are in step.
    Raises BlueshiftSyncError where there is nothing to tell the kind by, or there are two.
    """
    if isinstance(records, Selection):
        run = _new_run(_known_model(records.model), trigger, requested_by)
        return _gather(run, [records], "send", only_changed=only_changed)
    model, pks = _model_and_pks(records)
    return push_records(model, pks, _new_run(model, trigger, requested_by))


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
            runs.append(push_records(model, chain([first], pks), _new_run(model, trigger, requested_by)))
    return runs


def preview(records: Sequence[Record]) -> Preview:
    """The calls that would carry these records if they left now, and how their objects differ from the mirror.

    `records` are of one kind, and no more than one call of customers may carry. Nothing is sent or written.
    """
    return preview_records(records)


def add_to_list(
    customer_list: CustomerList,
    customers: Selection | QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Says that these customers should be on the list, and sends that now. Of a Selection as `push` does it."""
    return _change_list(customer_list, customers, _new_run(ListMembership, trigger, requested_by), is_member=True)


def remove_from_list(
    customer_list: CustomerList,
    customers: Selection | QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Says that these customers shouldn't be on the list, and sends that now. Of a Selection as `push` does it."""
    return _change_list(customer_list, customers, _new_run(ListMembership, trigger, requested_by), is_member=False)


def change_memberships(
    memberships: Selection, requested_by: Any = None, *, is_member: bool, trigger: Trigger = Trigger.COMMAND
) -> SyncRun:
    """Says of these memberships that the customer should be on the list, or not, and sends that now."""
    run = _new_run(ListMembership, trigger, requested_by)
    return _gather(run, [memberships], "change_memberships", is_member=is_member)


def exclude(records: Selection, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Has these customers or memberships not sent any more, whatever changes, until `include`.

    What Blueshift has of them it keeps. Returns a run that sends nothing; `scope["changed"]` counts them.
    """
    return _gather(_new_run(records.model, trigger, requested_by), [records], "exclude")


def include(records: Selection, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Ends what `exclude` did: the objects of sources are read again, and what Blueshift hasn't got is sent.

    Those that their own source leaves out stay excluded. Returns the run; `scope["changed"]` counts all of them.
    """
    return _gather(_new_run(records.model, trigger, requested_by), [records], "include")


def retry(run: SyncRun, requested_by: Any = None) -> SyncRun:
    """Sends those records of `run` again that are FAILED, with their newest values. Returns the new run.

    The objects that they come from are read again before: what was wrong with them may have been put right since, and
    `QuerySet.update` tells nobody. Those that still can't be sent stay FAILED, and are left out. So many at once are
    brought into the run as a request may take; a job goes on with the rest.
    """
    models = models_of(run)
    again = _new_run(models[0], Trigger.RETRY, requested_by, retry_of=run)
    failed = Q(run=run, state=SyncState.State.FAILED)
    return _gather(again, [Selection(model, failed) for model in models], "retry")


def retry_cause(model: SentModel, cause: str, requested_by: Any = None, *, trigger: Trigger = Trigger.RETRY) -> SyncRun:
    """Sends those records of `model` again that are FAILED for this cause, as `retry` does. Returns the new run.

    `cause` is an `error_cause` of theirs.
    """
    return retry_failed(Selection(model, HAS_CAUSE & Q(error_cause=cause)), requested_by, trigger=trigger)


def retry_failed(records: Selection, requested_by: Any = None, *, trigger: Trigger = Trigger.RETRY) -> SyncRun:
    """Sends those of these records again that are FAILED, as `retry` does. Returns the new run."""
    run = _new_run(records.model, trigger, requested_by)
    return _gather(run, [records.only(Q(state=SyncState.State.FAILED))], "retry")


def approve_removals(
    removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Has Blueshift remove the customers whose removal waits for somebody's yes. That can't be undone.

    Removals that don't wait for it are left as they are. Returns the run, whose `total` says how many are sent.
    """
    return decisions.approve(_pks(removals), _new_run(CustomerRemoval, trigger, requested_by), requested_by)


def cancel_removals(removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval], requested_by: Any = None) -> int:
    """Has Blueshift keep the customers whose removal waits, for whatever. Returns how many those are.

    A removal that is being sent, or has been, can't be taken back.
    """
    return decisions.cancel(_pks(removals), requested_by)


def retry_removals(
    removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.RETRY,
) -> SyncRun:
    """Sends those of the removals again that are FAILED. Returns the new run."""
    failed = _failed(CustomerRemoval.objects.filter(pk__in=list(_pks(removals))))
    return push_records(CustomerRemoval, failed, _new_run(CustomerRemoval, trigger, requested_by))


def cancel(run: SyncRun) -> SyncRun:
    """Takes back what of `run` hasn't been sent; calls in flight are finished. A run that has ended stays as it is."""
    cancel_run(run.pk)
    run.refresh_from_db()
    return run


def resend(
    calls: Selection | QuerySet[ApiCall] | Iterable[ApiCall],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.RETRY,
) -> list[SyncRun]:
    """Sends the records of these calls again, with their newest values: one run for each kind of record.

    A Selection may be one of RecordResults too; it is gone through as `push` does it.
    """
    if isinstance(calls, Selection):
        selection = calls
    else:
        pks = calls.values_list("pk", flat=True) if isinstance(calls, QuerySet) else [call.pk for call in calls]
        selection = Selection(ApiCall, Q(pk__in=list(pks)))
    runs = []
    for model, of_kind in _OF_KIND.items():
        if selection.model is RecordResult:
            there_are = selection.only(of_kind).rows.exists()
        else:
            there_are = RecordResult.objects.filter(of_kind, call__in=selection.rows).exists()
        if there_are:
            runs.append(_gather(_new_run(model, trigger, requested_by), [selection], "send"))
    return runs


#: The results of records of each kind.
_OF_KIND: dict[type[Record], Q] = {
    ListMembership: Q(membership__isnull=False),
    Customer: Q(membership=None, customer__isnull=False),
}


def go_on(run_id: int, asked_to_stop: Callable[[], bool]) -> None:
    """Goes on with a run of which not all records have been gathered. For the job that does so."""
    gathering.gather_in_job(run_id, _ACTIONS, asked_to_stop)


def _gather(run: SyncRun, selections: Sequence[Selection], do: str, **options: Any) -> SyncRun:
    """Does what a request may take of it, and has a job do the rest."""
    gathering.begin(run, selections, do, **options)
    if not gathering.gather(run.pk, _ACTIONS, seconds=gathering.REQUEST_SECONDS):
        gathering.go_on_later(run.pk)
    run.refresh_from_db()
    return run


def _retry(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
    """An action: see `retry`."""
    if issubclass(model, SourceReference):
        capture_origins(_origins(model._default_manager.using(router.db_for_write(model)).filter(pk__in=pks)))
    return bulk.send(run, model, pks)


def _include(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
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


_ACTIONS: Mapping[str, gathering.Action] = {
    "send": bulk.send,
    "set_members": bulk.set_members,
    "change_memberships": bulk.change_memberships,
    "exclude": bulk.exclude,
    "include": _include,
    "retry": _retry,
}


def save_edited(record: Record) -> None:
    """Saves a record that somebody edited, and has it sent.

    Raises BlueshiftSyncError for one that a source owns or owned: the site decides over it.
    """
    using = router.db_for_write(type(record))
    with transaction.atomic(using=using):
        held = _customer_id_held(record)
        if record.pk is not None:
            # A worker may have claimed it since it was read: what is about sending is taken from the row as it is.
            rows: QuerySet[Any] = type(record).objects.using(using).select_for_update()
            record.refresh_from_db(fields=SENDING_COLUMNS, from_queryset=rows)
        _check_editable(record)
        if isinstance(record, ListMembership):
            record.set_member(record.is_member, due_at=timezone.now())
        else:
            record.fingerprint = record.fingerprint_of_payload()
            record.mark_changed(due_at=timezone.now())
        record.save(using=using)
        wake_on_commit(using)
        if isinstance(record, Customer):
            let_have_ids(held - {record.customer_id}, using)


def erase_person(customer: Customer, requested_by: Any = None) -> Erased:
    """Empties what is held of one customer: in bodies, results and done removals, and in its row.

    Kept are the calls and results themselves, with position, outcome, code and times; each says who erased when. A row
    that a source owns is left as it is, as it would be mirrored again: anonymise the object first, or delete it.
    Blueshift is told nothing. Raises BlueshiftSyncError while a call with the customer is on its way.
    """
    held = _customer_id_held(customer)
    erased = erase(customer, requested_by.get_username() if requested_by is not None else "")
    if erased.row:
        let_have_ids(held, router.db_for_write(Customer))
        customer.refresh_from_db()
    return erased


def _customer_id_held(record: Record) -> set[str]:
    """The customer ID that the database has for the record, if it is a customer and has one."""
    if not isinstance(record, Customer):
        return set()
    saved = Customer.objects.using(router.db_for_write(Customer)).filter(pk=record.pk)
    return {customer_id for customer_id in saved.values_list("customer_id", flat=True) if customer_id}


#: What an editor of a record never changes, and a worker may.
SENDING_COLUMNS = [
    *CHANGE_COLUMNS,
    *("source_type", "source_id", "synced_at", "synced_fingerprint"),
    *("claim_token", "claim_expires_at", "claimed_version"),
]


def _check_editable(record: Record) -> None:
    if record.is_source_owned:
        raise BlueshiftSyncError(f"{record} belongs to {record.source_type} {record.source_id}; change it there.")
    if isinstance(record, Customer) and record.source_type is not None:
        raise BlueshiftSyncError(
            f"{record} belonged to a {record.source_type} that was deleted; it isn't sent any more."
        )


def forget_types(attributes: Iterable[str]) -> None:
    """Lets these attributes be sent as another JSON type than before, for whoever had Blueshift change theirs.

    Records that were refused for a changed type are tried again.
    """
    forget_attribute_types(attributes)


def check_key() -> ApiCall:
    """Asks Blueshift, with a call that changes nothing, whether it takes the key. Returns that call.

    A good key ends a stop that a refused one caused. Raises BlueshiftSyncError with the reason where it isn't good,
    where nothing may be sent, or where Blueshift can't be reached.
    """
    with make_client() as client:
        call, answer = probe(client)
    if answer.outcome not in KEY_IS_GOOD:
        raise BlueshiftSyncError(f"The key could not be checked, or is no good: {answer.message}")
    wake_quietly()
    return call


def _failed(rows: QuerySet[Any]) -> Iterator[int]:
    return rows.filter(state=SyncState.State.FAILED).order_by("pk").values_list("pk", flat=True).iterator(CHUNK)


def _pks(removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval]) -> Iterator[int]:
    if isinstance(removals, QuerySet):
        return removals.order_by("pk").values_list("pk", flat=True).iterator(CHUNK)
    return (removal.pk for removal in removals)


def _new_run(model: type[Model], trigger: Trigger, requested_by: Any, **columns: Any) -> SyncRun:
    return SyncRun.objects.create(kind=kind_of(model), trigger=trigger, requested_by=requested_by, **columns)


def _model_and_pks(records: QuerySet[Any] | Iterable[Record]) -> tuple[type[Record], Iterator[int]]:
    if isinstance(records, QuerySet):
        return _known_model(records.model), records.order_by("pk").values_list("pk", flat=True).iterator(CHUNK)
    iterator = iter(records)
    first = next(iterator, None)
    if first is None:
        raise BlueshiftSyncError("There is nothing to send: not one record was given.")
    model = _known_model(type(first))
    return model, (_pk_of(record, model) for record in chain([first], iterator))


def _known_model(model: type[Any]) -> type[Record]:
    if model not in {Customer, ListMembership}:
        raise BlueshiftSyncError(f"Only customers and list memberships can be sent, not {model.__name__} objects.")
    return model


def _pk_of(record: Record, model: type[Record]) -> int:
    if type(record) is not model:
        raise BlueshiftSyncError("Customers and list memberships can't be sent in one run; push them separately.")
    return record.pk


def _change_list(
    customer_list: CustomerList, customers: Selection | Iterable[Customer], run: SyncRun, *, is_member: bool
) -> SyncRun:
    if isinstance(customers, Selection):
        return _gather(run, [customers], "set_members", list=customer_list.pk, is_member=is_member)
    iterator = iter(customers.iterator(CHUNK) if isinstance(customers, QuerySet) else customers)
    pks: list[int] = []
    say_members = gives_way(bulk.say_members)
    while chunk := list(islice(iterator, CHUNK)):
        pks += say_members(customer_list.pk, [customer.pk for customer in chunk], is_member=is_member)
    return push_records(ListMembership, pks, run)
