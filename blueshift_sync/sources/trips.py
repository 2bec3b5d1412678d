"""Fewer trips to the database.

A trip to a PostgreSQL server and back takes longer than the server needs for a statement about one row. So a
SAVEPOINT travels with the statement after it, and a last write with the RELEASE after it. Django's `atomic` stays in
charge of the savepoint: the statements and their order are its own, and what fails on a trip fails the trip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import connections, transaction

from ..delivery.statements import Statement


def takes_several(connection: Any) -> bool:
    """Whether one trip may carry several statements and bring back what each returned.

    psycopg 3 does so while it binds the parameters itself. Where queries are logged, each is to be seen by itself.
    """
    if connection.vendor != "postgresql" or connection.queries_logged:
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415 - needs the driver

    return is_psycopg3 and not connection.features.uses_server_side_binding


@contextmanager
def savepoint(using: str) -> Iterator[Callable[[Statement], None]]:
    """As `transaction.atomic`. Gives the block a function that runs its last statement, a write."""
    connection = connections[using]
    is_inside = any(isinstance(wrapper, _Trips) for wrapper in connection.execute_wrappers)
    if connection.in_atomic_block and not connection.needs_rollback and not is_inside and takes_several(connection):
        trips = _Trips()
        with connection.execute_wrapper(trips), transaction.atomic(using=using):
            yield trips.hold
    else:
        with transaction.atomic(using=using):
            yield lambda statement: _execute(connection, statement)


def is_undone(using: str) -> bool:
    """Whether the transaction around us can't go on: MySQL and MariaDB undo all of it at a deadlock."""
    connection = connections[using]
    return connection.in_atomic_block and connection.needs_rollback


def savepoint_within(using: str) -> AbstractContextManager[Any]:
    """A savepoint where there is a transaction, so that an error in the block doesn't break that; else nothing."""
    return transaction.atomic(using=using) if connections[using].in_atomic_block else nullcontext()


def _execute(connection: Any, statement: Statement) -> None:
    with connection.cursor() as cursor:
        cursor.execute(*statement)


class _Trips:
    """An execute wrapper, as Django calls it. It holds the first statement, and those that it is given."""

    def __init__(self) -> None:
        self._held: list[Statement] = []
        self._is_first = True

    def hold(self, statement: Statement) -> None:
        """This one travels with the next."""
        self._held.append(statement)

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        if self._is_first:
            self._is_first = False
            return self.hold(Statement(sql, ()))
        if not self._held:
            return execute(sql, params, many, context)
        held, self._held = self._held, []
        if not _can_be_joined(sql, params, many, context):
            for statement in held:
                _execute(context["connection"], statement)
            return execute(sql, params, many, context)
        together = "; ".join([*(statement.sql for statement in held), sql])
        parameters = [value for statement in held for value in statement.parameters]
        result = execute(together, [*parameters, *(params or ())], many, context)
        for _ in held:
            context["cursor"].nextset()
        return result


def _can_be_joined(sql: str, params: Any, many: bool, context: Any) -> bool:  # noqa: FBT001
    """Not a cursor on the server, nor many statements at once, nor a text in which % means nothing."""
    return not many and not hasattr(context["cursor"], "name") and (params is not None or "%" not in sql)
