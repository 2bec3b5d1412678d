"""Re-reading objects of the site, whatever their models and sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db import router
from django.db.models import Model, QuerySet

from ..exceptions import SourceError
from .base import CustomerSource, MembershipSource, Source
from .captured import Captured
from .customers import capture_customers, detach_customer
from .memberships import capture_memberships, capture_memberships_of, withdraw_memberships
from .reads import is_reading
from .registry import all_sources, sources_of
from .relations import concrete_of, kept_in, key_in, keys_of_kin
from .slices import slices, slices_of_keys


def capture_objects(objects: QuerySet[Any] | Iterable[Model]) -> Captured:
    """Re-reads `objects` through every source of their models. Objects without a source are passed over.

    Each is read where the routers keep it: given a copy from a replica or an archive, the mirror says what the original
    does.
    Raises SourceError for an object without a primary key, and where a source calls it while it reads.
    """
    if is_reading():
        raise SourceError("A source can't have objects captured while it reads one.")
    total = Captured()
    if isinstance(objects, QuerySet) and objects._result_cache is None:
        for keys in slices_of_keys(objects):
            total += capture_keys(objects.model, keys, router.db_for_write(objects.model), patiently=True)
        return total
    for chunk in slices(objects):
        alike: dict[tuple[type[Model], str], list[Model]] = defaultdict(list)
        for obj in chunk:
            _check_key(obj)
            model = obj._meta.model  # the type of a lazy `request.user` is another
            alike[model, kept_in(obj)].append(obj)
        for (_, using), members in alike.items():
            total += capture_chunk(members, using, patiently=True)
    return total


def _check_key(obj: Model) -> None:
    """Without a primary key there is nothing to read again: after `bulk_create(ignore_conflicts=True)`, say."""
    if obj.pk is None or (isinstance(obj.pk, tuple) and None in obj.pk):
        raise SourceError(
            f"An object of {obj._meta.label} has no primary key: it isn't saved, is deleted, or comes from a "
            "bulk_create that doesn't tell keys. Capture a queryset that finds it in the database."
        )


def capture_chunk(objects: Sequence[Model], using: str, *, new: bool = False, patiently: bool = False) -> Captured:
    """Re-reads `objects`, all of one model and at least one, customers before memberships.

    `new`: it is one, and it was made just now. `patiently`: see `capture_customers`.
    """
    model = objects[0]._meta.model

    def keys_for(source: Source) -> Sequence[Any]:
        return _keys(source, objects, using)

    return _capture_kin(model, keys_for, len(objects), using, new=new, patiently=patiently)


def capture_keys(model: type[Model], keys: Iterable[Any], using: str, *, patiently: bool = False) -> Captured:
    """Re-reads the objects of `model` with these keys, each in the type that the database gives it."""
    total = Captured()
    for chunk in slices(keys):

        def keys_for(source: Source, chunk: Sequence[Any] = chunk) -> Sequence[Any]:
            return keys_of_kin(model, chunk, source.model, using)

        total += _capture_kin(model, keys_for, len(chunk), using, patiently=patiently)
    return total


def capture_origins(origins: Iterable[tuple[str, str]]) -> Captured:
    """Re-reads the objects that rows of the mirror are of, as `source_type` and `source_id` name them.

    Those of models without a source are passed over.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for source_type, source_id in origins:
        texts[source_type].append(source_id)
    total = Captured()
    for source in {source.label: source for source in all_sources()}.values():
        if source.label in texts:
            keys = [source.key_from_text(text) for text in texts[source.label]]
            total += capture_keys(source.model, keys, router.db_for_write(source.model))
    return total


def _capture_kin(
    model: type[Model],
    keys_for: Callable[[Source], Sequence[Any]],
    count: int,
    using: str,
    *,
    new: bool = False,
    patiently: bool = False,
) -> Captured:
    """Captures `count` objects of `model` through every source that they may concern."""
    captured = Captured(read=count if sources_of(model) else 0)
    customer_sources = [source for source in sources_of(model) if isinstance(source, CustomerSource)]
    for source in customer_sources:
        is_new = new and concrete_of(source.model) is concrete_of(model)  # the parent of a new object may be an old one
        captured += capture_customers(source, keys_for(source), using, new=is_new, patiently=patiently)
    if len(customer_sources) > 1 and captured.changed:  # an object of a parent may have become one of its child, or was
        for source in customer_sources:
            capture_memberships_of(source, keys_for(source))
    for sources in membership_sources_of(model):
        captured += capture_memberships(sources, keys_for(sources[0]), using, patiently=patiently)
    return captured


def forget_objects(objects: Sequence[Model], using: str) -> None:
    """The rows of these objects, of one model, were deleted: their customers are detached, their memberships end.

    The rows of their own model only: where a parent's row goes as well, that has a signal of its own.
    """
    if len(objects) == 1:
        _forget_object(objects[0])
        return
    model = objects[0]._meta.model
    for chunk in slices(objects):
        for source in sources_of(model):
            if isinstance(source, CustomerSource) and _has_its_row(source, model):
                capture_customers(source, [source.key_of(obj) for obj in chunk], using)
        for sources in membership_sources_of(model):
            if _has_its_row(sources[0], model):
                capture_memberships(sources, [sources[0].key_of(obj) for obj in chunk], using)


def _forget_object(obj: Model) -> None:
    model = obj._meta.model
    for source in sources_of(model):
        if isinstance(source, CustomerSource) and _has_its_row(source, model):
            detach_customer(source, source.key_of(obj))
    for sources in membership_sources_of(model):
        if _has_its_row(sources[0], model):
            withdraw_memberships(sources[0], sources[0].key_of(obj))


def membership_sources_of(model: type[Model]) -> Iterator[list[MembershipSource]]:
    """The membership sources of `model`; those that were registered for one model together."""
    together: dict[type[Model], list[MembershipSource]] = defaultdict(list)
    for source in sources_of(model):
        if isinstance(source, MembershipSource):
            together[source.model].append(source)
    yield from together.values()


def _keys(source: Source, objects: Sequence[Model], using: str) -> Sequence[Any]:
    model = objects[0]._meta.model
    if issubclass(model, concrete_of(source.model)):
        return [source.key_of(obj) for obj in objects]
    return keys_of_kin(model, [key_in(model, obj) for obj in objects], source.model, using)


def _has_its_row(source: Source, model: type[Model]) -> bool:
    return concrete_of(model) is concrete_of(source.model)
