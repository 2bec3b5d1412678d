"""Database work on a second thread, so that one transaction is written while the next is prepared."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from django.db import connections, router

from ..models import ApiCall


class Beside:
    """Does one piece of database work beside the caller's own; the next one waits for its end.

    Only on PostgreSQL. Elsewhere the two would get into each other's way: SQLite knows one writer at a time, and in
    MariaDB and MySQL we wait for nobody's lock. Inside of a transaction, which another thread can't see into, and on
    those databases the work is done at once. An error comes out of the call after the one that gave it, whose own work
    is done all the same.
    """

    def __init__(self) -> None:
        connection = connections[router.db_for_write(ApiCall)]
        is_useful = connection.vendor == "postgresql" and not connection.in_atomic_block
        self._thread = ThreadPoolExecutor(1, "blueshift-settle") if is_useful else None
        self._doing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.submit(connections.close_all)
            self._thread.shutdown()

    @property
    def is_busy(self) -> bool:
        """Whether there is work whose end nobody has waited for."""
        return self._doing is not None

    def do(self, work: Callable[[], None]) -> None:
        """Has `work` done, whatever became of what was given before. Waits for that, and raises its error."""
        try:
            self.wait()
        finally:
            if self._thread is None:
                work()
            else:
                self._doing = self._thread.submit(work)

    def wait(self) -> None:
        """Waits for what was given last, and raises its error."""
        doing, self._doing = self._doing, None
        if doing is not None:
            doing.result()
