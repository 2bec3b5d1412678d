"""Reading the site's objects as the database has them now."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.models import CompositePrimaryKey, Model, QuerySet
from django.db.models.manager import BaseManager

from .base import Source
from .statements import Select


def fresh_objects(source: Source, keys: Sequence[Any], using: str | None) -> list[Model]:
    """The objects as the database has them now: one in memory may hold old values beside the one it saved.

    `get_queryset` is asked first, for its `select_related`; what it leaves out is read all the same.
    """
    if len(keys) == 1 and using is not None and _is_plain(source):
        return _select(source.model).rows(using, keys[0])
    found = {obj.pk: obj for obj in source.get_queryset().using(using).filter(pk__in=keys)}  # joins may repeat some
    missing = set(keys) - found.keys()
    if missing:
        found |= {obj.pk: obj for obj in source.model._base_manager.using(using).filter(pk__in=missing)}
    return list(found.values())


def _is_plain(source: Source) -> bool:
    """Whether the source's queryset is nothing but all rows, each by itself."""
    manager: Any = source.model._default_manager
    return (
        type(source).get_queryset is Source.get_queryset
        and type(manager).get_queryset is BaseManager.get_queryset
        and manager._queryset_class is QuerySet
        and not isinstance(source.model._meta.pk, CompositePrimaryKey)
    )


@cache
def _select(model: type[Model]) -> Select[Model]:
    return Select(model._default_manager.all(), model._meta.pk.name)
