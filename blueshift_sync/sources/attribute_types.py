"""Values of another JSON type than their attribute was sent as: told at once, before anybody tries to send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..delivery.attribute_types import TYPE_CHANGED, conflict, known_types
from ..models import Customer
from ..models.attribute_types import json_type_of
from .readings import Reading


def refuse_changed_types(readings: Sequence[Reading], rows: dict[str | None, Customer]) -> None:
    """Refuses the readings with a value of another type.

    Asks the database only where an attribute is new to its row or has changed its type there, so hardly ever.
    """
    doubtful: list[tuple[Reading, dict[str, Any]]] = []
    for reading in readings:
        values = _new_to(rows.get(reading.source_id), reading)
        if values:
            doubtful.append((reading, values))
    if not doubtful:
        return
    known = known_types({name for _, values in doubtful for name in values})
    for reading, values in doubtful:
        sentence = conflict(values, known)
        if sentence:
            reading.refuse(TYPE_CHANGED, sentence)


def _new_to(row: Customer | None, reading: Reading) -> dict[str, Any]:
    """The values of the reading whose types its row hasn't had yet, or was refused for."""
    values: dict[str, Any] = {} if reading.error_code else reading.columns["attributes"]
    if row is None or row.error_code == TYPE_CHANGED:
        return values
    before = row.attributes
    return {
        name: value
        for name, value in values.items()
        if type(value) is not type(before.get(name)) and json_type_of(value) != json_type_of(before.get(name))
    }
