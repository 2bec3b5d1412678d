"""Following a path over relations without an object: which models it passes, and how a query names each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.models import (
    CharField,
    CompositePrimaryKey,
    ForeignKey,
    ForeignObjectRel,
    ManyToManyField,
    ManyToManyRel,
    Model,
    QuerySet,
    TextField,
)
from django.db.models.base import ModelState


@dataclass(frozen=True)
class Step:
    """One relation on a path: from `origin` to `target`, called `lookup` in a query."""

    origin: type[Model]
    target: type[Model]
    lookup: str
    relation: Any

    @property
    def is_forward(self) -> bool:
        """Whether the origin's own row says where it leads: a foreign key there."""
        return isinstance(self.relation, ForeignKey)

    @property
    def many_to_many(self) -> Any:
        """The field with the relation's rows in between, where it is one of many to many."""
        if isinstance(self.relation, ManyToManyField):
            return self.relation
        return self.relation.field if isinstance(self.relation, ManyToManyRel) else None


def relation_steps(model: type[Model], path: str) -> list[Step] | None:
    """The steps of `path` from `model`; None where one of them isn't a relation that a query could follow."""
    steps: list[Step] = []
    for name in path.split("__"):
        relation = relation_called(model, name)
        if relation is None:
            return None
        lookup = relation.name if not isinstance(relation, ForeignObjectRel) else relation.field.related_query_name()
        steps.append(Step(model, relation.related_model, lookup, relation))
        model = relation.related_model
    return steps


def relation_called(model: type[Model], name: str) -> Any:
    """The relation that `model` has under this name, of the attribute or as in a query; None if there is none."""
    for relation in model._meta.related_objects:
        if relation.get_accessor_name() == name:
            return relation
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    is_relation = isinstance(found, ForeignKey | ManyToManyField | ForeignObjectRel)
    is_key_alone = getattr(found, "attname", name) == name != found.name
    return found if is_relation and not is_key_alone and isinstance(found.related_model, type) else None


def installed_model(model_or_name: type[Model] | str) -> type[Model] | None:
    """The model, which may be called by a name such as "auth.User"; None where its app isn't installed."""
    try:
        if isinstance(model_or_name, str):
            return apps.get_model(model_or_name)
        apps.get_app_config(model_or_name._meta.app_label)
    except (LookupError, ValueError, AttributeError):
        return None
    return model_or_name


def name_of(model_or_name: Any) -> str:
    """The model's name, such as "auth.User", in whatever way it was given."""
    return model_or_name._meta.label if hasattr(model_or_name, "_meta") else str(model_or_name)


def family(model: type[Model]) -> list[type[Model]]:
    """The models whose objects are rows of this model's table: it, what derives from it, and all their proxies."""
    concrete = concrete_of(model)
    return [candidate for candidate in apps.get_models(include_auto_created=True) if issubclass(candidate, concrete)]


def concrete_of(model: type[Model]) -> type[Model]:
    """The model that has the table: itself, unless it is a proxy."""
    concrete: type[Model] | None = model._meta.concrete_model
    return concrete or model


def kept_in(obj: Model) -> str:
    """The database in which the routers keep `obj`, wherever this copy of it comes from."""
    bare = copy(obj)
    bare._state = ModelState()  # or Django says that it belongs wherever it is
    return router.db_for_write(obj._meta.model, instance=bare)


def kept_beside(model: type[Model], using: str, related: type[Model]) -> str:
    """The database of the `related` objects that have to do with an object of `model` in the database `using`.

    That is where the routers keep their model; or the very same one, where routers go by the object.
    """
    return router.db_for_write(related) if using == router.db_for_write(model) else using


def are_kin(one: type[Model], other: type[Model]) -> bool:
    """Whether an object of one may be an object of the other: proxies of a table, parents and children."""
    one, other = concrete_of(one), concrete_of(other)
    return issubclass(one, other) or issubclass(other, one)


def shares_key(one: type[Model], other: type[Model]) -> bool:
    """Whether an object has the same primary key as either of these kin."""
    child, parent = concrete_of(one), concrete_of(other)
    if issubclass(parent, child):
        child, parent = parent, child
    while child is not parent:
        link = child._meta.pk.remote_field
        if link is None or not link.parent_link:
            return False
        child = concrete_of(link.model)
    return True


def key_parts(key: CompositePrimaryKey) -> list[Any]:
    """The fields of a primary key that is made of several."""
    return list(key.fields)


def text_in_key(model: type[Model]) -> list[Any]:
    """The fields that hold text, of those that the primary key is made of or comes from."""
    field: Any = model._meta.pk
    parts = key_parts(field) if isinstance(field, CompositePrimaryKey) else [field]
    return [origin for origin in map(_origin_of, parts) if isinstance(origin, CharField | TextField)]


def _origin_of(field: Any) -> Any:
    """The field that a foreign key, and those that it leads over, has its values from."""
    while field.is_relation:
        field = field.target_field
    return field


def key_in(model: type[Model], obj: Any) -> Any:
    """The primary key that `obj` has as a `model`, in the type that the database gives it."""
    field: Any = model._meta.pk
    if isinstance(field, CompositePrimaryKey):
        return tuple(part.to_python(getattr(obj, part.attname)) for part in key_parts(field))
    return field.to_python(getattr(obj, field.attname))


def keys_of_kin(model: type[Model], keys: Sequence[Any], other: type[Model], using: str) -> Sequence[Any]:
    """The keys that objects of `model` with these keys have as objects of `other`, which is its kin."""
    return keys if shares_key(model, other) else [key for _, key in pairs_of_kin(model, keys, other, using)]


def pairs_of_kin(model: type[Model], keys: Sequence[Any], other: type[Model], using: str) -> Iterable[tuple[Any, Any]]:
    """As `keys_of_kin`, each with the key that it belongs to."""
    if shares_key(model, other):
        return zip(keys, keys, strict=True)
    model, other = concrete_of(model), concrete_of(other)
    if issubclass(other, model):
        return _rows(other, using).filter(**{f"{key_name(model)}__in": keys}).values_list(key_name(model), "pk")
    return _rows(model, using).filter(pk__in=keys).values_list("pk", key_name(other))


def _rows(model: type[Model], using: str) -> QuerySet[Any]:
    return model._base_manager.using(using)


def key_name(model: type[Model]) -> str:
    """The name of the primary key, which children of the model inherit."""
    name: str = model._meta.pk.name
    return name
