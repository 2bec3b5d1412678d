"""What a source says of one of its objects, at this moment."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError
from django.db.models import Model
from rq.timeouts import BaseTimeoutException

from ..exceptions import ValueNotSendable
from ..models import Customer
from .base import CustomerSource
from .values import to_json

TEXT_FIELDS = ("customer_id", "email", "uuid", "firstname", "lastname")


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

    def refuse(self, code: str, message: str) -> None:
        """Notes the first reason for which this customer can't be sent."""
        if not self.error_code:
            self.error_code, self.error_message = code, message


def read_customer(source: CustomerSource, obj: Model) -> Reading:
    """Reads `obj` through `source`. Mistakes in the source or its values end up in the reading, not as errors."""
    reading = Reading(source.label, key_text(obj.pk))
    _read_standard_fields(source, obj, reading)
    _read_attributes(source, obj, reading)
    _read_subscription_groups(source, obj, reading)
    _check_identifier(reading)
    _check_inclusion(source, obj, reading)
    return reading


def _read_standard_fields(source: CustomerSource, obj: Model, reading: Reading) -> None:
    for name in TEXT_FIELDS:
        with _Guard(reading, f"field '{name}'"):
            value = to_json(source.read_field(obj, name))
            text = "" if value is None else str(value)
            _check_length(name, text)
            reading.columns[name] = text or None if name == "customer_id" else text


def _check_length(name: str, text: str) -> None:
    longest = Customer._meta.get_field(name).max_length
    if longest is not None and len(text) > longest:
        raise ValueNotSendable(f"the text has {len(text)} characters; more than {longest} can't be kept")


def _read_attributes(source: CustomerSource, obj: Model, reading: Reading) -> None:
    attributes = {}
    for name, getter in source.attributes.items():
        with _Guard(reading, f"attribute '{name}'"):
            value = to_json(source.read(obj, getter))
            if value is not None or name in source.send_null:
                attributes[name] = value
    reading.columns["attributes"] = attributes


def _read_subscription_groups(source: CustomerSource, obj: Model, reading: Reading) -> None:
    with _Guard(reading, "the subscription groups"):
        groups = source.get_subscription_groups(obj) or {}
        reading.columns["subscription_groups"] = [
            {"id": to_json(str(group)), "subscribed": bool(subscribed)}
            for group, subscribed in groups.items()
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
    """Turns what goes wrong in the site's code into the reading's error, for this record alone.

    A database error breaks the transaction and a job's time-out must end the job: both go through.
    """

    def __init__(self, reading: Reading, what: str) -> None:
        self.reading = reading
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, Exception) or isinstance(error, DatabaseError | BaseTimeoutException):
            return False
        if isinstance(error, ValueNotSendable):
            self.reading.refuse("value_not_sendable", f"Can't send {self.what}: {error}.")
        else:
            self.reading.refuse(
                "source_error", f"The source failed at {self.what}: {type(error).__name__}: {error}"
            )
        return True
