"""Never making the site wait for us in a circle.

A transaction of the site locks rows of the mirror one after the other, in any order. If we waited for one of them while
we hold another that it wants next, the database would end one of the two as the victim of a deadlock: often the site's.
So we wait for no lock for longer than a moment; then we let go of all that we hold, and start anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, OperationalError, connections, router, transaction

from ..models import ApiCall

P = ParamSpec("P")
R = TypeVar("R")

#: For so long a lock is waited for on PostgreSQL, which looks for deadlocks after a second. MariaDB does so at once, so
#: there it isn't waited for at all.
LOCK_MILLISECONDS = 100
#: Seconds between two tries, at most.
LONGEST_PAUSE = 0.2
#: After so many tries the error goes its way; about as many seconds as a lease.
TRIES = 1000
#: After so many, about two seconds, work is left that can be done later.
FEW_TRIES = 10
#: PostgreSQL's "lock not available", "deadlock detected" and, where the site has a stricter isolation level than the
#: default, "serialization failure"; "lock wait timeout" and "deadlock" of MySQL and MariaDB.
_SOMEBODY_HOLDS_IT = {"55P03", "40P01", "40001", 1205, 1213}


class HeldBySomebody(Exception):  # noqa: N818 - a finding, not a fault
    """Somebody holds rows that the work wants, and doesn't let go of them."""


def gives_way(work: Callable[P, R]) -> Callable[P, R]:
    """Makes `work` one transaction, tried again from the start while somebody else holds rows that it wants.

    Inside of another transaction it is a part of that, and tried once.
    """

    @wraps(work)
    def patiently(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return _try_again_and_again(partial(work, *args, **kwargs), TRIES)
        except HeldBySomebody:
            with transaction.atomic(using=router.db_for_write(ApiCall), durable=True):
                return work(*args, **kwargs)

    return patiently


def gives_up(work: Callable[P, R]) -> Callable[P, R]:
    """As `gives_way`, for work that can be left for later: raises HeldBySomebody after a few tries."""

    @wraps(work)
    def impatiently(*args: P.args, **kwargs: P.kwargs) -> R:
        return _try_again_and_again(partial(work, *args, **kwargs), FEW_TRIES)

    return impatiently


def gives_up_or_commits(work: Callable[P, R]) -> Callable[P, R]:
    """As `gives_up`, for work that must be committed when it returns: inside of another transaction it is an error."""

    @wraps(work)
    def impatiently(*args: P.args, **kwargs: P.kwargs) -> R:
        return _try_again_and_again(partial(work, *args, **kwargs), FEW_TRIES, durable=True)

    return impatiently


def is_in_transaction() -> bool:
    """Whether this code runs in a transaction on the database that has our tables."""
    return bool(connections[router.db_for_write(ApiCall)].in_atomic_block)


def _try_again_and_again(work: Callable[[], R], tries: int, *, durable: bool = False) -> R:
    using = router.db_for_write(ApiCall)
    if is_in_transaction():
        with transaction.atomic(using=using, durable=durable):
            return work()
    for _ in range(tries):
        try:
            with _transaction_that_waits_for_no_lock(using):
                return work()
        except OperationalError as error:
            if not _is_held_by_somebody(error):
                raise
        time.sleep(random.uniform(0, LONGEST_PAUSE))  # nosec B311  # noqa: S311 - no secret
    raise HeldBySomebody


def skips_locked(work: Callable[P, R]) -> Callable[P, R]:
    """As `gives_way`, for work that begins with leaving out the rows that others hold, and then changes no others.

    MariaDB can't leave them out while it may wait for no lock: it ends the statement with error 1180 instead (seen in
    10.11). There the work waits, for nothing that the site could want.
    """

    @wraps(work)
    def patiently(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = connections[router.db_for_write(ApiCall)]
        if connection.vendor == "mysql" and connection.features.has_select_for_update_skip_locked:
            with transaction.atomic(using=connection.alias):
                return work(*args, **kwargs)
        return gives_way(work)(*args, **kwargs)

    return patiently


@contextmanager
def _transaction_that_waits_for_no_lock(using: str) -> Iterator[None]:
    connection = connections[using]
    if connection.vendor == "postgresql":
        with transaction.atomic(using=using, durable=True):
            _execute(using, f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS:d}")
            yield
    elif connection.vendor == "mysql":
        _execute(using, "SET SESSION innodb_lock_wait_timeout = 0")
        try:
            with transaction.atomic(using=using, durable=True):
                yield
        finally:
            with suppress(DatabaseError):  # a connection that broke is a new one next time
                _execute(using, "SET SESSION innodb_lock_wait_timeout = DEFAULT")
    else:
        with transaction.atomic(using=using, durable=True):
            yield


def _execute(using: str, statement: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


def _is_held_by_somebody(error: OperationalError) -> bool:
    cause = error.__cause__
    return {getattr(cause, "sqlstate", None), *getattr(cause, "args", ())} & _SOMEBODY_HOLDS_IT != set()
