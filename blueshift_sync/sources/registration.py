"""Registering sources: known to the registry, and listened for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from ..exceptions import SourceError
from . import registry
from .base import Source
from .receivers import connect, disconnect
from .relations import installed_model, name_of
from .watch_receivers import connect_watches, disconnect_watches

SourceClass = TypeVar("SourceClass", bound=type[Source])


def register(*models: type[Model] | str) -> Callable[[SourceClass], SourceClass]:
    """Class decorator: mirrors the objects of `models` as the decorated source says.

    A model is a class or a name such as "auth.User". One whose app isn't installed is left to the system checks.
    Raises SourceError where no model is given, the class is no source or the model has one of its kind already.
    """
    if not models or any(isinstance(model, type) and issubclass(model, Source) for model in models):
        raise SourceError("register needs a model: write @register(User), say, above the source.")

    def decorate(source_class: SourceClass) -> SourceClass:
        for model_or_name in models:
            model = installed_model(model_or_name)
            if model is None:
                registry.note_missing(source_class, name_of(model_or_name))
                continue
            source = registry.add(source_class, model)
            connect(source)
            connect_watches(source)
        return source_class

    return decorate


def unregister(model: type[Model]) -> None:
    """Forgets the sources of `model`; for tests."""
    for source in registry.remove(model):
        disconnect(source)
        disconnect_watches(source)


def autodiscover() -> None:
    """Imports `blueshift.py` of every installed app, as the admin does with `admin.py`."""
    autodiscover_modules("blueshift")
