"""From the site's objects to customers: set-based, in the transaction of the change.

The mirror's rows are locked before the objects are read, and the objects are read afresh. So of two changes at once
the second one waits, and then sees what the first one did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.models import JSONField, Model
from django.utils import timezone

from ..conf import app_settings
from ..delivery.locks import gives_way, is_in_transaction
from ..delivery.statements import Statement, insert_each, insert_of, update_each, update_of
from ..delivery.wake import wake_on_commit
from ..models import Customer, ListMembership
from ..models.customers import CustomerObject
from ..models.fields import EmailKeyField
from ..models.fingerprints import fingerprint_of
from ..models.lists import MEMBERSHIP_COLUMNS
from ..models.state import CHANGE_COLUMNS
from .attribute_types import refuse_changed_types
from .base import CustomerSource
from .captured import Captured, Change, Kind
from .clashes import first_in_line, ids_free, ids_given_up, ids_held, next_in_line, objects_of
from .fresh import fresh_objects, fresh_query
from .identity import give_up_ids, settle_identities
from .queries import Select
from .readings import Reading, key_text, read_customer, read_customer_alone
from .reads import changes_afterwards
from .removals import plan_removals
from .trips import is_undone, savepoint, savepoint_within

Reader = Callable[[CustomerSource, Model], Reading]

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
DETACHED_COLUMNS = [field.attname for field in CUSTOMER_FIELDS if field.name in {*CHANGE_COLUMNS, "source_id"}]
JSON_NAMES = {field.attname for field in CUSTOMER_FIELDS if isinstance(field, JSONField)}

_ROW_OF_SOURCE = Select(Customer.objects.select_for_update(), "source_type", "source_id")


@dataclass
class Differences:
    """In what some objects and the mirror's rows of them differ, before anything is written."""

    #: Rows as they should be, and those of objects that are gone.
    changed: list[Customer]
    gone: list[Customer]
    #: The columns of the rows that were found, by primary key.
    before: Mapping[int, Mapping[str, Any]]
    #: Rows that must let go of their customer ID first.
    giving_up: list[int]
    #: The customer IDs that will be free for others.
    freed: set[str]
    #: The objects that can't be sent as they are.
    failed: set[str]

    @property
    def source_ids(self) -> set[str]:
        """The objects that a capture has to do with: those that differ, and those that fail."""
        return self.failed | {row.source_id for row in (*self.changed, *self.gone) if row.source_id is not None}

    @property
    def changes(self) -> Iterator[Change]:
        """What a capture would do."""
        for row in self.changed:
            before = self.before.get(row.pk)
            if before is None:
                yield Change(Kind.NEW, row.source_id)
            else:
                yield Change(Kind.CHANGED, row.source_id, _said_by(_Held(before)), _said_by(row))
        for row in self.gone:
            yield Change(Kind.GONE, row.source_id)


class _Held(CustomerObject):
    """A customer as a row held it."""

    error_message: str

    def __init__(self, columns: Mapping[str, Any]) -> None:
        vars(self).update(columns)


def _said_by(row: _Held | Customer) -> dict[str, Any]:
    """What a row says, by the names that Blueshift knows, and why it can't be sent."""
    return {**row.payload, "error": row.error_message or None}


def capture_customers(
    source: CustomerSource, keys: Sequence[Any], using: str, *, new: bool = False, patiently: bool = False
) -> Captured:
    """Brings the mirror's rows of these objects up to date.

    `keys` are as `source.key_of` gives them. Rows of objects that aren't there any more are detached.
    `new`: it is one object, and it was made just now, so that it has no row yet, as a rule.
    `patiently`: where there is no transaction, in one that gives way to those of the site.
    """
    capture = gives_way(_capture_customers) if patiently and not is_in_transaction() else _capture_customers
    with changes_afterwards():
        try:
            return capture(source, keys, using, read_customer, new=new)
        except DatabaseError:
            if is_undone(router.db_for_write(Customer)):
                raise
            # Somebody else made one of the rows, or took one of the customer IDs, in between: now it can be seen. Or
            # the source's own code failed in the database: read by itself, only its own object suffers.
            return capture(source, keys, using, partial(read_customer_alone, using=using))


def compare_customers(source: CustomerSource, keys: Sequence[Any], using: str) -> Differences:
    """What `capture_customers` would change. Nothing is locked or written."""
    mirror = router.db_for_write(Customer)
    with changes_afterwards():
        try:
            with savepoint_within(using):
                return _compare(source, keys, using, read_customer, mirror, locked=False)
        except DatabaseError:
            alone = partial(read_customer_alone, using=using)
            return _compare(source, keys, using, alone, mirror, locked=False)


def _capture_customers(
    source: CustomerSource, keys: Sequence[Any], using: str, read: Reader, *, new: bool = False
) -> Captured:
    mirror = router.db_for_write(Customer)
    with savepoint(mirror) as write:
        found = _compare(source, keys, using, read, mirror, new=new)
        give_up_ids(found.giving_up, mirror)
        _detach(found.gone, mirror)
        _write(found.changed, found.before, mirror, write)
        if found.changed or found.gone:
            wake_on_commit(mirror)
            let_have_ids(found.freed, mirror)
    return Captured(changed=len(found.changed) + len(found.gone), failed=len(found.failed))


def _compare(
    source: CustomerSource,
    keys: Sequence[Any],
    using: str,
    read: Reader,
    mirror: str,
    *,
    new: bool = False,
    locked: bool = True,
) -> Differences:
    """For a `new` object nobody is looked for: where its row or its customer ID is there already, the write fails."""
    rows, objects = (
        ({}, fresh_objects(source, keys, using)) if new else _look(source, keys, using, mirror, locked=locked)
    )
    readings = [read(source, obj) for obj in objects]
    rows |= _rows_by_other_keys(source, readings, keys, mirror, locked=locked)
    held = ids_held(rows.values())
    gone = rows.keys() - {reading.source_id for reading in readings}
    giving_up = [] if new else settle_identities(readings, rows, mirror, locked=locked)
    refuse_changed_types(readings, rows)
    before = {row.pk: vars(row).copy() for row in rows.values()}
    changed = [row for reading in readings if (row := _changed_row(reading, rows)) is not None]
    freed = ids_given_up(held, (row for source_id, row in rows.items() if source_id not in gone))
    failed = {reading.source_id for reading in readings if reading.error_code in Customer.UNSENDABLE_CODES}
    return Differences(changed, [rows[source_id] for source_id in gone], before, giving_up, freed, failed)


def let_have_ids(customer_ids: set[str], mirror: str) -> None:
    """Captures objects that were refused because of these customer IDs, which nobody holds any more.

    One for each ID, which takes it as a rule. Only where it doesn't want it any more, the others are asked.
    """
    pks = first_in_line(customer_ids, mirror) if customer_ids else []
    last = 0
    while pks:
        _capture_rows(pks, mirror)
        customer_ids = ids_free(customer_ids, mirror)
        pks = next_in_line(customer_ids, last, mirror) if customer_ids else []
        last = max(pks, default=last)


def _capture_rows(pks: Sequence[int], mirror: str) -> None:
    for source, keys in objects_of(pks, mirror):
        capture_customers(source, keys, router.db_for_write(source.model))


def _look(
    source: CustomerSource, keys: Sequence[Any], using: str, mirror: str, *, locked: bool
) -> tuple[dict[str | None, Customer], list[Model]]:
    """The mirror's rows, and only then the objects."""
    query = fresh_query(source, keys, using) if locked else None
    if query is None:
        return _rows(source, keys, mirror, locked=locked), fresh_objects(source, keys, using)
    rows, objects = _ROW_OF_SOURCE.query(mirror, source.label, key_text(keys[0])).rows_with(query)
    return {row.source_id: row for row in rows}, objects


def _rows_by_other_keys(
    source: CustomerSource, readings: Sequence[Reading], keys: Sequence[Any], mirror: str, *, locked: bool
) -> dict[str | None, Customer]:
    """The rows of objects that were found under a key that is written differently.

    To MySQL and MariaDB "A" is "a", if the site's column doesn't say otherwise.
    """
    others = {reading.source_id for reading in readings}.difference(map(key_text, keys))
    return _rows_named(source, list(others), mirror, locked=locked) if others else {}


def _rows(
    source: CustomerSource, keys: Sequence[Any], mirror: str, *, locked: bool = True
) -> dict[str | None, Customer]:
    return _rows_named(source, [key_text(key) for key in keys], mirror, locked=locked)


def _rows_named(
    source: CustomerSource, names: Sequence[str], mirror: str, *, locked: bool
) -> dict[str | None, Customer]:
    if len(names) == 1 and locked:
        rows = _ROW_OF_SOURCE.query(mirror, source.label, names[0]).rows()
    else:
        found = Customer.objects.using(mirror).filter(source_type=source.label, source_id__in=names)
        rows = list(found.select_for_update().order_by("pk") if locked else found)
    return {row.source_id: row for row in rows}


def _changed_row(reading: Reading, rows: dict[str | None, Customer]) -> Customer | None:
    """The row with the reading applied, or None where it says that already."""
    row = rows.get(reading.source_id) or Customer(version=0)
    before = (row.source_id, row.fingerprint, *_reason(row, reading))
    row.source_type, row.source_id = reading.source_type, reading.source_id
    for name, value in reading.columns.items():
        setattr(row, name, value)
    row.email_key = EmailKeyField.key_of(row.email)
    row.fingerprint = row.fingerprint_of_payload()
    if before == (row.source_id, row.fingerprint, reading.error_code, reading.error_message):
        return None
    row.mark_changed(due_at=due_after_debounce(), error_code=reading.error_code, error_message=reading.error_message)
    return row


def _reason(row: Customer, reading: Reading) -> tuple[str, str]:
    """Why a source said that it can't be sent; what Blueshift answered is no matter of the sources.

    What the source says of one that an operator excluded isn't kept, so nothing in that differs from the reading.
    """
    if row.is_excluded_by_operator:
        return reading.error_code, reading.error_message
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
        write(insert_of([row]) if row.pk is None else update_of(row, _changed_names(row, before[row.pk])))
    else:
        known = [row for row in rows if row.pk is not None]
        update_each(known, _changed_columns(known, before))
        insert_each([row for row in rows if row.pk is None])


def _changed_columns(rows: Sequence[Customer], before: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """The columns in which at least one row has changed, and those with which rows give IDs up to each other."""
    changed = {name for row in rows for name in _changed_names(row, before[row.pk])}
    return [*{"customer_id", "contested_customer_id", *changed}]


def _changed_names(row: Customer, before: Mapping[str, Any]) -> list[str]:
    after = vars(row)
    names = {name for name in before if before[name] != after[name]}
    names |= {name for name in JSON_NAMES if _are_unlike(before[name], after[name])}
    return [field.attname for field in CUSTOMER_FIELDS if field.attname in names]


def _are_unlike(before: Any, after: Any) -> bool:
    """Whether two JSON values that are equal in Python are written differently: True equals 1, and 1 equals 1.0."""
    return bool(after) and fingerprint_of(before) != fingerprint_of(after)


def detach_customer(source: CustomerSource, key: Any) -> None:
    """The source object is gone: its row stays and is never sent again, its memberships are removed."""
    mirror = router.db_for_write(Customer)
    with transaction.atomic(using=mirror):
        rows = _rows(source, [key], mirror)
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
    update_each(rows, DETACHED_COLUMNS)
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
    update_each(rows, MEMBERSHIP_COLUMNS)
