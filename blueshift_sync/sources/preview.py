"""What would be sent of some records, and whether the mirror says what their objects say. Nothing is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..client import Request, customers_bulk
from ..delivery.attribute_types import conflict, known_types
from ..delivery.customers import NO_IDENTIFIER
from ..delivery.memberships import list_change
from ..delivery.parking import why_waiting
from ..models import Customer, CustomerList, ListMembership, SyncState
from .backfill import CustomersPart, MembershipsPart, Part
from .base import CustomerSource, MembershipSource
from .captured import Change
from .registry import all_sources

Record = Customer | ListMembership


@dataclass
class Preview:
    """The calls that would carry the records, those that none would, each with a sentence, and what the mirror lacks.

    `behind` are the changes that reading the objects again would make to the mirror.
    """

    calls: list[Request] = field(default_factory=list)
    left_out: list[tuple[Record, str]] = field(default_factory=list)
    behind: list[Change] = field(default_factory=list)


def preview(records: Sequence[Record]) -> Preview:
    """Of records of one kind, no more than one call may carry."""
    found = Preview()
    sendable = []
    refused = _conflicts(records)
    for record in records:
        if reason := _why_not(record) or refused.get(record.pk, ""):
            found.left_out.append((record, reason))
        else:
            sendable.append(record)
    found.calls = list(_calls(sendable))
    found.behind = list(_changes(records))
    return found


def _why_not(record: Record) -> str:
    """Why this record isn't to be sent as it is; empty where it is."""
    if record.state == SyncState.State.EXCLUDED or record.error_code in SyncState.UNSENDABLE_CODES:
        return str(record.error_message) or str(record.get_state_display())
    if isinstance(record, ListMembership):
        waits_for = why_waiting(record)
        return waits_for[1] if waits_for else "" if record.identifier else _NAMELESS
    return "" if record.identifier else NO_IDENTIFIER[1]


_NAMELESS = "The customer lacks what the list knows customers by."


def _conflicts(records: Sequence[Record]) -> dict[int, str]:
    customers = [record for record in records if isinstance(record, Customer) and isinstance(record.attributes, dict)]
    names = {name for customer in customers for name in customer.attributes}
    known = known_types(names) if names else {}
    return {customer.pk: conflict(customer.attributes, known) for customer in customers}


def _calls(records: Sequence[Record]) -> Iterator[Request]:
    customers = [record for record in records if isinstance(record, Customer)]
    if customers:
        yield customers_bulk([customer.payload for customer in customers])
    alike: dict[tuple[CustomerList, bool], list[ListMembership]] = defaultdict(list)
    for record in records:
        if isinstance(record, ListMembership):
            alike[record.customer_list, record.is_member].append(record)
    for memberships in alike.values():
        yield list_change(memberships)


def _changes(records: Iterable[Record]) -> Iterator[Change]:
    """What reading the objects of these records again would change in them."""
    texts: dict[tuple[type[Record], str], set[str]] = defaultdict(set)
    for record in records:
        if record.source_type is not None and record.source_id is not None:
            texts[type(record), record.source_type].add(record.source_id)
    for (model, label), names in texts.items():
        part = _part(model, label)
        if part is not None:
            keys = [part.sources[0].key_from_text(name) for name in sorted(names)]
            yield from part.compare(keys).changes


def _part(model: type[Record], label: str) -> Part | None:
    kind: type[Any] = CustomerSource if model is Customer else MembershipSource
    sources: list[Any] = [source for source in all_sources() if isinstance(source, kind) and source.label == label]
    if not sources:
        return None
    return CustomersPart(sources[:1]) if model is Customer else MembershipsPart(sources)
