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
        return
    rows = queryset.order_by("pk").values_list("pk", flat=True)
    keys = list(rows[:CHUNK])
    while keys:
        yield list(dict.fromkeys(keys))  # joins may repeat some
        keys = list(_after(rows, keys[-1])[:CHUNK]) if len(keys) == CHUNK else []


def _after(rows: QuerySet[Any, Any], key: Any) -> QuerySet[Any, Any]:
    field: Any = rows.model._meta.pk
    if isinstance(field, CompositePrimaryKey):  # MySQL and MariaDB use no index to compare several columns at once
        rows = rows.filter(**{f"{key_parts(field)[0].name}__gte": key[0]})
    return rows.filter(pk__gt=key)
