"""Mirroring everything that the sources have, and letting go of what they haven't any more.

A slice of objects is compared with the mirror before anything is locked, and only what differs is captured: while the
site works, nobody waits for a row that is right. Where most of a slice differs, the next one probably does too, and is
captured without a look. Each slice is committed by itself; so a backfill may be stopped at any time, even by SIGKILL,
and the next one does what it left undone.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from django.db import DatabaseError, connections, router
from django.db.models import QuerySet
from rq.timeouts import BaseTimeoutException

from ..models import Customer, ListMembership
from .base import CustomerSource, MembershipSource, Source
from .captured import Captured, Change
from .customers import capture_customers, compare_customers
from .memberships import capture_memberships, capture_memberships_of, compare_memberships
from .mistakes import loggable_key
from .readings import key_text
from .registry import first_customer_source_of
from .slices import slices_of_keys, slices_of_values
from .statistics import TableStatistics

logger = logging.getLogger(__name__)

Progress = Callable[[int], Any]


class Comparison(Protocol):
    """In what a slice of objects differs from the mirror."""

    @property
    def source_ids(self) -> set[str]:
        """The text keys of the objects that a capture has to do with."""

    @property
    def changes(self) -> Iterator[Change]:
        """What a capture would do."""


class Part(ABC):
    """What is mirrored together: the objects of a customer source, or of all membership sources of one model."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.model = sources[0].model
        self.using = router.db_for_write(self.model)

    def __str__(self) -> str:
        return f"{self.model._meta.label} ({self.rows.model._meta.verbose_name_plural})"

    def querysets(self) -> list[QuerySet[Any]]:
        """The objects, which more than one queryset may have.

        Where a source doesn't say which, they are all, whatever the model's manager hides: each of them may be saved.
        """
        if any(type(source).get_queryset is Source.get_queryset for source in self.sources):
            return [self.model._base_manager.using(self.using).all()]
        return [source.get_queryset().using(self.using) for source in self.sources]

    def count(self) -> int:
        """About how many objects there are to be read."""
        return sum(queryset.count() for queryset in self.querysets())

    def slices(self) -> Iterator[list[Any]]:
        """The keys of the objects, slice by slice."""
        for queryset in self.querysets():
            yield from slices_of_keys(queryset)

    def left_over(self) -> Iterator[list[Any]]:
        """The keys of what the mirror has beside them: objects that are gone, or that the querysets leave out."""
        rows = self.rows.filter(source_type=self.sources[0].label, source_id__isnull=False)
        for names in slices_of_values(rows, "source_id"):
            keys = {self.sources[0].key_from_text(name) for name in names}
            for queryset in self.querysets():
                keys.difference_update(queryset.filter(pk__in=list(keys)).values_list("pk", flat=True))
            if keys:
                yield list(keys)

    def unlike(self, keys: Sequence[Any]) -> Sequence[Any]:
        """The keys of those of these objects that differ from the mirror, in their order."""
        try:
            texts = self.compare(keys).source_ids
        except DatabaseError:  # for the capture to deal with
            return keys
        by_text = {key_text(key): key for key in keys}
        others = texts - by_text.keys()  # found under a key that is written differently
        return [
            *(key for text, key in by_text.items() if text in texts),
            *(self.sources[0].key_from_text(text) for text in others),
        ]

    @property
    @abstractmethod
    def rows(self) -> QuerySet[Any]:
        """The mirror's rows of this kind."""

    @abstractmethod
    def compare(self, keys: Sequence[Any]) -> Comparison:
        """Looks at these objects and the mirror's rows of them."""

    @abstractmethod
    def capture(self, keys: Sequence[Any]) -> Captured:
        """Brings the mirror's rows of these objects up to date."""


class CustomersPart(Part):
    """One customer source."""

    sources: Sequence[CustomerSource]

    @property
    def rows(self) -> QuerySet[Customer]:
        return Customer.objects.using(router.db_for_write(Customer))

    def compare(self, keys: Sequence[Any]) -> Comparison:
        return compare_customers(self.sources[0], keys, self.using)

    def capture(self, keys: Sequence[Any]) -> Captured:
        captured = capture_customers(self.sources[0], keys, self.using, patiently=True)
        if captured.changed and self.sources[0] is not first_customer_source_of(self.model):
            capture_memberships_of(self.sources[0], keys)  # an object of a parent may have become one of this model
        return captured


class MembershipsPart(Part):
    """All membership sources of one model."""

    sources: Sequence[MembershipSource]

    @property
    def rows(self) -> QuerySet[ListMembership]:
        return ListMembership.objects.using(router.db_for_write(ListMembership))

    def compare(self, keys: Sequence[Any]) -> Comparison:
        return compare_memberships(self.sources, keys, self.using)

    def capture(self, keys: Sequence[Any]) -> Captured:
        return capture_memberships(self.sources, keys, self.using, patiently=True)


def parts_of(sources: Iterable[Source]) -> list[Part]:
    """What these sources mirror, customers first."""
    together: dict[Any, list[MembershipSource]] = {}
    parts: list[Part] = []
    for source in sources:
        if isinstance(source, CustomerSource):
            parts.append(CustomersPart([source]))
        elif isinstance(source, MembershipSource):
            together.setdefault(source.model, []).append(source)
    return [*parts, *(MembershipsPart(alike) for alike in together.values())]


def backfill(part: Part, progress: Progress) -> Captured:
    """Re-reads every object of `part`, and the rows of objects that are gone.

    `progress` is told how many more were read, slice by slice. Objects that can't be captured are logged and counted.
    """
    total = Captured()
    statistics = TableStatistics(part.rows.model)
    differs = False
    for keys in part.slices():
        captured = _capture(part, keys if differs else part.unlike(keys))
        differs = captured.changed * 2 > len(keys)
        statistics.note(captured.changed)
        total += captured
        total.read += len(keys)
        progress(len(keys))
    for keys in part.left_over():
        total += _capture(part, part.unlike(keys))
    return total


def preview(part: Part, progress: Progress) -> Iterator[Change]:
    """What `backfill` would change, each slice by itself. Nothing is written."""
    for keys in part.slices():
        yield from part.compare(keys).changes
        progress(len(keys))
    for keys in part.left_over():
        yield from part.compare(keys).changes


def _capture(part: Part, keys: Sequence[Any]) -> Captured:
    """Captures these objects; where that fails for all of them, one by one."""
    if not keys:
        return Captured()
    try:
        return part.capture(keys)
    except BaseTimeoutException:
        raise
    except Exception as error:
        if not connections[router.db_for_write(Customer)].is_usable():
            raise
        if len(keys) > 1:
            return sum((_capture(part, [key]) for key in keys), Captured())
        logger.error(  # noqa: TRY400 - a traceback may quote values of the object
            "%s %s could not be captured (%s).",
            part.model._meta.label,
            loggable_key(keys[0]),
            type(error).__name__,
            extra={
                "event": "not_captured",
                "model": part.model._meta.label,
                "key": loggable_key(keys[0]),
                "error": type(error).__name__,
            },
        )
        return Captured(lost=1)
