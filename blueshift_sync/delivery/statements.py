"""SQL for what is done to every record of a backlog, where the ORM takes longer to say it than the database to do it.

The functions are what `QuerySet.update`, `bulk_create` and `values_list` are, for values and expressions of the model's
own table and nothing else: no model instances, no signals, no joins. Conditions name columns, and for each the value
that it has, or a list of those that it may have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, router
from django.db.models import F, Field, JSONField
from django.db.models.expressions import BaseExpression

#: A value of its own for each row is looked for among those of all rows in the statement.
UPDATED_AT_A_TIME = 100
#: A longer statement, in characters and parameters included, writes its rows by several. MariaDB takes 16 MB of one
#: (`max_allowed_packet`); a character may be four bytes, or two with what makes it stand for itself.
LONGEST_STATEMENT = 2 * 1024 * 1024
#: Text that stands for itself in a statement of any database: no quote, backslash, percent sign or control character.
_HARMLESS = re.compile(r"[A-Za-z0-9_@:.,;+ ()/-]*")


class Statement(NamedTuple):
    """SQL and its parameters."""

    sql: str
    parameters: Sequence[Any]

    @property
    def length(self) -> int:
        """In characters, about."""
        return len(self.sql) + sum(len(value) for value in self.parameters if isinstance(value, str))


def find_rows(model: type[Any], **condition: Any) -> list[int]:
    """The keys of the rows that fulfil the condition."""
    return [pk for (pk,) in find_values(model, ["id"], **condition)]


def find_values(model: type[Any], names: Sequence[str], **condition: Any) -> list[tuple[Any, ...]]:
    """The values in these columns, as the driver gives them, of the rows that fulfil the condition."""
    sql = _Writer(model)
    columns = ", ".join(map(sql.column, names))
    found = sql.statement(f"SELECT {columns} FROM {sql.table} WHERE {sql.all_of(condition)}")  # noqa: S608
    return list(_run(model, found).fetchall())


def update_rows(model: type[Any], pks: Sequence[int], values: Mapping[str, Any], **condition: Any) -> int:
    """Gives the rows with these keys the `values`, as far as they fulfil the condition. Returns how many did."""
    return int(_run(model, _update(model, pks, values, **condition)).rowcount) if pks else 0


def delete_rows(model: type[Any], **condition: Any) -> int:
    """Deletes the rows that fulfil the condition, and nothing that refers to them. Returns how many they were."""
    sql = _Writer(model)
    statement = sql.statement(f"DELETE FROM {sql.table} WHERE {sql.all_of(condition)}")  # noqa: S608
    return int(_run(model, statement).rowcount)


def update_of(row: Any, names: Sequence[str]) -> Statement:
    """The statement that writes these columns of a model instance that is there."""
    return _update(type(row), [row.pk], {name: getattr(row, name) for name in _attributes(row, names)})


def update_each(rows: Sequence[Any], names: Sequence[str]) -> None:
    """Writes these columns of model instances, which are all of one model. As `bulk_update`, in a tenth of its time."""

    def update_of_each(rows: Sequence[Any]) -> Statement:
        values = {name: ByKey.of({row.pk: getattr(row, name) for row in rows}) for name in _attributes(rows[0], names)}
        return _update(type(rows[0]), [row.pk for row in rows], values)

    for start in range(0, len(rows), UPDATED_AT_A_TIME):
        few = rows[start : start + UPDATED_AT_A_TIME]
        _run_for(type(few[0]), few, update_of_each)


def insert_rows(model: type[Any], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows, each with a value for each of the columns `names`."""
    if rows:
        _run_for(model, rows, lambda few: _insert(model, names, few))


def insert_of(rows: Sequence[Any]) -> Statement:
    """The statement that inserts model instances, which are all of one model and aren't told their keys."""
    names = [field.attname for field in rows[0]._meta.concrete_fields if not field.primary_key]
    return _insert(type(rows[0]), names, [[getattr(row, name) for name in names] for row in rows])


def insert_each(rows: Sequence[Any]) -> None:
    """Inserts model instances as `insert_of` says. What `bulk_create` does."""
    if rows:
        _run_for(type(rows[0]), rows, insert_of)


def _attributes(row: Any, names: Sequence[str]) -> list[str]:
    return [row._meta.get_field(name).attname for name in names]


def _update(model: type[Any], pks: Sequence[int], values: Mapping[str, Any], **condition: Any) -> Statement:
    sql = _Writer(model)
    assignments = ", ".join(f"{sql.column(name)} = {sql.value(name, value)}" for name, value in values.items())
    where = sql.all_of({"id": pks, **condition})
    return sql.statement(f"UPDATE {sql.table} SET {assignments} WHERE {where}")  # noqa: S608


def _insert(model: type[Any], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Statement:
    sql = _Writer(model)
    columns = ", ".join(map(sql.column, names))
    values = ",".join(f"({','.join(map(sql.literal, names, row))})" for row in rows)
    return sql.statement(f"INSERT INTO {sql.table} ({columns}) VALUES {values}")  # noqa: S608


def _run_for(model: type[Any], rows: Sequence[Any], statement_of: Callable[[Sequence[Any]], Statement]) -> None:
    """Runs the statement that does something with these rows, or several where it is too long."""
    statement = statement_of(rows)
    if statement.length > LONGEST_STATEMENT and len(rows) > 1:
        middle = len(rows) // 2
        _run_for(model, rows[:middle], statement_of)
        _run_for(model, rows[middle:], statement_of)
    else:
        _run(model, statement)


def _run(model: type[Any], statement: Statement) -> Any:
    """The cursor after this statement."""
    cursor = connections[router.db_for_write(model)].cursor()
    cursor.execute(statement.sql, statement.parameters or None)
    return cursor


class ByKey(list[tuple[Any, list[int]]]):
    """For `update_rows`, what isn't the same for all rows: each value with the keys of the rows that get it."""

    @classmethod
    def of(cls, values: Mapping[int, Any]) -> Any:
        """From a value for each key; the value itself where all have the same."""
        keys: dict[Any, tuple[Any, list[int]]] = {}
        for key, value in values.items():
            keys.setdefault(value if isinstance(value, Hashable) else id(value), (value, []))[1].append(key)
        return next(iter(values.values())) if len(keys) == 1 else cls(keys.values())


class _Writer:
    """Writes one statement on a model's table; the parameters are those that it has got so far."""

    def __init__(self, model: type[Any]) -> None:
        self._label = model._meta.label
        self._using = router.db_for_write(model)
        self._connection = connections[self._using]
        self._fields: dict[str, Field[Any, Any]] = model._meta._forward_fields_map
        self._parameters: list[Any] = []
        self.table = self._connection.ops.quote_name(model._meta.db_table)

    def column(self, name: str) -> str:
        return self._connection.ops.quote_name(str(self._fields[name].column))

    def literal(self, name: str, value: Any) -> str:
        """SQL for a value of the column: itself where it is harmless, whoever wrote it, else a parameter.

        Most are. A driver would take a statement of a hundred kilobytes apart for each parameter in it.
        """
        if value is None:
            return "NULL"
        kind = type(value)
        field = self._fields[name]
        if kind is int:
            return str(value)
        if kind is str and not isinstance(field, JSONField):
            return self._text(value)
        if isinstance(value, F | BaseExpression):
            sql, parameters = _compiled(self._label, self._using, value)
            self._parameters += parameters
            return sql
        if value in ({}, []):
            return f"'{value}'"
        return self._text(self._prepared(field, value))

    def _prepared(self, field: Field[Any, Any], value: Any) -> Any:
        if isinstance(field, JSONField):  # as text for PostgreSQL too, so that its length is known
            return json.dumps(value, cls=field.encoder)
        value = field.get_db_prep_save(value, self._connection)
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value

    def _text(self, value: Any) -> str:
        if type(value) is str and _HARMLESS.fullmatch(value):
            return f"'{value}'"
        self._parameters.append(value)
        return "%s"

    def value(self, name: str, value: Any) -> str:
        """SQL for what a column is to become."""
        if not isinstance(value, ByKey):
            return self.literal(name, value)
        cases = [f"WHEN {self._is('id', keys)} THEN {self._typed(name, each)}" for each, keys in value]
        return f"CASE {' '.join(cases)} END"

    def _typed(self, name: str, value: Any) -> str:
        """A value inside of an expression, where PostgreSQL doesn't see for which column it is."""
        literal = self.literal(name, value)
        if self._connection.vendor != "postgresql":
            return literal
        return f"CAST({literal} AS {self._fields[name].cast_db_type(self._connection)})"

    def all_of(self, condition: Mapping[str, Any]) -> str:
        return " AND ".join(self._is(name, value) for name, value in condition.items())

    def _is(self, name: str, value: Any) -> str:
        if value is None:
            return f"{self.column(name)} IS NULL"
        values = value if isinstance(value, list | tuple) else [value]
        if not values:
            return "1 = 0"
        are_numbers = set(map(type, values)) == {int}
        literals = map(str, values) if are_numbers else [self.literal(name, each) for each in values]
        return f"{self.column(name)} IN ({','.join(literals)})"

    def statement(self, sql: str) -> Statement:
        return Statement(sql, self._parameters)


@lru_cache(maxsize=32)
def _compiled(label: str, using: str, expression: Any) -> tuple[str, Sequence[Any]]:
    query = apps.get_model(label)._default_manager.using(using).query
    compiled: tuple[str, Sequence[Any]] = query.get_compiler(using).compile(expression.resolve_expression(query))
    return compiled
