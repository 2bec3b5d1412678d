"""SQL for what is done to every record of a backlog, where the ORM takes longer to say it than the database to do it.

The functions are what `QuerySet.update`, `bulk_create` and `values_list` are, for values and expressions of the model's
own table and nothing else: no model instances, no signals, no joins. Conditions name columns, and for each the value
that it has, or a list of those that it may have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.db import connections, router
from django.db.models import F, Field, JSONField
from django.db.models.expressions import BaseExpression

#: More values of their own than this PostgreSQL joins with their rows. Elsewhere a row's is looked for among them all.
FEW_VALUES = 10
#: So that is done for no more rows than this in one statement.
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
    found = sql.statement(f"SELECT {columns} FROM {sql.table} WHERE {sql.all_of(condition)}")  # nosec B608  # noqa: S608
    return list(_run(model, found).fetchall())


def update_rows(model: type[Any], pks: Sequence[int], values: Mapping[str, Any], **condition: Any) -> int:
    """Gives the rows with these keys the `values`, as far as they fulfil the condition. Returns how many did."""
    return sum(int(_run(model, each).rowcount) for each in _updates(model, pks, values, condition)) if pks else 0


def delete_rows(model: type[Any], **condition: Any) -> int:
    """Deletes the rows that fulfil the condition, and nothing that refers to them. Returns how many they were."""
    sql = _Writer(model)
    statement = sql.statement(f"DELETE FROM {sql.table} WHERE {sql.all_of(condition)}")  # nosec B608  # noqa: S608
    return int(_run(model, statement).rowcount)


def update_of(row: Any, names: Sequence[str]) -> Statement:
    """The statement that writes these columns of a model instance that is there."""
    return _update(type(row), [row.pk], {name: getattr(row, name) for name in _attributes(row, names)})


def update_each(rows: Sequence[Any], names: Sequence[str]) -> None:
    """Writes these columns of model instances, which are all of one model. As `bulk_update`, in a tenth of its time."""
    if not rows:
        return
    model = type(rows[0])
    names = _attributes(rows[0], names)

    def update_of_each(rows: Sequence[Any]) -> Statement:
        values = {name: ByKey.of({row.pk: getattr(row, name) for row in rows}) for name in names}
        return _update(model, [row.pk for row in rows], values)

    at_a_time = len(rows) if _can_join(model) else UPDATED_AT_A_TIME
    for start in range(0, len(rows), at_a_time):
        _run_for(model, rows[start : start + at_a_time], update_of_each)


def insert_rows(model: type[Any], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows, each with a value for each of the columns `names`."""
    if rows:
        _run_for(model, rows, lambda few: _insert(model, names, few))


def insert_copies(row: Any, name: str, values: Sequence[int]) -> None:
    """Inserts so many copies of a model instance that isn't saved, each with one of these values in its column."""
    if values:
        _run_for(type(row), values, lambda few: _insert_copies(row, name, few))


def _insert_copies(row: Any, name: str, values: Sequence[int]) -> Statement:
    sql = _Writer(type(row))
    names = [field.attname for field in row._meta.concrete_fields if not field.primary_key and field.attname != name]
    columns = ", ".join(map(sql.column, [*names, name]))
    copied = ",".join(sql.literal(each, getattr(row, each)) for each in names)
    rows = ",".join(f"({copied},{value:d})" for value in values)
    statement = sql.statement(f"INSERT INTO {sql.table} ({columns}) VALUES {rows}")  # nosec B608  # noqa: S608
    return Statement(statement.sql, list(statement.parameters) * len(values))


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


def _updates(
    model: type[Any], pks: Sequence[int], values: Mapping[str, Any], condition: Mapping[str, Any]
) -> Iterator[Statement]:
    """One statement, or several where each of them would look for values among too many."""
    if _can_join(model) or not any(map(_are_many, values.values())):
        yield _update(model, pks, values, **condition)
        return
    for start in range(0, len(pks), UPDATED_AT_A_TIME):
        few = pks[start : start + UPDATED_AT_A_TIME]
        of_few = {name: value.only(few) if isinstance(value, ByKey) else value for name, value in values.items()}
        yield _update(model, few, of_few, **condition)


def _update(model: type[Any], pks: Sequence[int], values: Mapping[str, Any], **condition: Any) -> Statement:
    sql = _Writer(model)
    joined: dict[str, ByKey] = {}
    if _can_join(model) and any(map(_are_many, values.values())):
        joined = {name: value for name, value in values.items() if isinstance(value, ByKey)}
    # In the order in which they stand in the statement, for so its parameters do.
    assignments = ", ".join(
        f"{sql.column(name)} = {sql.joined(name) if name in joined else sql.value(name, value)}"
        for name, value in values.items()
    )
    table_of_values = f" FROM {sql.values_by_key(joined, pks)}" if joined else ""
    where = sql.all_of({"id": pks, **condition})
    if joined:
        where += f" AND {sql.column('id')} = {_KEY}"
    return sql.statement(f"UPDATE {sql.table} SET {assignments}{table_of_values} WHERE {where}")  # nosec B608  # noqa: S608


def _can_join(model: type[Any]) -> bool:
    return connections[router.db_for_write(model)].vendor == "postgresql"


def _are_many(value: Any) -> bool:
    return isinstance(value, ByKey) and len(value) > FEW_VALUES


def _insert(model: type[Any], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Statement:
    sql = _Writer(model)
    columns = ", ".join(map(sql.column, names))
    values = ",".join(f"({','.join(map(sql.literal, names, row))})" for row in rows)
    return sql.statement(f"INSERT INTO {sql.table} ({columns}) VALUES {values}")  # nosec B608  # noqa: S608


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
        return cls.of_groups((value, [key]) for key, value in values.items())

    @classmethod
    def of_groups(cls, groups: Iterable[tuple[Any, list[int]]]) -> Any:
        """As `of`, from values with the keys of the rows that get them."""
        keys: dict[Any, tuple[Any, list[int]]] = {}
        for value, its_keys in groups:
            same = id(value) if isinstance(value, _UNHASHABLE) else value
            keys.setdefault(same, (value, []))[1].extend(its_keys)
        return next(iter(keys.values()))[0] if len(keys) == 1 else cls(keys.values())

    def only(self, keys: Sequence[int]) -> Any:
        """The same for these keys."""
        wanted = set(keys)
        return ByKey.of({key: value for value, its_keys in self for key in its_keys if key in wanted})


#: What a JSON column may hold.
_UNHASHABLE = (dict, list)
#: The column of the keys where values are joined with their rows.
_KEY = "bsync_key"


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
        if isinstance(value, UUID):
            return str(value)
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

    def values_by_key(self, values: Mapping[str, ByKey], keys: Sequence[int]) -> str:
        """A table with the keys and, for each of them, a value for each of these columns."""
        of_key = {name: {key: value for value, of_it in each for key in of_it} for name, each in values.items()}
        rows = ",".join(f"({key},{','.join(self.literal(name, of_key[name][key]) for name in values)})" for key in keys)
        return f"(VALUES {rows}) AS bsync_values ({_KEY}, {', '.join(map(self._joined, values))})"

    def joined(self, name: str) -> str:
        """A row's own value, of such a table, for a column."""
        return f"CAST({self._joined(name)} AS {self._fields[name].cast_db_type(self._connection)})"

    def _joined(self, name: str) -> str:
        return self._connection.ops.quote_name(f"bsync_{self._fields[name].column}")

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
    sql, parameters = query.get_compiler(using).compile(expression.resolve_expression(query))
    connection: Any = connections[using]
    if parameters and connection.vendor == "postgresql":
        # Or the driver would take the whole statement apart for them.
        composed = connection.ops.compose_sql(sql, parameters)
        if "%" not in composed:
            return composed, ()
    return sql, parameters
