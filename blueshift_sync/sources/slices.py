"""Going through many rows by slices of their primary keys.

Each slice is a query of its own. So nothing is kept in memory or held open in the database while a slice is worked on
and committed, and it makes no difference how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from django.db.models import CompositePrimaryKey, QuerySet

from .relations import key_parts

#: Objects read and rows written at a time.
CHUNK = 500

Item = TypeVar("Item")


def slices(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of CHUNK."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def slices_of_keys(queryset: QuerySet[Any]) -> Iterator[list[Any]]:
    """The primary keys of a queryset's objects, each once, in lists of at most CHUNK."""
    query = queryset.query
    if query.is_sliced or query.combinator or query.distinct_fields:  # it can't be cut any further
        yield from slices(dict.fromkeys(queryset.values_list("pk", flat=True)))
    else:
        yield from slices_of_values(queryset, "pk")


def slices_of_values(queryset: QuerySet[Any], name: str) -> Iterator[list[Any]]:
    """The values of a field that has an index and isn't NULL, each once, in lists of at most CHUNK."""
    rows = queryset.order_by(name).values_list(name, flat=True)
    values = list(rows[:CHUNK])
    while values:
        yield list(dict.fromkeys(values))  # joins may repeat some
        values = list(_after(rows, name, values[-1])[:CHUNK]) if len(values) == CHUNK else []


def _after(rows: QuerySet[Any, Any], name: str, value: Any) -> QuerySet[Any, Any]:
    field: Any = rows.model._meta.pk
    if name == "pk" and isinstance(field, CompositePrimaryKey):
        # MySQL and MariaDB use no index to compare several columns at once.
        rows = rows.filter(**{f"{key_parts(field)[0].name}__gte": value[0]})
    return rows.filter(**{f"{name}__gt": value})
