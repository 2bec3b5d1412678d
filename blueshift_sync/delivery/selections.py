"""Rows that are named by a condition instead of one by one, so that a million of them fit into a run's scope."""

from __future__ import annotations

import base64
import json
import pickle  # nosec B403  # of what is signed, below
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self, cast
from uuid import UUID

from django import get_version
from django.apps import apps
from django.core import signing
from django.db import router
from django.db.models import CompositePrimaryKey, Max, Model, Q, QuerySet

from ..exceptions import BlueshiftSyncError

#: What sets the signature of a kept query apart from others that the site makes with its secret key.
SALT = "blueshift_sync.selected_objects"
#: The columns whose values name nobody, so that a run keeps for good what was asked of them.
IMPERSONAL = frozenset({"state", "error_code", "outcome", "code", "endpoint", "kind", "trigger", "is_member"})


class SelectionLost(BlueshiftSyncError):  # noqa: N818 - a finding, not a fault
    """What was selected can't be found any more, so nobody can go on with it."""


@dataclass(frozen=True)
class Selection:
    """The rows of a model of this app that fulfil a condition, whenever they are looked for.

    The condition compares columns, those behind foreign keys too, with plain values: it must have a JSON form.
    """

    model: type[Model]
    where: Q = field(default_factory=Q)

    @classmethod
    def of(cls, rows: Iterable[Model], model: type[Model]) -> Self:
        """Just these rows."""
        return cls(model, Q(pk__in=[row.pk for row in rows]))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` was given for."""
        return cls(apps.get_model("blueshift_sync", value["model"]), _condition(value["where"]))

    def to_json(self) -> dict[str, Any]:
        """For a run's scope. Raises TypeError for a value that has no JSON form."""
        return {"model": self.model._meta.model_name, "where": _json_of(self.where)}

    def only(self, where: Q) -> Selection:
        """Those of the rows that fulfil this condition too."""
        return Selection(self.model, self.where & where)

    def leading_here(self, model: type[Model], path: str) -> Selection:
        """The rows of `model` whose foreign key `path` leads to one of these rows."""
        return Selection(model, _behind(path, self.where))

    @property
    def impersonal(self) -> dict[str, Any]:
        """What all of the rows have in common, as far as it says nothing of a person: values by column."""
        return dict(_equalities(self.where))

    @property
    def rows(self) -> QuerySet[Any]:
        """The rows as the database that is written to has them, in no order."""
        rows: QuerySet[Any] = self.model._default_manager.using(router.db_for_write(self.model)).filter(self.where)
        return rows.order_by()

    @property
    def whole(self) -> dict[str, Any]:
        """The part of the rows that is all of them: no row that is made from now on. For `part_of`."""
        # The highest key of all rows, for that costs nothing.
        highest: int | None = Selection(self.model).rows.aggregate(Max("pk"))["pk__max"]
        return {"after": 0, "until": highest or 0}

    def part_of(self, part: dict[str, Any]) -> QuerySet[Any]:
        """Those of the rows that are still to be gone through."""
        return self.rows.filter(pk__gt=part["after"], pk__lte=part["until"])

    def next_keys(self, part: dict[str, Any], size: int) -> tuple[list[Any], dict[str, Any] | None]:
        """The next so many primary keys, and the part that comes after them; None where they are the last."""
        keys = list(self.part_of(part).order_by("pk").values_list("pk", flat=True)[:size])
        return keys, {**part, "after": keys[-1]} if len(keys) == size else None


@dataclass(frozen=True)
class ObjectSelection:
    """Objects of the site that a query finds, whatever it asks for, in whichever database.

    The site's admin makes that query, from filters, searches and rights that have no other form. So it is kept as
    Django pickles it; with a signature, for only what this site itself has written may be read as a pickle.
    """

    queryset: QuerySet[Any]

    @property
    def model(self) -> type[Model]:
        return self.queryset.model

    @property
    def rows(self) -> QuerySet[Any]:
        """The objects, in no order."""
        return self.queryset.order_by()

    @property
    def impersonal(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` was given for. Raises SelectionLost where it can't be read any more."""
        try:
            kept = signing.Signer(salt=SALT).unsign_object(value["objects"])
        except signing.BadSignature as error:
            raise SelectionLost("The site's SECRET_KEY has changed since the objects were selected.") from error
        if kept["django"] != get_version():
            raise SelectionLost("Django was changed to another version since the objects were selected.")
        try:
            model = apps.get_model(kept["model"])
            queryset: QuerySet[Any] = model._base_manager.using(kept["database"])
            queryset.query = pickle.loads(base64.b64decode(kept["query"]))  # nosec B301  # noqa: S301 - the signature says it is ours
        except Exception as error:
            raise SelectionLost("The site's code has changed since the objects were selected.") from error
        return cls(queryset)

    def to_json(self) -> dict[str, Any]:
        """For a run's scope."""
        query = base64.b64encode(pickle.dumps(self.rows.query)).decode()
        kept = {
            "django": get_version(),
            "model": self.model._meta.label_lower,
            "database": self.queryset.db,
            "query": query,
        }
        return {"objects": signing.Signer(salt=SALT).sign_object(kept, compress=True)}

    @property
    def whole(self) -> dict[str, Any]:
        """For `part_of`: all of the objects, those too that are made until the last has been seen."""
        return {"after": None}

    def part_of(self, part: dict[str, Any]) -> QuerySet[Any]:
        """Those of the objects that are still to be gone through."""
        if part["after"] is None:
            return self.rows
        key, rows = self._key(part["after"]), self.rows
        if isinstance(key, tuple):
            # MySQL and MariaDB use no index to compare several columns at once.
            rows = rows.filter(**{f"{_parts(self.model)[0].name}__gte": key[0]})
        return rows.filter(pk__gt=key)

    def next_keys(self, part: dict[str, Any], size: int) -> tuple[list[Any], dict[str, Any] | None]:
        """As `Selection.next_keys`. Keys that a join repeats are there but once."""
        found = list(self.part_of(part).order_by("pk").values_list("pk", flat=True)[:size])
        rest = {"after": json.loads(json.dumps(found[-1], default=str))} if len(found) == size else None
        return list(dict.fromkeys(found)), rest

    def _key(self, value: Any) -> Any:
        """A primary key, from its JSON form."""
        if isinstance(value, list):
            return tuple(part.to_python(each) for part, each in zip(_parts(self.model), value, strict=True))
        field: Any = self.model._meta.pk
        return field.to_python(value)


AnySelection = Selection | ObjectSelection


def selection_from_json(value: dict[str, Any]) -> AnySelection:
    """What was selected, from a run's scope. Raises SelectionLost where it can't be read any more."""
    return ObjectSelection.from_json(value) if "objects" in value else Selection.from_json(value)


def _parts(model: type[Model]) -> list[Any]:
    key: Any = model._meta.pk
    return list(key.fields) if isinstance(key, CompositePrimaryKey) else [key]


def _behind(path: str, where: Q) -> Q:
    """What `where` asks of the row that `path` leads to."""
    plain: list[Any] = list(where.children)
    children = [_behind(path, child) if isinstance(child, Q) else (f"{path}__{child[0]}", child[1]) for child in plain]
    return Q(*children, _connector=where.connector, _negated=where.negated)


def _equalities(where: Q) -> Iterable[tuple[str, Any]]:
    """Of what must all be true, which impersonal columns have which value."""
    if where.connector != Q.AND or where.negated:
        return
    for child in where.children:
        if isinstance(child, Q):
            yield from _equalities(child)
            continue
        name, value = cast("tuple[str, Any]", child)
        column = name.removesuffix("__exact")
        value = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if column in IMPERSONAL and isinstance(value, str | bool):
            yield column, str(value) if isinstance(value, str) else value


def _json_of(where: Q) -> dict[str, Any]:
    children: list[Any] = [_json_of(child) if isinstance(child, Q) else _comparison(child) for child in where.children]
    return {"connector": where.connector, "negated": where.negated, "children": children}


def _comparison(child: Any) -> list[Any]:
    if not isinstance(child, tuple):
        raise TypeError(f"A selection can't be kept that has a {type(child).__name__} in its condition.")
    name, value = child
    return [name, _value(value)]


def _condition(value: dict[str, Any]) -> Q:
    children = [_condition(child) if isinstance(child, dict) else tuple(child) for child in value["children"]]
    return Q(*children, _connector=value["connector"], _negated=value["negated"])


def _value(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(each) for each in value]
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return str(value) if isinstance(value, str) else value
    raise TypeError(f"A selection can't be kept that compares with a {type(value).__name__}.")
