"""Queries about one row, for the path that every save of the site takes.

Django writes the text of a query anew each time, which takes longer than the database needs to answer it. Here a
SELECT is written once, by Django, for each database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

from .trips import takes_several

Row = TypeVar("Row", bound=Model)
Other = TypeVar("Other", bound=Model)


@dataclass(frozen=True)
class _Written:
    """The text of a SELECT, and how to turn what it returns into the values of `attributes`."""

    sql: str
    converters: dict[int, tuple[list[Any], Any]]
    attributes: list[str]


@dataclass(frozen=True)
class Query(Generic[Row]):
    """A SELECT with its parameters, to be asked of the database `using`."""

    model: type[Row]
    using: str
    written: _Written
    parameters: list[Any]

    def rows(self) -> list[Row]:
        """What the database answers."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(self.written.sql, self.parameters)
            return self._made_of(cursor.fetchall())

    def rows_with(self, later: Query[Other]) -> tuple[list[Row], list[Other]]:
        """The answers to two queries; the second one sees what was committed until the first was answered."""
        connection = connections[self.using]
        if later.using != self.using or not takes_several(connection):
            return self.rows(), later.rows()
        with connection.cursor() as cursor:
            cursor.execute(f"{self.written.sql}; {later.written.sql}", [*self.parameters, *later.parameters])
            rows = self._made_of(cursor.fetchall())
            cursor.nextset()
            return rows, later._made_of(cursor.fetchall())

    def _made_of(self, found: Iterable[Sequence[Any]]) -> list[Row]:
        connection, written = connections[self.using], self.written
        if written.converters:
            found = rows = [list(row) for row in found]
            for row in rows:
                for position, (converters, expression) in written.converters.items():
                    for convert in converters:
                        row[position] = convert(row[position], expression, connection)
        return [self.model.from_db(self.using, written.attributes, row) for row in found]


class Select(Generic[Row]):
    """Whole rows by the exact values of `fields`, from a plain queryset: no joins, no annotations."""

    def __init__(self, queryset: QuerySet[Row], *fields: str) -> None:
        self._queryset = queryset
        self._fields: list[Any] = [queryset.model._meta.get_field(name) for name in fields]
        self._written: dict[str, _Written] = {}

    def query(self, using: str, *values: Any) -> Query[Row]:
        """The query for the rows whose fields have these values."""
        connection = connections[using]
        return Query(
            self._queryset.model,
            using,
            self._written.get(using) or self._write(using, values),
            [field.get_db_prep_value(value, connection) for field, value in zip(self._fields, values, strict=True)],
        )

    def _write(self, using: str, values: Sequence[Any]) -> _Written:
        queryset = self._queryset.using(using)
        for field, value in zip(self._fields, values, strict=True):
            queryset = queryset.filter(**{field.name: value})  # one by one: the parameters keep this order
        compiler: Any = queryset.query.get_compiler(using)
        sql, _ = compiler.as_sql()
        columns = [column for column, *_ in compiler.select]
        written = _Written(sql, compiler.get_converters(columns), [column.target.attname for column in columns])
        self._written[using] = written
        return written
