"""Reading the site's objects as the database has them now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from django.db.models import CompositePrimaryKey, Model, QuerySet
from django.db.models.manager import BaseManager

from .base import CustomerSource, Source
from .queries import Query, Select
from .registry import customer_sources_of_children
from .relations import key_name


def fresh_objects(source: Source, keys: Sequence[Any], using: str) -> list[Model]:
    """The objects as the database has them now: one in memory may hold old values beside the one it saved.

    `get_queryset` is asked first, for its `select_related`; what it leaves out is read all the same. An object of a
    child of the model with a customer source of its own is that one's customer, and not this one's.
    """
    query = fresh_query(source, keys, using)
    if query is not None:
        return query.rows()
    if isinstance(source, CustomerSource):
        keys = _without_those_of_children(source, keys, using)
    keys = list(keys)  # of a composite key no other kind of sequence will do
    found = {obj.pk: obj for obj in source.get_queryset().using(using).filter(pk__in=keys)}  # joins may repeat some
    missing = set(keys) - found.keys()
    if missing:
        found |= {obj.pk: obj for obj in source.model._base_manager.using(using).filter(pk__in=list(missing))}
    return list(found.values())


def fresh_query(source: Source, keys: Sequence[Any], using: str) -> Query[Model] | None:
    """The same as one plain query, where there is one key and the source's own queryset adds nothing."""
    return _select(source.model).query(using, keys[0]) if len(keys) == 1 and _is_plain(source) else None


def _is_plain(source: Source) -> bool:
    """Whether the source's queryset is nothing but all rows, each by itself, and they are all its own."""
    manager: Any = source.model._default_manager
    return (
        type(source).get_queryset is Source.get_queryset
        and type(manager).get_queryset is BaseManager.get_queryset
        and manager._queryset_class is QuerySet
        and not isinstance(source.model._meta.pk, CompositePrimaryKey)
        and not (isinstance(source, CustomerSource) and customer_sources_of_children(source.model))
    )


@cache
def _select(model: type[Model]) -> Select[Model]:
    return Select(model._default_manager.all(), model._meta.pk.name)


def _without_those_of_children(source: CustomerSource, keys: Sequence[Any], using: str) -> Sequence[Any]:
    children = customer_sources_of_children(source.model)
    theirs = {key for child in children for key in keys_of_child(child, keys, source, using)}
    return [key for key in keys if key not in theirs]


def keys_of_child(child: Source, keys: Iterable[Any], parent: Source, using: str) -> dict[Any, Any]:
    """Which objects of `parent` with these keys are objects of `child` as well: their keys there, by those here."""
    key = key_name(parent.model)
    rows = child.model._base_manager.using(using).filter(**{f"{key}__in": list(keys)})
    return dict(rows.values_list(key, "pk"))
