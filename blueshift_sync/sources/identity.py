"""Who may have which customer ID, when several rows want the same one."""

from __future__ import annotations

from collections.abc import Sequence

from ..models import Customer
from .readings import Reading


def settle_identities(readings: Sequence[Reading], rows: dict[str | None, Customer]) -> None:
    """Sees to it that no two rows end up with one customer ID.

    `rows` are the mirror's rows of the readings by source key. A row that no source owns (made by hand, or left
    over from a deleted object) is handed to the reading that wants its customer ID. Where another source object
    has it, the reading is refused, and remembers what it wanted.
    """
    wanted: dict[str, Reading] = {}
    for reading in readings:
        reading.columns.setdefault("customer_id", None)
        reading.columns["contested_customer_id"] = None
        customer_id = reading.columns["customer_id"]
        if customer_id is None:
            continue
        if customer_id in wanted:
            _contest(reading, wanted[customer_id].source_type, wanted[customer_id].source_id)
            continue
        wanted[customer_id] = reading
    _look_up_owners(wanted, rows)


def _look_up_owners(wanted: dict[str, Reading], rows: dict[str | None, Customer]) -> None:
    held = {row.customer_id for row in rows.values()}
    unsettled = [customer_id for customer_id in wanted if customer_id not in held]
    if not unsettled:
        return
    for owner in Customer.objects.select_for_update().filter(customer_id__in=unsettled).order_by("pk"):
        reading = wanted[owner.customer_id]
        if owner.source_id is None and reading.source_id not in rows:
            rows[reading.source_id] = owner
        else:
            _contest(reading, owner.source_type or "", owner.source_id or "")


def _contest(reading: Reading, source_type: str, source_id: str) -> None:
    customer_id = reading.columns["customer_id"]
    reading.columns["customer_id"] = None
    reading.columns["contested_customer_id"] = customer_id
    holder = f"{source_type} {source_id}".strip() or "a customer made by hand"
    reading.refuse("duplicate_customer_id", f"The customer ID '{customer_id}' already belongs to {holder}.")
