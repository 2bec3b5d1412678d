"""From a Python value to the one JSON type that its attribute is sent as.

Blueshift fixes an attribute's type at the first payload that carries it, so the same kind of value must always
become the same JSON type.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Mapping
from decimal import Decimal
from functools import singledispatch
from typing import Any

from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from ..exceptions import ValueNotSendable

#: Lists and objects inside each other; beyond 32 MariaDB doesn't take it for JSON any more.
DEEPEST = 20


def check_depth(value: Any, deepest: int = DEEPEST) -> None:
    """Raises ValueNotSendable where a JSON value is nested more than `deepest` levels."""
    if isinstance(value, list | dict):
        if not deepest:
            raise ValueNotSendable(f"lists and objects are nested more than {DEEPEST} levels deep")
        for entry in value.values() if isinstance(value, dict) else value:
            check_depth(entry, deepest - 1)


@singledispatch
def to_json(value: Any) -> Any:
    """`value` as JSON: a number, text, a boolean, a list, an object or None.

    Raises ValueNotSendable with a sentence where it has no such form. For a type of your own, register a function
    with `to_json.register`.
    """
    raise ValueNotSendable(
        f"a value of type {type(value).__name__} has no JSON form; let the source return text or a number for it"
    )


@to_json.register
def _(value: None) -> None:
    return value


@to_json.register
def _(value: bool) -> bool:  # noqa: FBT001
    return value


@to_json.register
def _(value: int) -> int:
    try:
        str(int(value))
    except ValueError:  # Python's own limit, thousands of digits
        raise ValueNotSendable("the number has too many digits to be written; let the source return less") from None
    return int(value)


@to_json.register
def _(value: float) -> float:
    if not math.isfinite(value):
        raise ValueNotSendable(f"the number {value} has no JSON form; let the source return None instead")
    return float(value)


@to_json.register
def _(value: Decimal) -> float:
    if value.is_nan():
        raise ValueNotSendable("the number NaN has no JSON form; let the source return None instead")
    return to_json(float(value))  # type: ignore[no-any-return]


@to_json.register
def _(value: str) -> Any:
    if isinstance(value, enum.Enum):  # one that is text as well
        return to_json(value.value)
    if "\0" in value:
        raise ValueNotSendable("the text contains a NUL character, which databases can't hold")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueNotSendable("the text contains half a character (a lone surrogate)") from None
    return str.__str__(value)  # plain text, of whatever kind it was


@to_json.register
def _(value: Promise) -> str:
    return to_json(str(value))  # type: ignore[no-any-return]


@to_json.register
def _(value: enum.Enum) -> Any:
    return to_json(value.value)


@to_json.register
def _(value: uuid.UUID) -> str:
    return str(value)


@to_json.register
def _(value: dt.datetime) -> str:
    if timezone.is_naive(value):
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value.astimezone(dt.UTC).isoformat()


@to_json.register
def _(value: dt.date) -> str:
    return value.isoformat()


@to_json.register
def _(value: dt.time) -> str:
    return value.isoformat()


@to_json.register
def _(value: dt.timedelta) -> str:
    return duration_iso_string(value)


@to_json.register
def _(value: FieldFile) -> str | None:
    return value.url if value else None


@to_json.register(list)
@to_json.register(tuple)
def _(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [to_json(entry) for entry in value]


@to_json.register(set)
@to_json.register(frozenset)
def _(value: set[Any] | frozenset[Any]) -> list[Any]:
    return sorted((to_json(entry) for entry in value), key=lambda entry: (str(type(entry)), str(entry)))


@to_json.register
def _(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {str(to_json(key)): to_json(entry) for key, entry in value.items()}


@to_json.register
def _(value: Model) -> Any:
    raise ValueNotSendable(f"the value is a {type(value).__name__} object; name one of its fields in the path instead")
