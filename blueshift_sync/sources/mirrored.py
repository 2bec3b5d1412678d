"""Which rows of the mirror are of which objects of the site."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db import router
from django.db.models import Model, Q, QuerySet

from ..models import Customer, ListMembership
from .base import CustomerSource, MembershipSource, Source
from .capture import capture_keys
from .readings import key_text
from .registry import sources_of
from .relations import key_in, pairs_of_kin
from .slices import slices, slices_of_keys

MirrorModel = type[Customer] | type[ListMembership]

SOURCES_OF_KIND: dict[MirrorModel, type[Source]] = {Customer: CustomerSource, ListMembership: MembershipSource}

#: What a source is called, and the text of its object's key, with the key that the object has as one of another model.
_Names = Mapping[tuple[str, str], Any]


def is_mirrored_as(kind: MirrorModel, model: type[Model]) -> bool:
    """Whether objects of `model` can have rows of this kind."""
    return any(isinstance(source, SOURCES_OF_KIND[kind]) for source in sources_of(model))


def rows_of(rows: QuerySet[Any], objects: Sequence[Model]) -> dict[Any, list[Any]]:
    """Those of `rows`, which are customers or memberships, that mirror the objects, by the objects' primary keys.

    The objects are of one model and one database. It takes one query, and one more for each parent or child with a
    source and a key of its own.
    """
    if not objects:
        return {}
    model, using = objects[0]._meta.model, objects[0]._state.db or router.db_for_read(objects[0]._meta.model)
    names = _names(rows.model, model, [key_in(model, obj) for obj in objects], using)
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in _named(rows, names):
        found[names[row.source_type, row.source_id]].append(row)
    return found


def pks_of(kind: MirrorModel, objects: QuerySet[Any] | Iterable[Model]) -> Iterator[int]:
    """The primary keys of the rows of this kind that mirror the objects, by slices.

    Objects that no signal has told of yet are captured.
    """
    for model, keys, using in _keys_of(objects):
        if is_mirrored_as(kind, model):
            yield from pks_of_keys(kind, model, keys, using)


def known_pks_of(kind: MirrorModel, model: type[Model], keys: Sequence[Any], using: str) -> list[int]:
    """The primary keys of the rows of this kind that mirror the objects with these keys, as far as there are any."""
    return list(_look(kind, model, keys, using))


def _keys_of(objects: QuerySet[Any] | Iterable[Model]) -> Iterator[tuple[type[Model], Sequence[Any], str]]:
    if isinstance(objects, QuerySet):
        for keys in slices_of_keys(objects):
            yield objects.model, keys, objects.db
        return
    for chunk in slices(objects):
        alike: dict[tuple[type[Model], str], list[Any]] = defaultdict(list)
        for obj in chunk:
            model = obj._meta.model
            alike[model, obj._state.db or router.db_for_read(model)].append(key_in(model, obj))
        for (model, using), keys in alike.items():
            yield model, keys, using


def pks_of_keys(kind: MirrorModel, model: type[Model], keys: Sequence[Any], using: str) -> list[int]:
    """As `pks_of`, of the objects with these keys, which are few enough for one query."""
    found = _look(kind, model, keys, using)
    if unseen := set(keys) - set(found.values()):
        capture_keys(model, list(unseen), router.db_for_write(model), patiently=True)
        found = _look(kind, model, keys, using)
    return list(found)


def _look(kind: MirrorModel, model: type[Model], keys: Sequence[Any], using: str) -> dict[int, Any]:
    """The rows' primary keys, with those of the objects."""
    names = _names(kind, model, keys, using)
    rows = _named(kind._default_manager.using(router.db_for_write(kind)), names)
    found = rows.values_list("pk", "source_type", "source_id")
    return {pk: names[source_type, source_id] for pk, source_type, source_id in found}


def _names(kind: MirrorModel, model: type[Model], keys: Sequence[Any], using: str) -> _Names:
    models = {source.label: source.model for source in sources_of(model) if isinstance(source, SOURCES_OF_KIND[kind])}
    return {
        (label, key_text(other_key)): key
        for label, other in models.items()
        for key, other_key in pairs_of_kin(model, keys, other, using)
    }


def _named(rows: QuerySet[Any], names: _Names) -> QuerySet[Any]:
    texts_by_label: dict[str, list[str]] = defaultdict(list)
    for label, text in names:
        texts_by_label[label].append(text)
    if not texts_by_label:
        return rows.none()
    return rows.filter(reduce(or_, (Q(source_type=label, source_id__in=ids) for label, ids in texts_by_label.items())))
