"""Re-reading objects of the site, whatever their models and sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet

from .base import CustomerSource, MembershipSource
from .customers import capture_customers, detach_customer
from .memberships import capture_memberships, withdraw_memberships
from .registry import customer_source_of, sources_of

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
        alike: dict[tuple[type[Model], str], list[Model]] = defaultdict(list)
        for obj in chunk:
            model = obj._meta.model  # the type of a lazy `request.user` is another
            alike[model, router.db_for_write(model, instance=obj)].append(obj)
        for (_, using), members in alike.items():
            total += capture_chunk(members, using)
    return total


def capture_chunk(objects: Sequence[Model], using: str, *, new: bool = False) -> Captured:
    """Re-reads `objects`, all of one model and at least one, customers before memberships.

    `new`: it is one, and it was made just now.
    """
    model = objects[0]._meta.model
    captured = Captured()
    customer_source = customer_source_of(model)
    if customer_source is not None:
        captured.read = len(objects)
        captured.changed += capture_customers(customer_source, _keys(customer_source, objects), using, new=new)
    for sources in membership_sources_of(model):
        captured.read = len(objects)
        captured.changed += capture_memberships(sources, _keys(sources[0], objects), using)
    return captured


def forget_object(obj: Model) -> None:
    """The row of `obj` was deleted: its customer is detached, its memberships end.

    The row of its own model only: where a parent's row goes as well, that has a signal of its own.
    """
    model = obj._meta.model
    customer_source = customer_source_of(model)
    if customer_source is not None and _has_its_row(customer_source, obj):
        detach_customer(customer_source, customer_source.key_of(obj))
    for sources in membership_sources_of(model):
        if _has_its_row(sources[0], obj):
            withdraw_memberships(sources[0], sources[0].key_of(obj))


def membership_sources_of(model: type[Model]) -> Iterator[list[MembershipSource]]:
    """The membership sources of `model`; those that were registered for one model together."""
    together: dict[type[Model], list[MembershipSource]] = defaultdict(list)
    for source in sources_of(model):
        if isinstance(source, MembershipSource):
            together[source.model].append(source)
    yield from together.values()


def _keys(source: CustomerSource | MembershipSource, objects: Sequence[Model]) -> list[Any]:
    return [source.key_of(obj) for obj in objects]


def _has_its_row(source: CustomerSource | MembershipSource, obj: Model) -> bool:
    return obj._meta.concrete_model is source.model._meta.concrete_model
