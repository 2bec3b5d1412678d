"""From the site's objects to customers: set-based, in the transaction of the change.

The mirror's rows are locked before the objects are read, and the objects are read afresh. So of two changes at once
the second one waits, and then sees what the first one did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.models import JSONField, Model
from django.utils import timezone

from ..conf import app_settings
from ..delivery.wake import wake_on_commit
from ..models import Customer, ListMembership
from ..models.fields import EmailKeyField
from ..models.fingerprints import fingerprint_of
from ..models.lists import MEMBERSHIP_COLUMNS
from ..models.state import CHANGE_COLUMNS
from .attribute_types import refuse_changed_types
from .base import CustomerSource
from .clashes import ids_given_up, ids_held, waiting_for
from .fresh import fresh_objects, fresh_query
from .identity import settle_identities
from .readings import Reading, key_text, read_customer, read_customer_alone
from .removals import plan_removals
from .statements import Select, insert_of, update_of
from .trips import Statement, is_undone, savepoint
from .values import size_of

Reader = Callable[[CustomerSource, Model], Reading]

#: Characters of attributes in one statement: MySQL and MariaDB take 16 MB, and some characters are written as six.
LARGEST_STATEMENT = 2_000_000

CUSTOMER_COLUMNS = (
    *CHANGE_COLUMNS,
    "customer_id",
    "email",
    "email_key",
    "uuid",
    "firstname",
    "lastname",
    "attributes",
    "subscription_groups",
    "contested_customer_id",
    "source_type",
    "source_id",
)
CUSTOMER_FIELDS: list[Any] = [Customer._meta.get_field(name) for name in CUSTOMER_COLUMNS]
JSON_NAMES = {field.attname for field in CUSTOMER_FIELDS if isinstance(field, JSONField)}

_ROW_OF_SOURCE = Select(Customer.objects.select_for_update(), "source_type", "source_id")


def capture_customers(source: CustomerSource, keys: Sequence[Any], using: str, *, new: bool = False) -> int:
    """Brings the mirror's rows of these objects up to date; returns how many had to be changed.

    `keys` are as `source.key_of` gives them. Rows of objects that aren't there any more are detached.
    `new`: it is one object, and it was made just now, so that it has no row yet, as a rule.
    """
    try:
        return _capture_customers(source, keys, using, read_customer, new=new)
    except DatabaseError:
        if is_undone(router.db_for_write(Customer)):
            raise
        # Somebody else made one of the rows, or took one of the customer IDs, in between: now it can be seen. Or the
        # source's own code failed in the database: read by itself, only its own object suffers.
        return _capture_customers(source, keys, using, partial(read_customer_alone, using=using))


def _capture_customers(
    source: CustomerSource, keys: Sequence[Any], using: str, read: Reader, *, new: bool = False
) -> int:
    """For a `new` object nobody is looked for: where its row or its customer ID is there already, the write fails."""
    mirror = router.db_for_write(Customer)
    with savepoint(mirror) as write:
        rows, objects = ({}, fresh_objects(source, keys, using)) if new else _look(source, keys, using, mirror)
        readings = [read(source, obj) for obj in objects]
        rows |= _rows_by_other_keys(source, readings, keys, mirror)
        held = ids_held(rows.values())
        gone = [rows[source_id] for source_id in rows.keys() - {reading.source_id for reading in readings}]
        if not new:
            settle_identities(readings, rows, mirror)
        refuse_changed_types(readings, rows, mirror)
        before = {row.pk: vars(row).copy() for row in rows.values()}
        changed = [row for reading in readings if (row := _changed_row(reading, rows)) is not None]
        _detach(gone, mirror)
        _write(changed, before, mirror, write)
        if changed or gone:
            wake_on_commit(mirror)
            let_have_ids(ids_given_up(held, rows.values()), mirror)
    return len(changed) + len(gone)


def let_have_ids(customer_ids: set[str], mirror: str) -> None:
    """Captures the objects that were refused because of these customer IDs, which nobody holds any more."""
    if customer_ids:
        for source, keys in waiting_for(customer_ids, mirror):
            capture_customers(source, keys, router.db_for_write(source.model))


def _look(
    source: CustomerSource, keys: Sequence[Any], using: str, mirror: str
) -> tuple[dict[str | None, Customer], list[Model]]:
    """The mirror's rows, locked, and only then the objects."""
    query = fresh_query(source, keys, using)
    if query is None:
        return _locked_rows(source, keys, mirror), fresh_objects(source, keys, using)
    rows, objects = _ROW_OF_SOURCE.query(mirror, source.label, key_text(keys[0])).rows_with(query)
    return {row.source_id: row for row in rows}, objects


def _rows_by_other_keys(
    source: CustomerSource, readings: Sequence[Reading], keys: Sequence[Any], mirror: str
) -> dict[str | None, Customer]:
    """The rows of objects that were found under a key that is written differently.

    To MySQL and MariaDB "A" is "a", if the site's column doesn't say otherwise.
    """
    others = {reading.source_id for reading in readings}.difference(map(key_text, keys))
    return _rows_named(source, list(others), mirror) if others else {}


def _locked_rows(source: CustomerSource, keys: Sequence[Any], mirror: str) -> dict[str | None, Customer]:
    return _rows_named(source, [key_text(key) for key in keys], mirror)


def _rows_named(source: CustomerSource, names: Sequence[str], mirror: str) -> dict[str | None, Customer]:
    if len(names) == 1:
        rows = _ROW_OF_SOURCE.query(mirror, source.label, names[0]).rows()
    else:
        found = Customer.objects.using(mirror).filter(source_type=source.label, source_id__in=names)
        rows = list(found.select_for_update().order_by("pk"))
    return {row.source_id: row for row in rows}


def _changed_row(reading: Reading, rows: dict[str | None, Customer]) -> Customer | None:
    """The row with the reading applied, or None where it says that already."""
    row = rows.get(reading.source_id) or Customer(version=0)
    before = (row.source_id, row.fingerprint, *_reason(row))
    row.source_type, row.source_id = reading.source_type, reading.source_id
    for name, value in reading.columns.items():
        setattr(row, name, value)
    row.email_key = EmailKeyField.key_of(row.email)
    row.fingerprint = row.fingerprint_of_payload()
    if before == (row.source_id, row.fingerprint, reading.error_code, reading.error_message):
        return None
    row.mark_changed(due_at=due_after_debounce(), error_code=reading.error_code, error_message=reading.error_message)
    return row


def _reason(row: Customer) -> tuple[str, str]:
    """Why a source said that it can't be sent; what Blueshift answered is no matter of the sources."""
    if row.error_code in Customer.EXCLUDED_CODES | Customer.UNSENDABLE_CODES:
        return row.error_code, row.error_message
    return "", ""


def due_after_debounce() -> datetime:
    """When a change made now is due: DEBOUNCE_SECONDS later, so that others can join it."""
    return timezone.now() + timedelta(seconds=app_settings().DEBOUNCE_SECONDS)


def _write(
    rows: Sequence[Customer],
    before: Mapping[int, Mapping[str, Any]],
    mirror: str,
    write: Callable[[Statement], None],
) -> None:
    """`before` are the columns of the rows that were found, by primary key."""
    if len(rows) == 1 and len(before) < 2:  # of several, one may have given its ID up to another since
        (row,) = rows
        write(
            insert_of(row, mirror) if row.pk is None else update_of(row, _changed_fields(row, before[row.pk]), mirror)
        )
    else:
        _update([row for row in rows if row.pk is not None], mirror)
        for few in _statements([row for row in rows if row.pk is None]):
            Customer.objects.using(mirror).bulk_create(few)


def _update(rows: Sequence[Customer], mirror: str) -> None:
    for few in _statements(rows):
        Customer.objects.using(mirror).bulk_update(few, CUSTOMER_COLUMNS)


def _statements(rows: Sequence[Customer]) -> Iterator[list[Customer]]:
    """The rows in slices that fit into one statement each; as a rule that is all of them."""
    few: list[Customer] = []
    size = 0
    for row in rows:
        own = sum(size_of(value) for value in row.attributes.values())
        if size + own > LARGEST_STATEMENT and few:
            yield few
            few, size = [], 0
        few.append(row)
        size += own
    if few:
        yield few


def _changed_fields(row: Customer, before: Mapping[str, Any]) -> list[Any]:
    after = vars(row)
    names = {name for name in before if before[name] != after[name]}
    names |= {name for name in JSON_NAMES if _are_unlike(before[name], after[name])}
    return [field for field in CUSTOMER_FIELDS if field.attname in names]


def _are_unlike(before: Any, after: Any) -> bool:
    """Whether two JSON values that are equal in Python are written differently: True equals 1, and 1 equals 1.0."""
    return bool(after) and fingerprint_of(before) != fingerprint_of(after)


def detach_customer(source: CustomerSource, key: Any) -> None:
    """The source object is gone: its row stays and is never sent again, its memberships are removed."""
    mirror = router.db_for_write(Customer)
    with transaction.atomic(using=mirror):
        rows = _locked_rows(source, [key], mirror)
        if rows:
            held = ids_held(rows.values())
            _detach(list(rows.values()), mirror)
            wake_on_commit(mirror)
            let_have_ids(set(held.values()), mirror)


def _detach(rows: Sequence[Customer], mirror: str) -> None:
    if not rows:
        return
    plan_removals(rows, mirror)
    for row in rows:
        row.source_id = None
        row.mark_changed(
            due_at=timezone.now(),
            error_code="source_deleted",
            error_message="The object on the site was deleted.",
        )
    _update(rows, mirror)
    _leave_all_lists(rows, mirror)


def _leave_all_lists(customers: Sequence[Customer], mirror: str) -> None:
    rows = list(
        ListMembership.objects.using(mirror)
        .select_for_update()
        .filter(customer__in=customers, is_member=True)
        .order_by("pk")
    )
    for row in rows:
        row.set_member(False, due_at=timezone.now())
    ListMembership.objects.using(mirror).bulk_update(rows, MEMBERSHIP_COLUMNS)
