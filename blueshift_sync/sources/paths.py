"""Reading a value off an object of the site, along a path such as `subscription__plan__code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.db.models.manager import BaseManager


def read_path(obj: Any, path: str) -> Any:
    """The value at the end of `path`; None where a relation on the way is empty.

    Methods without arguments are called. In a dictionary or a list, as a JSONField holds them, a step is a key or a
    position, as in Django's queries; None where there is nothing. Raises AttributeError where a step doesn't exist.
    """
    value = obj
    for step in path.split("__"):
        if value is None:
            return None
        value = _read_step(value, step)
    return value


def _read_step(value: Any, step: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(step)
    if isinstance(value, list | tuple) and step.isdecimal():
        return value[int(step)] if int(step) < len(value) else None
    try:
        found = getattr(value, step)
    except ObjectDoesNotExist:  # the other side of a one-to-one relation
        return None
    is_method = callable(found) and not isinstance(found, BaseManager | Model)
    return found() if is_method else found
