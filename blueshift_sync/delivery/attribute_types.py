"""One JSON type for each attribute: that of the first value that was sent.

The types are written in the transaction of a claim, so they are there before the call leaves. Of two workers that send
a new attribute at once, the one that commits later sees what the other one wrote, and keeps to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from django.db import router, transaction
from django.utils import timezone

from ..models import AttributeType, Customer, SyncState
from ..models.attribute_types import json_type_of
from .statements import find_values
from .wake import wake_on_commit

JsonType = AttributeType.JsonType
#: The code of a record with a value of another type.
TYPE_CHANGED = "type_changed"
LONGEST_NAME = AttributeType._meta.get_field("name").max_length or 0
#: Rows changed in one statement.
SLICE = 1000


def known_types(names: Iterable[str]) -> dict[str, JsonType]:
    """The types that these attributes were sent as, of those that were."""
    rows = find_values(AttributeType, ["name", "json_type"], name=sorted(set(names)))
    return {name: JsonType(json_type) for name, json_type in rows}


def conflict(attributes: Mapping[str, Any], known: Mapping[str, JsonType]) -> str:
    """A sentence about the first value that is of another type than its attribute was sent as; empty if none is."""
    for name in sorted(attributes):
        found, sent = json_type_of(attributes[name]), known.get(name)
        if found is not None and sent is not None and found != sent:
            return (
                f"Not sent: attribute '{name}' has been sent as {sent.label}; this value is {found.label}. Blueshift "
                "keeps an attribute's first type. Let the source return that, or delete the type in the admin."
            )
    return ""


class Sendable(Protocol):
    """What is needed of a customer that is about to be sent."""

    pk: int
    attributes: dict[str, Any]


def settle_types(customers: Sequence[Sendable], using: str) -> dict[int, str]:
    """Remembers the types of what is about to be sent for the first time. To be called in the claim's transaction.

    Returns the customers that mustn't be sent, as a value of theirs is of another type: sentences by primary key.
    """
    names: set[str] = set()
    for customer in customers:
        names.update(customer.attributes)
    known = known_types(names) if names else {}
    refused, fresh = _judge(customers, known)
    if fresh:
        written = _write(fresh, using)
        if written != fresh:  # another worker was first
            refused, _ = _judge(customers, {**known, **written})
    return refused


def _judge(customers: Sequence[Sendable], known: Mapping[str, JsonType]) -> tuple[dict[int, str], dict[str, JsonType]]:
    """Which customers don't fit to the types, and the types that the others give to new attributes."""
    types = dict(known)
    refused: dict[int, str] = {}
    fresh: dict[str, JsonType] = {}
    for customer in customers:
        new: dict[str, JsonType] = {}
        for name, value in customer.attributes.items():
            found, sent = json_type_of(value), types.get(name)
            if found is None or found is sent:
                continue
            if sent is not None:
                refused[customer.pk] = conflict(customer.attributes, types)
                break
            if len(name) <= LONGEST_NAME:
                new[name] = found
        else:
            types.update(new)
            fresh.update(new)
    return refused, fresh


def _write(fresh: Mapping[str, JsonType], using: str) -> dict[str, JsonType]:
    """Writes types of new attributes, unless somebody else just has. Returns what is written."""
    rows = AttributeType.objects.using(using)
    rows.bulk_create([AttributeType(name=name, json_type=fresh[name]) for name in sorted(fresh)], ignore_conflicts=True)
    # Locked, for only so a transaction that began before the other one's commit sees what that one wrote.
    written = rows.select_for_update().filter(name__in=fresh).values_list("name", "json_type")
    return {name: JsonType(json_type) for name, json_type in written}


def forget_types(names: Iterable[str]) -> None:
    """Lets these attributes have another type, and tries the records again that were refused for theirs."""
    using = router.db_for_write(AttributeType)
    with transaction.atomic(using=using):
        AttributeType.objects.using(using).filter(name__in=list(names)).delete()
        refused = Customer.objects.using(using).filter(error_code=TYPE_CHANGED)
        _make_due(list(refused.values_list("pk", flat=True)), using)
        wake_on_commit(using)


def _make_due(pks: Sequence[int], using: str) -> None:
    now = timezone.now()
    for start in range(0, len(pks), SLICE):
        rows = Customer.objects.using(using).filter(pk__in=pks[start : start + SLICE], error_code=TYPE_CHANGED)
        rows.filter(state=SyncState.State.FAILED).update(
            state=SyncState.State.PENDING, due_at=now, waiting_since=now, run=None
        )
        rows.update(error_code="", error_message="", error_cause="")  # of one that is being sent, too
