"""Which models have a source, and finding each app's `blueshift.py` at start-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from ..exceptions import SourceError
from .base import CustomerSource, MembershipSource, Source

SourceClass = TypeVar("SourceClass", bound=type[Source])

_sources: dict[type[Model], list[Source]] = {}


def register(*models: type[Model]) -> Callable[[SourceClass], SourceClass]:
    """Class decorator: mirrors the objects of `models` as the decorated source says.

    Raises SourceError where the class is no source or the model has one of its kind already.
    """

    def decorate(source_class: SourceClass) -> SourceClass:
        for model in models:
            _add(source_class, model)
        return source_class

    return decorate


def _add(source_class: type[Source], model: type[Model]) -> None:
    kind = _kind_of(source_class)
    if model._meta.abstract:
        raise SourceError(f"{model.__name__} is abstract; register {source_class.__name__} for its subclasses.")
    if kind is CustomerSource and any(isinstance(source, kind) for source in _sources.get(model, [])):
        raise SourceError(
            f"{model._meta.label} already has a customer source; {source_class.__name__} is a second one."
        )
    source = source_class()
    source.model = model
    _sources.setdefault(model, []).append(source)

    from .receivers import connect  # noqa: PLC0415 - receivers need the registry

    connect(source)


def _kind_of(source_class: type[Source]) -> type[Source]:
    for kind in (CustomerSource, MembershipSource):
        if issubclass(source_class, kind):
            return kind
    raise SourceError(f"{source_class.__name__} is neither a CustomerSource nor a MembershipSource.")


def unregister(model: type[Model]) -> None:
    """Forgets the sources of `model`; for tests."""
    from .receivers import disconnect  # noqa: PLC0415 - as above

    for source in _sources.pop(model, []):
        disconnect(source)


def all_sources() -> Iterator[Source]:
    """Every registered source, those of customers first."""
    everything = [source for sources in _sources.values() for source in sources]
    return iter(sorted(everything, key=lambda source: isinstance(source, MembershipSource)))


def sources_of(model: type[Model]) -> list[Source]:
    """The sources of `model` and, for a proxy or a child, of the models it derives from.

    Of the customer sources only the nearest one, so that an object is one customer.
    """
    found = [source for ancestor in model.__mro__ for source in _sources.get(ancestor, [])]
    nearest = next((source for source in found if isinstance(source, CustomerSource)), None)
    return [source for source in found if source is nearest or isinstance(source, MembershipSource)]


def customer_source_of(model: type[Model]) -> CustomerSource | None:
    """The source that mirrors objects of `model` as customers, if there is one."""
    return next((source for source in sources_of(model) if isinstance(source, CustomerSource)), None)


def autodiscover() -> None:
    """Imports `blueshift.py` of every installed app, as the admin does with `admin.py`."""
    autodiscover_modules("blueshift")
