"""Reading the site's objects as the database has them now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model

from .base import Source


def fresh_objects(source: Source, keys: Sequence[Any], using: str | None) -> list[Model]:
    """The objects as the database has them now: one in memory may hold old values beside the one it saved.

    `get_queryset` is asked first, for its `select_related`; what it leaves out is read all the same.
    """
    found = {obj.pk: obj for obj in source.get_queryset().using(using).filter(pk__in=keys)}  # joins may repeat some
    missing = set(keys) - found.keys()
    if missing:
        found |= {obj.pk: obj for obj in source.model._base_manager.using(using).filter(pk__in=missing)}
    return list(found.values())
