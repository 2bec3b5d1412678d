"""Who may have which customer ID, when several rows want the same one."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import F

from ..models import Customer
from .readings import Reading


def settle_identities(
    readings: Sequence[Reading], rows: dict[str | None, Customer], mirror: str, *, locked: bool = True
) -> list[int]:
    """Sees to it that no two rows end up with one customer ID.

    `rows` are the mirror's rows of the readings by source key. A row that no source owns (made by hand, or left
    over from a deleted object) is handed to a new object that wants its customer ID. A row that isn't sent, or
    that gets another ID in this very capture, gives its ID up. Where anybody else has it, the reading is refused,
    and remembers what it wanted. Returns the rows that `give_up_ids` is to be called with before any is written.
    """
    claims = _one_reading_for_each_id(readings, rows)
    unsettled = [customer_id for customer_id, reading in claims.items() if not _holds(reading, rows)]
    if not unsettled:
        return []
    moving = {reading.source_id for reading in readings if "customer_id" in reading.columns}
    leaving = {row.pk for source_id, row in rows.items() if source_id in moving}
    given_up = []
    owners = Customer.objects.using(mirror).filter(customer_id__in=unsettled).order_by("pk")
    for owner in owners.select_for_update() if locked else owners:
        reading = claims[owner.customer_id or ""]
        if owner.pk in leaving:
            given_up.append(owner.pk)
        elif not owner.is_source_owned and reading.source_id not in rows:
            rows[reading.source_id] = owner
        elif owner.error_code in Customer.EXCLUDED_CODES:
            given_up.append(owner.pk)
        else:
            _contest(reading, owner.source_type or "", owner.source_id or "")
    return given_up


def give_up_ids(pks: Sequence[int], mirror: str) -> None:
    """These rows let go of their customer IDs, and remember them."""
    if pks:
        # The order matters: MySQL and MariaDB assign from left to right.
        Customer.objects.using(mirror).filter(pk__in=pks).update(
            contested_customer_id=F("customer_id"), customer_id=None
        )


def _one_reading_for_each_id(readings: Sequence[Reading], rows: dict[str | None, Customer]) -> dict[str, Reading]:
    """The reading that may have each ID: rather one that is sent, and rather the one that has it already."""
    claims: dict[str, Reading] = {}
    for reading in sorted(readings, key=lambda reading: (reading.is_excluded, not _holds(reading, rows))):
        if "customer_id" not in reading.columns:  # it couldn't be read: the row keeps the one that it has
            continue
        reading.columns["contested_customer_id"] = None
        customer_id = reading.columns["customer_id"]
        if customer_id is None:
            continue
        first = claims.setdefault(customer_id, reading)
        if first is not reading:
            _contest(reading, first.source_type, first.source_id)
    return claims


def _holds(reading: Reading, rows: dict[str | None, Customer]) -> bool:
    row = rows.get(reading.source_id)
    return row is not None and row.customer_id == reading.columns.get("customer_id")


def _contest(reading: Reading, source_type: str, source_id: str) -> None:
    customer_id = reading.columns["customer_id"]
    reading.columns["customer_id"] = None
    reading.columns["contested_customer_id"] = customer_id
    holder = f"{source_type} {source_id}" if source_type else "a customer made by hand"
    reading.refuse(
        "duplicate_customer_id",
        f"The customer ID '{customer_id}' already belongs to {holder}. Give one of them another ID, or delete one.",
    )
