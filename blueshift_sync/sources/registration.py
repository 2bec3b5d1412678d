"""Registering sources: known to the registry, and listened for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from . import registry
from .base import Source
from .receivers import connect, disconnect

SourceClass = TypeVar("SourceClass", bound=type[Source])


def register(*models: type[Model]) -> Callable[[SourceClass], SourceClass]:
    """Class decorator: mirrors the objects of `models` as the decorated source says.

    Raises SourceError where the class is no source or the model has one of its kind already.
    """

    def decorate(source_class: SourceClass) -> SourceClass:
        for model in models:
            connect(registry.add(source_class, model))
        return source_class

    return decorate


def unregister(model: type[Model]) -> None:
    """Forgets the sources of `model`; for tests."""
    for source in registry.remove(model):
        disconnect(source)


def autodiscover() -> None:
    """Imports `blueshift.py` of every installed app, as the admin does with `admin.py`."""
    autodiscover_modules("blueshift")
