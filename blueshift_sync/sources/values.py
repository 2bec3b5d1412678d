"""From a Python value to the one JSON type that its attribute is sent as.

Blueshift fixes an attribute's type at the first payload that carries it, so the same kind of value must always
become the same JSON type.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial, singledispatch
from typing import Any, get_type_hints

from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from ..exceptions import ValueNotSendable

#: Lists and objects inside each other; beyond 32 MariaDB doesn't take it for JSON any more.
DEEPEST = 20
#: Characters and other values in all attributes of a customer. More would make calls too large for the others in them.
LARGEST = 200_000


def check_size(value: Any, others: int = 0) -> int:
    """The size of a JSON value: its characters, and its values that aren't text.

    Raises ValueNotSendable where it is nested more than DEEPEST levels, or is with that of `others` above LARGEST.
    """
    size = size_of(value)
    if size + others > LARGEST:
        together = " together with the attributes before it" if size <= LARGEST else ""
        raise ValueNotSendable(f"it has {size + others:,} characters{together}; more than {LARGEST:,} can't be sent")
    return size


def size_of(value: Any, deepest: int = DEEPEST) -> int:
    """As `check_size`, without a limit to the size."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, list | dict):
        return 1
    if not deepest:
        raise ValueNotSendable(f"lists and objects are nested more than {DEEPEST} levels deep")
    if isinstance(value, list):
        return len(value) + sum(size_of(entry, deepest - 1) for entry in value)
    return sum(len(key) + size_of(entry, deepest - 1) for key, entry in value.items())


class _ToJson:
    """The function `to_json`, with a place to register the types of a site's own."""

    def __call__(self, value: Any) -> Any:
        """`value` as JSON: a number, text, a boolean, a list, an object or None.

        Raises ValueNotSendable with a sentence where it has no such form.
        """
        return _form(value)

    def register(self, kind: Any, convert: Callable[[Any], Any] | None = None) -> Any:
        """Has values of the type `kind` sent as what `convert` makes of them, and that in turn as usual.

        A decorator where only the type is given, or only a function whose argument's annotation is the type.
        """
        if convert is None and isinstance(kind, type):
            return partial(self.register, kind)
        if convert is None:
            kind, convert = next(iter(get_type_hints(kind).values())), kind
        _form.register(kind, lambda value: self(convert(value)))
        return convert


to_json = _ToJson()


@singledispatch
def _form(value: Any) -> Any:
    raise ValueNotSendable(
        f"a value of type {type(value).__name__} has no JSON form; let the source return text or a number for it, or "
        "register the type with to_json.register"
    )


@_form.register
def _(value: None) -> None:
    return value


@_form.register
def _(value: bool) -> bool:  # noqa: FBT001
    return value


@_form.register
def _(value: int) -> int:
    try:
        str(int(value))
    except ValueError:  # Python's own limit, thousands of digits
        raise ValueNotSendable("the number has too many digits to be written; let the source return less") from None
    return int(value)


@_form.register
def _(value: float) -> float:
    if not math.isfinite(value):
        raise ValueNotSendable(f"the number {value} has no JSON form; let the source return None instead")
    return float(value)


@_form.register
def _(value: Decimal) -> float:
    if value.is_nan():
        raise ValueNotSendable("the number NaN has no JSON form; let the source return None instead")
    return float(to_json(float(value)))


@_form.register
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


@_form.register
def _(value: Promise) -> str:
    return str(to_json(str(value)))


@_form.register
def _(value: enum.Enum) -> Any:
    return to_json(value.value)


@_form.register
def _(value: uuid.UUID) -> str:
    return str(value)


@_form.register
def _(value: dt.datetime) -> str:
    if timezone.is_naive(value):
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value.astimezone(dt.UTC).isoformat()


@_form.register
def _(value: dt.date) -> str:
    return value.isoformat()


@_form.register
def _(value: dt.time) -> str:
    return value.isoformat()


@_form.register
def _(value: dt.timedelta) -> str:
    return duration_iso_string(value)


@_form.register
def _address_of(value: FieldFile) -> str | None:
    return value.url if value else None


def is_sent_as_address(kind: type[FieldFile]) -> bool:
    """Whether files of this kind are sent as their URL: the site has said nothing else."""
    return _form.dispatch(kind) is _address_of


@_form.register(list)
@_form.register(tuple)
def _(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [to_json(entry) for entry in value]


@_form.register(set)
@_form.register(frozenset)
def _(value: set[Any] | frozenset[Any]) -> list[Any]:
    return sorted((to_json(entry) for entry in value), key=lambda entry: (str(type(entry)), str(entry)))


@_form.register
def _(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {str(to_json(key)): to_json(entry) for key, entry in value.items()}


@_form.register
def _(value: Model) -> Any:
    raise ValueNotSendable(f"the value is a {type(value).__name__} object; name one of its fields in the path instead")
