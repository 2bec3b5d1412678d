"""What one object gives up, another one may have been waiting for: a customer ID, or the place on a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import router
from django.db.models import Min, Q, QuerySet

from ..models import Customer
from .base import CustomerSource, MembershipSource
from .registry import all_sources
from .relations import are_kin, keys_of_kin, relation_steps
from .slices import CHUNK


def ids_held(rows: Iterable[Customer]) -> dict[int, str]:
    """The customer IDs that these rows keep from others, by primary key."""
    return {
        row.pk: row.customer_id
        for row in rows
        if row.pk is not None and row.customer_id and row.error_code not in Customer.EXCLUDED_CODES
    }


def ids_given_up(before: dict[int, str], rows: Iterable[Customer]) -> set[str]:
    """Those customer IDs of `before` that the rows don't keep from others any more."""
    return set(before.values()) - set(ids_held(rows).values()) if before else set()


def ids_free(customer_ids: Iterable[str], mirror: str) -> set[str]:
    """Those of these customer IDs that nobody keeps from others."""
    held = Customer.objects.using(mirror).filter(customer_id__in=list(customer_ids))
    keeping = held.exclude(error_code__in=Customer.EXCLUDED_CODES).values_list("customer_id", flat=True)
    return set(customer_ids) - set(keeping)


def first_in_line(customer_ids: Iterable[str], mirror: str) -> list[int]:
    """For each of these customer IDs the row that has waited for it longest, and rather one that is sent."""
    is_sent = ~Q(error_code__in=Customer.EXCLUDED_CODES)
    line = _waiting(customer_ids, mirror).values("contested_customer_id").order_by()
    line = line.annotate(first=Min("pk"), first_sent=Min("pk", filter=is_sent))
    return [first_sent or first for first, first_sent in line.values_list("first", "first_sent")]


def next_in_line(customer_ids: Iterable[str], after: int, mirror: str) -> list[int]:
    """The next of all rows that wait for these customer IDs, by primary key: at most a slice."""
    line = _waiting(customer_ids, mirror).filter(pk__gt=after).order_by("pk")
    return list(line.values_list("pk", flat=True)[:CHUNK])


def _waiting(customer_ids: Iterable[str], mirror: str) -> QuerySet[Customer]:
    labels = [source.label for source in _customer_sources()]
    rows = Customer.objects.using(mirror).filter(contested_customer_id__in=list(customer_ids))
    return rows.filter(source_type__in=labels, source_id__isnull=False)


def objects_of(customer_pks: Iterable[int], mirror: str) -> Iterator[tuple[CustomerSource, list[Any]]]:
    """The objects that these rows mirror: keys by source."""
    rows = Customer.objects.using(mirror).filter(pk__in=list(customer_pks), source_id__isnull=False)
    texts: dict[str | None, list[str]] = defaultdict(list)
    for source_type, text in rows.order_by("pk").values_list("source_type", "source_id"):
        texts[source_type].append(text or "")
    for source in _customer_sources():
        if source.label in texts:
            yield source, [source.key_from_text(text) for text in texts[source.label]]


def speaking_of(customer_pks: Iterable[int], mirror: str) -> Iterator[tuple[list[MembershipSource], list[Any], str]]:
    """The objects whose `customer` leads to one of these: keys and their database, by the sources of one model.

    Where `customer` isn't a path over relations nobody can tell, but for an object that is its own customer.
    """
    rows = list(Customer.objects.using(mirror).filter(pk__in=list(customer_pks), source_id__isnull=False))
    together: dict[Any, list[MembershipSource]] = defaultdict(list)
    for source in all_sources():
        if isinstance(source, MembershipSource):
            together[source.model].append(source)
    for model, sources in together.items():
        using = router.db_for_write(model)
        keys = {key for source in sources for key in _keys_speaking_of(source, rows, using)}
        if keys:
            yield sources, sorted(keys), using


def _keys_speaking_of(source: MembershipSource, rows: Sequence[Customer], using: str) -> Iterator[Any]:
    for customer_source in _customer_sources():
        keys = [
            customer_source.key_from_text(row.source_id or "")
            for row in rows
            if row.source_type == customer_source.label
        ]
        if not keys:
            continue
        path = source.path_of("customer")
        steps = relation_steps(source.model, path) if path else None
        if steps and are_kin(steps[-1].target, customer_source.model):
            lookup = "__".join([*(step.lookup for step in steps), "pk__in"])
            theirs = keys_of_kin(customer_source.model, keys, steps[-1].target, using)
            objects = source.model._base_manager.using(using).filter(**{lookup: theirs})
            yield from objects.values_list("pk", flat=True)
        elif are_kin(source.model, customer_source.model):
            yield from keys_of_kin(customer_source.model, keys, source.model, using)


def _customer_sources() -> Iterator[CustomerSource]:
    return (source for source in all_sources() if isinstance(source, CustomerSource))
