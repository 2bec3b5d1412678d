"""Mirroring everything that a source has, and letting go of what it hasn't any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import models, router

from ..models import Customer, ListMembership
from .base import CustomerSource, MembershipSource, Source
from .capture import CHUNK, Captured, capture_chunk, membership_sources_of
from .customers import capture_customers
from .memberships import capture_memberships


def backfill(source: Source, progress: Callable[[int], Any]) -> Captured:
    """Re-reads every object of `source`, and the rows of objects that are gone.

    `progress` is told how many more were read, slice by slice; each slice is committed by itself. So it may be
    stopped at any time, and started again.
    """
    using = router.db_for_write(source.model)
    total = Captured()
    for objects in _slices(source.get_queryset().using(using).order_by("pk").iterator(CHUNK)):
        total += capture_chunk(objects, using)
        progress(len(objects))
    for keys in _slices(_mirrored_keys(source)):
        total.changed += _let_go_of_missing(source, keys, using)
    return total


def _slices(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _mirrored_keys(source: Source) -> Iterator[Any]:
    """The keys of the objects that the mirror believes in."""
    rows: models.QuerySet[Any] = (Customer if isinstance(source, CustomerSource) else ListMembership).objects.all()
    known = rows.filter(source_type=source.label, source_id__isnull=False).order_by("pk")
    for text in known.values_list("source_id", flat=True).iterator(CHUNK):
        yield source.key_from_text(text)


def _let_go_of_missing(source: Source, keys: list[Any], using: str) -> int:
    here = source.model._base_manager.using(using).filter(pk__in=keys)
    missing = list(set(keys) - set(here.values_list("pk", flat=True)))
    if not missing:
        return 0
    if isinstance(source, CustomerSource):
        return capture_customers(source, missing, using)
    return sum(
        capture_memberships(sources, missing, using)
        for sources in membership_sources_of(source.model)
        if isinstance(source, MembershipSource) and source in sources
    )
