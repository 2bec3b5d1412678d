"""Statements about one row, for the path that every save of the site takes.

Django writes the text of a query anew each time, which takes longer than the database needs to answer it. Here a
SELECT is written once, by Django, for each database; and an UPDATE or an INSERT names the columns that matter only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.models import Field, Model, QuerySet

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class _Written:
    """The text of a SELECT, and how to turn what it returns into the values of `attributes`."""

    sql: str
    converters: dict[int, tuple[list[Any], Any]]
    attributes: list[str]


class Select(Generic[Row]):
    """Whole rows by the exact values of `fields`, from a plain queryset: no joins, no annotations."""

    def __init__(self, queryset: QuerySet[Row], *fields: str) -> None:
        self._queryset = queryset
        self._fields: list[Any] = [queryset.model._meta.get_field(name) for name in fields]
        self._written: dict[str, _Written] = {}

    def rows(self, using: str, *values: Any) -> list[Row]:
        """The rows whose fields have these values."""
        connection = connections[using]
        written = self._written.get(using) or self._write(using, values)
        parameters = [
            field.get_db_prep_value(value, connection) for field, value in zip(self._fields, values, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(written.sql, parameters)
            found = [list(row) for row in cursor.fetchall()]
        for row in found:
            for position, (converters, expression) in written.converters.items():
                for convert in converters:
                    row[position] = convert(row[position], expression, connection)
        return [self._queryset.model.from_db(using, written.attributes, row) for row in found]

    def _write(self, using: str, values: tuple[Any, ...]) -> _Written:
        queryset = self._queryset.using(using)
        for field, value in zip(self._fields, values, strict=True):
            queryset = queryset.filter(**{field.name: value})  # one by one: the parameters keep this order
        compiler: Any = queryset.query.get_compiler(using)
        sql, _ = compiler.as_sql()
        columns = [column for column, *_ in compiler.select]
        written = _Written(sql, compiler.get_converters(columns), [column.target.attname for column in columns])
        self._written[using] = written
        return written


def update_row(row: Model, fields: Iterable[Field[Any, Any]], using: str) -> None:
    """Writes these fields of a row that is there and locked. No signals; nothing where there are no fields."""
    connection = connections[using]
    quote = connection.ops.quote_name
    columns, parameters = _columns(row, fields, using)
    if columns:
        key: Any = row._meta.pk
        assignments = ", ".join(f"{column} = %s" for column in columns)
        sql = f"UPDATE {quote(row._meta.db_table)} SET {assignments} WHERE {quote(key.column)} = %s"  # noqa: S608 - names
        with connection.cursor() as cursor:
            cursor.execute(sql, [*parameters, row.pk])


def insert_row(row: Model, using: str) -> None:
    """Writes a new row, and leaves out what is NULL anyway. No signals, and the row isn't told its key."""
    connection = connections[using]
    known = [field for field in row._meta.concrete_fields if getattr(row, field.attname) is not None]
    columns, parameters = _columns(row, known, using)
    places = ", ".join(["%s"] * len(columns))
    table = connection.ops.quote_name(row._meta.db_table)
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names, no values
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def _columns(row: Model, fields: Iterable[Any], using: str) -> tuple[list[str], list[Any]]:
    """The quoted names of the columns, and what the database takes for their values."""
    connection = connections[using]
    names, values = [], []
    for field in fields:
        names.append(connection.ops.quote_name(field.column))
        values.append(field.get_db_prep_save(getattr(row, field.attname), connection))
    return names, values
