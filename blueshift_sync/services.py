"""The Python calls of this app: for the site's own code, and for the admin, the API and the commands alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from .delivery import decisions
from .delivery.attribute_types import forget_types as forget_attribute_types
from .delivery.connection import make_client
from .delivery.push import kind_of, push_all, push_records
from .delivery.runs import SentModel, cancel_run, models_of
from .delivery.statements import update_each
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
from .models.lists import MEMBERSHIP_COLUMNS
from .models.state import CHANGE_COLUMNS
from .sources.capture import capture_objects
from .sources.captured import Captured
from .sources.customers import let_have_ids
from .sources.mirrored import pks_of
from .sources.receivers import disabled

__all__ = [
    "add_to_list",
    "approve_removals",
    "cancel",
    "cancel_removals",
    "capture",
    "check_key",
    "disabled",
    "forget_types",
    "push",
    "push_objects",
    "remove_from_list",
    "resend",
    "retry",
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
    records: QuerySet[Any] | Iterable[Record], requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND
) -> SyncRun:
    """Sends these customers or memberships now, changed or not. EXCLUDED ones are left out.

    `records` are all of one kind; `requested_by` is a user. Returns the run, whose `total` says how many are sent.
    Raises BlueshiftSyncError where there is nothing to tell the kind by, or there are two.
    """
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


def add_to_list(
    customer_list: CustomerList,
    customers: QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Says that these customers should be on the list, and sends that now."""
    return _change_list(customer_list, customers, _new_run(ListMembership, trigger, requested_by), is_member=True)


def remove_from_list(
    customer_list: CustomerList,
    customers: QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Says that these customers shouldn't be on the list, and sends that now."""
    return _change_list(customer_list, customers, _new_run(ListMembership, trigger, requested_by), is_member=False)


def retry(run: SyncRun, requested_by: Any = None) -> SyncRun:
    """Sends those records of `run` again that are FAILED, with their newest values. Returns the new run."""
    models = models_of(run)
    again = _new_run(models[0], Trigger.RETRY, requested_by, retry_of=run)
    return push_all([(model, _failed(model._default_manager.filter(run=run))) for model in models], again)


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
    calls: QuerySet[ApiCall] | Iterable[ApiCall], requested_by: Any = None, *, trigger: Trigger = Trigger.RETRY
) -> list[SyncRun]:
    """Sends the records of these calls again, with their newest values: one run for each kind of record."""
    results = RecordResult.objects.filter(call__in=calls)
    runs = []
    for model, column in ((ListMembership, "membership"), (Customer, "customer")):
        of_kind = results.filter(**{f"{column}__isnull": False})
        if model is Customer:
            of_kind = of_kind.filter(membership=None)
        pks = of_kind.order_by().values_list(f"{column}_id", flat=True).distinct()
        if pks.exists():
            runs.append(push_records(model, pks.iterator(CHUNK), _new_run(model, trigger, requested_by)))
    return runs


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


def _new_run(model: SentModel, trigger: Trigger, requested_by: Any, **columns: Any) -> SyncRun:
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
    customer_list: CustomerList, customers: Iterable[Customer], run: SyncRun, *, is_member: bool
) -> SyncRun:
    using = router.db_for_write(ListMembership)
    iterator = iter(customers.iterator(CHUNK) if isinstance(customers, QuerySet) else customers)
    pks: list[int] = []
    while chunk := list(islice(iterator, CHUNK)):
        with transaction.atomic(using=using):
            pks += _set_members(customer_list, [customer.pk for customer in chunk], using, is_member=is_member)
    return push_records(ListMembership, pks, run)


def _set_members(customer_list: CustomerList, customer_pks: Sequence[int], using: str, *, is_member: bool) -> list[int]:
    memberships = ListMembership.objects.using(using).filter(customer_list=customer_list, customer__in=customer_pks)
    known = set(memberships.values_list("customer_id", flat=True))
    ListMembership.objects.using(using).bulk_create(
        [
            ListMembership(customer_list=customer_list, customer_id=pk, is_member=is_member, version=0)
            for pk in customer_pks
            if pk not in known
        ],
        ignore_conflicts=True,
    )
    rows = list(memberships.select_for_update().order_by("pk"))
    now = timezone.now()
    for row in rows:
        row.set_member(is_member, due_at=now)
    update_each(rows, MEMBERSHIP_COLUMNS)
    return [row.pk for row in rows]
