"""What would be sent of some records, and whether the mirror says what their objects say. Nothing is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..client import Request, customers_bulk
from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..delivery.attribute_types import conflict, known_types
from ..delivery.customers import NO_IDENTIFIER
from ..delivery.memberships import list_change, mode_of
from ..delivery.parking import why_waiting
from ..models import Customer, CustomerList, ListMembership, SyncState
from .backfill import CustomersPart, MembershipsPart, Part
from .base import CustomerSource, MembershipSource
from .captured import Change
from .registry import all_sources

Record = Customer | ListMembership
Row = TypeVar("Row", Customer, ListMembership)


@dataclass
class Planned:
    """A call that would be made, and the records that it carries, in its order."""

    request: Request
    records: Sequence[Any]


@dataclass
class Preview:
    """The calls that would carry the records, those that none would, each with a sentence, and what the mirror lacks.

    `behind` are the changes that reading the objects again would make to the mirror.
    """

    calls: list[Request] = field(default_factory=list)
    left_out: list[tuple[Record, str]] = field(default_factory=list)
    behind: list[Change] = field(default_factory=list)


def preview(records: Sequence[Record]) -> Preview:
    """Of records of one kind."""
    planned, left_out = plan(records)
    return Preview([each.request for each in planned], left_out, list(_changes(records)))


def plan(records: Sequence[Record]) -> tuple[list[Planned], list[tuple[Record, str]]]:
    """The calls that would carry these records, which are of one kind, and those that none would, with the reason."""
    sendable, left_out = [], []
    refused = _conflicts(records)
    for record in records:
        if reason := _why_not(record) or refused.get(record.pk, ""):
            left_out.append((record, reason))
        else:
            sendable.append(record)
    return list(_calls(sendable)), left_out


def _why_not(record: Record) -> str:
    """Why this record isn't to be sent as it is; empty where it is."""
    never_sent = SyncState.UNSENDABLE_CODES | SyncState.EXCLUDED_CODES
    if record.state == SyncState.State.EXCLUDED or record.error_code in never_sent:
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


def _calls(records: Sequence[Record]) -> Iterator[Planned]:
    customers = [record for record in records if isinstance(record, Customer)]
    for together in _in_slices(customers, app_settings().CUSTOMERS_PER_CALL):
        yield Planned(customers_bulk([customer.payload for customer in together]), together)
    alike: dict[tuple[CustomerList, bool], list[ListMembership]] = defaultdict(list)
    for record in records:
        if isinstance(record, ListMembership):
            alike[record.customer_list, record.is_to_be_removed].append(record)
    for (customer_list, _is_to_be_removed), memberships in alike.items():
        for some in _in_slices(memberships, LIST_MEMBERS_PER_CALL[mode_of(customer_list)]):
            yield Planned(list_change(some), some)


def _in_slices(rows: list[Row], size: int) -> Iterator[list[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


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
