"""Re-reading objects of the site, whatever their models and sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet

from .base import CustomerSource, MembershipSource
from .customers import capture_customers, detach_customer
from .memberships import capture_memberships, withdraw_memberships
from .registry import sources_of

#: Objects read and rows written at a time.
CHUNK = 500


@dataclass
class Captured:
    """How many objects were read, and of how many the mirror had to be changed."""

    read: int = 0
    changed: int = 0

    def __add__(self, other: Captured) -> Captured:
        return Captured(self.read + other.read, self.changed + other.changed)


def capture_objects(objects: QuerySet[Any] | Iterable[Model]) -> Captured:
    """Re-reads `objects` through every source of their models. Objects without a source are passed over."""
    total = Captured()
    iterator = iter(objects.iterator(CHUNK) if isinstance(objects, QuerySet) else objects)
    while chunk := list(islice(iterator, CHUNK)):
        for model, using in {(type(obj), obj._state.db) for obj in chunk}:
            members = [obj for obj in chunk if type(obj) is model and obj._state.db == using]
            total += capture_chunk(model, [obj.pk for obj in members], using)
    return total


def capture_chunk(model: type[Model], keys: Sequence[Any], using: str | None) -> Captured:
    """Re-reads the objects of `model` with these primary keys, customers before memberships."""
    sources = sources_of(model)
    captured = Captured(read=len(keys))
    for source in sources:
        if isinstance(source, CustomerSource):
            captured.changed += capture_customers(source, keys, using)
    membership_sources = [source for source in sources if isinstance(source, MembershipSource)]
    if membership_sources:
        captured.changed += capture_memberships(membership_sources, keys, using)
    return captured


def forget_object(obj: Model) -> None:
    """`obj` was deleted: its customer is detached, or its memberships end."""
    for source in sources_of(type(obj)):
        if isinstance(source, CustomerSource):
            detach_customer(source, obj)
        elif isinstance(source, MembershipSource):
            withdraw_memberships(source, obj)
