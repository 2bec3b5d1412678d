"""Which models have a source."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Model

from ..exceptions import SourceError
from .base import CustomerSource, MembershipSource, Source

_sources: dict[type[Model], list[Source]] = {}


def add(source_class: type[Source], model: type[Model]) -> Source:
    """Notes that `source_class` mirrors the objects of `model`. Raises SourceError where it can't."""
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
    return source


def remove(model: type[Model]) -> list[Source]:
    """Forgets the sources of `model`, and returns them."""
    return _sources.pop(model, [])


def _kind_of(source_class: type[Source]) -> type[Source]:
    for kind in (CustomerSource, MembershipSource):
        if issubclass(source_class, kind):
            return kind
    raise SourceError(f"{source_class.__name__} is neither a CustomerSource nor a MembershipSource.")


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
