"""What PostgreSQL's planner knows of a table of the mirror that a backfill is filling.

Until somebody analyses the table anew, it counts as being as small as it was. Then all rows of a source are read to
find the 500 of a slice, and each slice takes longer than the one before. Autovacuum comes once a minute, if at all.
"""

from __future__ import annotations

from django.db import connections, router
from django.db.models import Model

#: Rows that are changed before the table is analysed for the first time.
FEW = 1000


class TableStatistics:
    """Has the table of `model` analysed whenever the number of rows changed in it has doubled."""

    def __init__(self, model: type[Model]) -> None:
        self._table = model._meta.db_table
        self._connection = connections[router.db_for_write(model)]
        self._changed = 0
        self._due_at = FEW

    def note(self, changed: int) -> None:
        """So many more rows have changed."""
        self._changed += changed
        if self._changed >= self._due_at:
            self._due_at = 2 * self._changed
            self._analyse()

    def _analyse(self) -> None:
        if self._connection.vendor == "postgresql":  # the others look after themselves
            with self._connection.cursor() as cursor:
                cursor.execute(f"ANALYZE {self._connection.ops.quote_name(self._table)}")
