"""Which models have a source."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from django.db.models import Model

from ..exceptions import SourceError
from .base import CustomerSource, MembershipSource, Source
from .relations import are_kin, concrete_of

_sources: dict[type[Model], list[Source]] = {}
_missing: list[tuple[type[Source], str]] = []


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
    _forget_answers()
    return source


def remove(model: type[Model]) -> list[Source]:
    """Forgets the sources of `model`, and returns them."""
    _forget_answers()
    return _sources.pop(model, [])


def note_missing(source_class: type[Source], name: str) -> None:
    """Notes that `source_class` should mirror a model that isn't installed."""
    _missing.append((source_class, name))


def missing_models() -> list[tuple[type[Source], str]]:
    """The sources that were registered for a model that isn't installed, and what they call it."""
    return list(_missing)


def _kind_of(source_class: type[Source]) -> type[Source]:
    for kind in (CustomerSource, MembershipSource):
        if issubclass(source_class, kind):
            return kind
    raise SourceError(f"{source_class.__name__} is neither a CustomerSource nor a MembershipSource.")


def all_sources() -> Iterator[Source]:
    """Every registered source, those of customers first."""
    everything = [source for sources in _sources.values() for source in sources]
    return iter(sorted(everything, key=lambda source: isinstance(source, MembershipSource)))


@cache
def sources_of(model: type[Model]) -> list[Source]:
    """The sources that an object of `model` may concern: its own, and those of its parents, children and proxies.

    Of the customer sources of one table only the nearest one; those of parents come before those of their children.
    """
    kin = [source for source in all_sources() if are_kin(source.model, model)]
    customer_sources = {
        concrete_of(source.model): _customer_source_of_table(model, concrete_of(source.model))
        for source in kin
        if isinstance(source, CustomerSource)
    }
    parents_first = sorted(customer_sources, key=lambda table: len(table.__mro__))
    return [
        *(source for table in parents_first if (source := customer_sources[table]) is not None),
        *(source for source in kin if isinstance(source, MembershipSource)),
    ]


@cache
def customer_source_of(model: type[Model]) -> CustomerSource | None:
    """The source that mirrors objects of `model` as customers, if there is one: its own, or its nearest parent's."""
    for ancestor in model.__mro__:
        if issubclass(ancestor, Model) and ancestor is not Model:
            source = _customer_source_of_table(ancestor, concrete_of(ancestor))
            if source is not None:
                return source
    return None


def first_customer_source_of(model: type[Model]) -> CustomerSource | None:
    """Of the customer sources that an object of `model` may concern, the one that is furthest up."""
    return next((source for source in sources_of(model) if isinstance(source, CustomerSource)), None)


def _customer_source_of_table(model: type[Model], table: type[Model]) -> CustomerSource | None:
    """The customer source of this table's model or of a proxy of it, and rather that of `model` itself."""
    alike = [source for source in _customer_sources() if concrete_of(source.model) is table]
    return max(alike, key=lambda source: source.model is model, default=None)


@cache
def customer_sources_of_children(model: type[Model]) -> list[CustomerSource]:
    """The customer sources of models derived from this one, with tables of their own: their objects are theirs."""
    return [source for source in _customer_sources() if _derives(source.model, model)]


def _customer_sources() -> list[CustomerSource]:
    return [source for source in all_sources() if isinstance(source, CustomerSource)]


def _derives(child: type[Model], parent: type[Model]) -> bool:
    child, parent = concrete_of(child), concrete_of(parent)
    return child is not parent and issubclass(child, parent)


def _forget_answers() -> None:
    for answered in (sources_of, customer_source_of, customer_sources_of_children):
        answered.cache_clear()
