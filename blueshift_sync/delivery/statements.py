"""SQL for what is done to every record of a backlog, where the ORM takes longer to say it than the database to do it.

The two functions are what `QuerySet.update` and `bulk_create` are, for plain values and nothing else: no model
instances, no signals. What can't be mistaken for anything else, such as a number, is written into the statement itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connections, router
from django.db.models import Field


class Column(NamedTuple):
    """The row's own value of another column."""

    name: str


def update_rows(model: type[Any], pks: Iterable[int], values: Mapping[str, Any], **condition: Any) -> int:
    """Gives the rows with these keys the `values`, as far as they fulfil the condition. Returns how many did."""
    keys = ",".join(f"{pk:d}" for pk in pks)
    if not keys:
        return 0
    sql = _Statement(model)
    assignments = ", ".join(f"{sql.column(name)} = {sql.literal(name, value)}" for name, value in values.items())
    conditions = [f"{sql.column(name)} = {sql.literal(name, value)}" for name, value in condition.items()]
    where = " AND ".join([f"{sql.column('id')} IN ({keys})", *conditions])
    return sql.execute(f"UPDATE {sql.table} SET {assignments} WHERE {where}")  # noqa: S608 - see `literal`


def insert_rows(model: type[Any], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Inserts rows, each with a value for each of the columns `names`."""
    sql = _Statement(model)
    values = ",".join(f"({','.join(map(sql.literal, names, row))})" for row in rows)
    if values:
        columns = ", ".join(map(sql.column, names))
        sql.execute(f"INSERT INTO {sql.table} ({columns}) VALUES {values}")  # noqa: S608 - see `literal`


class _Statement:
    """One statement on a model's table, and the parameters that it has got so far."""

    def __init__(self, model: type[Any]) -> None:
        self._connection = connections[router.db_for_write(model)]
        self._fields: dict[str, Field[Any, Any]] = model._meta._forward_fields_map
        self._parameters: list[Any] = []
        self.table = self._connection.ops.quote_name(model._meta.db_table)

    def column(self, name: str) -> str:
        return self._connection.ops.quote_name(str(self._fields[name].column))

    def literal(self, name: str, value: Any) -> str:
        """SQL for a value of the column: itself where it is harmless whoever wrote it, else a parameter."""
        if value is None:
            return "NULL"
        if type(value) is int:
            return str(value)
        if isinstance(value, Column):
            return self.column(value.name)
        if value == "" or (type(value) is str and value.isascii() and value.isalnum()):
            return f"'{value}'"
        if value == {}:
            return "'{}'"
        self._parameters.append(self._fields[name].get_db_prep_save(value, self._connection))
        return "%s"

    def execute(self, sql: str) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, self._parameters)
            return int(cursor.rowcount)
