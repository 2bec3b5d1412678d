"""What a source says of one of its objects, at this moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils import timezone, translation

from ..exceptions import ValueNotSendable
from ..models import Customer
from .base import CustomerSource
from .mistakes import describe, is_mistake, text_of
from .reads import read_settled
from .values import check_size, to_json

_TEXTS = [
    field for field in Customer._meta.fields if field.name in {"customer_id", "email", "uuid", "firstname", "lastname"}
]
#: The standard fields that hold text, and how much of it the mirror can keep.
LONGEST = {field.name: field.max_length or 0 for field in _TEXTS}
#: Those of them that tell a text that isn't known from an empty one.
NULLABLE = {field.name for field in _TEXTS if field.null}

#: Beyond it a float can't tell a whole number from the next one.
LARGEST_EXACT = 2**53


def key_text(key: Any) -> str:
    """A primary key as text; a composite one as a JSON list."""
    return json.dumps([str(part) for part in key]) if isinstance(key, tuple) else str(key)


@dataclass
class Reading:
    """A customer as its source describes it: columns of the mirror, and why it can't be sent, if it can't."""

    source_type: str
    source_id: str
    columns: dict[str, Any] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""

    @property
    def is_excluded(self) -> bool:
        """Whether the source leaves this customer out."""
        return self.error_code in Customer.EXCLUDED_CODES

    def refuse(self, code: str, message: str) -> None:
        """Notes the first reason for which this customer can't be sent."""
        if not self.error_code:
            self.error_code, self.error_message = code, message


def read_customer(source: CustomerSource, obj: Model) -> Reading:
    """Reads `obj` through `source`. Mistakes in the source or its values end up in the reading, not as errors."""
    reading, complaint = read_settled(obj, lambda: _read_customer(source, obj))
    if complaint and not reading.is_excluded:
        reading.refuse("source_error", complaint)
    return reading


def _read_customer(source: CustomerSource, obj: Model) -> Reading:
    reading = Reading(source.label, key_text(obj.pk))
    with _as_the_site():
        _read_standard_fields(source, obj, reading)
        _read_attributes(source, obj, reading)
        _read_subscription_groups(source, obj, reading)
        _check_identifier(reading)
        _check_inclusion(source, obj, reading)
    return reading


@contextmanager
def _as_the_site() -> Iterator[None]:
    """In the site's own language and time zone, not in those of the request: the same whoever saves the object."""
    if (
        translation.get_language() == settings.LANGUAGE_CODE
        and timezone.get_current_timezone() is timezone.get_default_timezone()
    ):
        yield
    else:
        with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
            yield


def read_customer_alone(source: CustomerSource, obj: Model, using: str) -> Reading:
    """As `read_customer`, in a savepoint: not even a database error in the source's code goes beyond the reading."""
    try:
        with transaction.atomic(using=using):
            return read_customer(source, obj)
    except DatabaseError as error:
        reading = Reading(source.label, key_text(obj.pk))
        reading.refuse("source_error", f"The source failed in the database: {describe(error)}")
        return reading


def _read_standard_fields(source: CustomerSource, obj: Model, reading: Reading) -> None:
    for name in LONGEST:
        with _Guard(reading, f"field '{name}'"):
            value = _as_written(to_json(_whole(source.read_field(obj, name))))
            text = "" if value is None else str(value)
            _check_text(name, value, text)
            reading.columns[name] = None if _is_unknown(name, value) else text


def _is_unknown(name: str, value: Any) -> bool:
    """An empty customer ID is none; an empty name is a value."""
    return name in NULLABLE and (value is None or (value == "" and name == "customer_id"))


def _whole(value: Any) -> Any:
    """A Decimal that is whole as a number that is exact: a column with many digits may hold the keys."""
    is_whole = (
        isinstance(value, Decimal)
        and value.is_finite()
        and value.adjusted() <= 255
        and value == value.to_integral_value()
    )
    return int(value) if is_whole else value


def _as_written(value: Any) -> Any:
    """A number as one writes it in a text: 7.0 is the 7 that another column or language has.

    A fraction or a boolean can't be meant, and would make one identity of many objects, or two of one.
    """
    if isinstance(value, bool):
        raise ValueNotSendable("it must be text, and this is true or false")
    if isinstance(value, float):
        if not value.is_integer() or abs(value) > LARGEST_EXACT:
            raise ValueNotSendable("it must be text or a whole number, and this is a number that isn't exactly one")
        return int(value)
    return value


def _check_text(name: str, value: Any, text: str) -> None:
    if isinstance(value, list | dict):
        raise ValueNotSendable("it must be text, and this is a list or an object")
    longest = LONGEST[name]
    if len(text) > longest:
        raise ValueNotSendable(f"the text has {len(text)} characters; more than {longest} can't be kept")


def _read_attributes(source: CustomerSource, obj: Model, reading: Reading) -> None:
    # A standard field that is None has no column to say that it is to be sent as null.
    attributes: dict[str, Any] = {
        name: None for name in LONGEST if name in source.send_null and not reading.columns.get(name)
    }
    size = 0
    for name, getter in source.attributes.items():
        with _Guard(reading, f"attribute '{name}'"):
            value = to_json(source.read(obj, getter))
            size += check_size(value, size)
            if value is not None or name in source.send_null:
                attributes[name] = value
    reading.columns["attributes"] = attributes


def _read_subscription_groups(source: CustomerSource, obj: Model, reading: Reading) -> None:
    with _Guard(reading, "the subscription groups"):
        groups = source.get_subscription_groups(obj) or {}
        known = {to_json(str(group)): bool(answer) for group, answer in groups.items() if answer is not None}
        reading.columns["subscription_groups"] = [
            {"id": group, "subscribed": subscribed} for group, subscribed in sorted(known.items())
        ]


def _check_identifier(reading: Reading) -> None:
    if not (reading.columns.get("customer_id") or reading.columns.get("email")):
        reading.refuse(
            "identifier_missing",
            "Neither customer ID nor e-mail: Blueshift needs one of them to know the customer.",
        )


def _check_inclusion(source: CustomerSource, obj: Model, reading: Reading) -> None:
    """Excluded wins over mistakes: what isn't sent needs no mending."""
    with _Guard(reading, "whether the customer is included"):
        if not source.include(obj):
            reading.error_code = "excluded"
            reading.error_message = "The source leaves this customer out."


class _Guard:
    """Turns a mistake in the site's code into the reading's error, for this record alone."""

    def __init__(self, reading: Reading, what: str) -> None:
        self.reading = reading
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if error is None or not is_mistake(error):
            return False
        if isinstance(error, ValueNotSendable):
            self.reading.refuse("value_not_sendable", f"Can't send {self.what}: {text_of(error)}.")
        else:
            self.reading.refuse("source_error", f"The source failed at {self.what}: {describe(error)}")
        return True
