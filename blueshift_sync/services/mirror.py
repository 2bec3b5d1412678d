"""The mirror itself: reading objects into it, editing its records, and emptying what it holds of a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from ..delivery.attribute_types import forget_types as forget_attribute_types
from ..delivery.erasure import Erased, erase
from ..delivery.wake import wake_on_commit
from ..exceptions import BlueshiftSyncError
from ..models import Customer, ListMembership
from ..models.state import CHANGE_COLUMNS
from ..sources.capture import capture_objects
from ..sources.captured import Captured
from ..sources.customers import let_have_ids
from .runs import Record


def capture(objects: QuerySet[Any] | Iterable[Model]) -> Captured:
    """Re-reads source objects: for after `bulk_create`, `update()` or raw SQL, which send no signals.

    `objects` may be of any models that have a source; others are passed over. They are read by slices, each in a
    transaction of its own unless there is one already. Returns how many objects were read, of how many the mirror had
    to be changed, and how many can't be sent as they are.
    """
    return capture_objects(objects)


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
