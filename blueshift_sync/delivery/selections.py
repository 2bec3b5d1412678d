"""Rows that are named by a condition instead of one by one, so that a million of them fit into a run's scope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self
from uuid import UUID

from django.apps import apps
from django.db import router
from django.db.models import Max, Model, Q, QuerySet


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

    @property
    def rows(self) -> QuerySet[Any]:
        """The rows as the database that is written to has them, in no order."""
        rows: QuerySet[Any] = self.model._default_manager.using(router.db_for_write(self.model)).filter(self.where)
        return rows.order_by()

    def after(self, pk: int, until: int, size: int) -> list[int]:
        """The next so many primary keys."""
        found = self.rows.filter(pk__gt=pk, pk__lte=until).order_by("pk")
        return list(found.values_list("pk", flat=True)[:size])

    def last_key(self) -> int:
        """A key that rows made from now on are above. Of all rows, for that costs nothing."""
        highest: int | None = Selection(self.model).rows.aggregate(Max("pk"))["pk__max"]
        return highest or 0


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
