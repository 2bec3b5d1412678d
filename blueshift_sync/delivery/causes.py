"""What failed and what was rejected, by cause.

There may be millions of such rows and of causes: this finds the causes along their index, from each to the next one,
and counts no further than it is worth. Nothing of it grows with the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, router
from django.db.models import Q, QuerySet

from ..models import Customer, CustomerRemoval, ListMembership, RecordResult, SyncRun, SyncState
from ..models.state import HAS_CAUSE
from .runs import SentModel

#: Causes that are looked at, and those of them that happened last, which are counted.
CAUSES_FOUND = 200
CAUSES_SHOWN = 40
#: Rows of one cause that are counted, and of all causes together, so that many large ones take no longer than one.
COUNTED = 5_000
COUNTED_IN_ALL = 10_000
#: Failed records of one run that are looked at.
OF_A_RUN = 5_000

#: By what rows of one cause are ordered in its index.
_ORDERS: dict[type[Any], tuple[str, ...]] = {
    Customer: ("failed_at", "id"),
    ListMembership: ("failed_at", "id"),
    CustomerRemoval: ("failed_at", "id"),
    RecordResult: ("id",),
}


@dataclass(frozen=True)
class Group:
    """The rows of one cause: how many, or more than that, and the first and the last of them."""

    cause: str
    count: int
    is_more: bool
    first: Any
    last: Any


@dataclass(frozen=True)
class Groups:
    """Those causes that happened last. `is_all`: there are no others."""

    groups: list[Group]
    is_all: bool


def of_cause(rows: QuerySet[Any], cause: str) -> QuerySet[Any]:
    """Those of the rows that failed or were rejected for this cause, by its index."""
    return rows.filter(HAS_CAUSE, error_cause=cause)


def told_by(model: SentModel) -> QuerySet[Any]:
    """The rows of `model`, with no more than is needed to name one of them and to say what went wrong."""
    columns = ("error_code", "error_message", "error_cause", "failed_at")
    if model is ListMembership:
        names = ("customer__customer_id", "customer__email", "customer_list__name", "customer_list__list_id")
        return ListMembership.objects.select_related("customer", "customer_list").only(*columns, *names)
    named_by = ("customer_id", "email") if model is Customer else ("kind", "identifier")
    return model._default_manager.only(*columns, *named_by)


def groups_of(model: type[Any], rows: QuerySet[Any]) -> Groups:
    """By what went wrong, the rows of `model`, which is one that has causes. Takes three queries.

    `rows` are the model's with what is needed of the first and the last one of a cause.
    """
    ends = _ends(model)
    by_pk = rows.in_bulk({pk for pair in ends.values() for pk in pair})
    # One that was sent again since isn't there as it was, and maybe none of its cause.
    found = [
        (cause, by_pk[first], by_pk[last])
        for cause, (first, last) in ends.items()
        if first in by_pk and last in by_pk and by_pk[last].error_cause == cause
    ]
    found.sort(key=lambda each: _place(each[2]), reverse=True)
    found_last = found[:CAUSES_SHOWN]
    limit = min(COUNTED, COUNTED_IN_ALL // max(1, len(found_last)))
    counts = _counts(model, [cause for cause, *_ in found_last], limit)
    groups = [
        Group(cause, min(counts[cause], limit), counts[cause] > limit, first, last)
        for cause, first, last in found_last
        if counts[cause]
    ]
    return Groups(groups, is_all=len(ends) < CAUSES_FOUND and len(found) <= CAUSES_SHOWN)


def _place(row: Any) -> tuple[Any, ...]:
    failed_at = getattr(row, "failed_at", None)
    return (True, failed_at, row.pk) if failed_at else (False, row.pk)


def _ends(model: type[Any]) -> dict[str, tuple[int, int]]:
    """By cause the keys of the first and the last row that has it, for as many causes as are looked at."""
    quote = connections[router.db_for_read(model)].ops.quote_name
    table, order = quote(model._meta.db_table), _ORDERS[model]
    rising = ", ".join(quote(column) for column in order)
    falling = ", ".join(f"{quote(column)} DESC" for column in order)
    next_one = f"SELECT error_cause FROM {table} WHERE error_cause > ''"  # nosec B608  # noqa: S608
    one_of = f"SELECT id FROM {table} WHERE error_cause > '' AND error_cause = causes.cause"  # nosec B608  # noqa: S608
    sql = (
        "WITH RECURSIVE causes (cause, place) AS ("  # nosec B608  # noqa: S608
        f" SELECT ({next_one} ORDER BY error_cause LIMIT 1), 1"
        f" UNION ALL SELECT ({next_one} AND error_cause > causes.cause ORDER BY error_cause LIMIT 1), place + 1"
        f" FROM causes WHERE cause IS NOT NULL AND place < {CAUSES_FOUND}) "
        f"SELECT cause, ({one_of} ORDER BY {rising} LIMIT 1), ({one_of} ORDER BY {falling} LIMIT 1)"
        " FROM causes WHERE cause IS NOT NULL"
    )
    return {cause: (first, last) for cause, first, last in _rows(model, sql, []) if first is not None}


def _counts(model: type[Any], causes: Sequence[str], limit: int) -> dict[str, int]:
    """How many rows there are of each cause; one more than `limit` where there are more."""
    table = connections[router.db_for_read(model)].ops.quote_name(model._meta.db_table)
    if not causes:
        return {}
    rows = f"SELECT 1 AS one FROM {table} WHERE error_cause > '' AND error_cause = %s LIMIT {limit + 1}"  # nosec B608  # noqa: S608
    each = f"SELECT %s AS cause, COUNT(*) AS counted FROM ({rows}) AS counted_rows"  # nosec B608  # noqa: S608
    parameters = [parameter for cause in causes for parameter in (cause, cause)]
    return dict(_rows(model, " UNION ALL ".join([each] * len(causes)), parameters))


def _rows(model: type[Any], sql: str, parameters: list[str]) -> list[Any]:
    with connections[router.db_for_read(model)].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        rows: list[Any] = cursor.fetchall()
    return rows


# Of one run


@dataclass(frozen=True)
class FailedInRun:
    """How many records of a run are FAILED for one cause, and one of them."""

    model: SentModel
    cause: str
    count: int
    example: Any


def failed_in_run(run: SyncRun, models: Iterable[SentModel]) -> tuple[list[FailedInRun], bool]:
    """The records that went out with this run last and are FAILED, by cause; and whether that is all of them.

    Takes two queries for each model.
    """
    found: list[FailedInRun] = []
    is_all = True
    for model in models:
        rows = model._default_manager.filter(Q(run=run), state=SyncState.State.FAILED)
        pks_of: dict[str, list[int]] = {}
        looked_at = rows.order_by().values_list("pk", "error_cause")[: OF_A_RUN + 1]
        for pk, cause in looked_at:
            pks_of.setdefault(cause, []).append(pk)
        is_all &= sum(map(len, pks_of.values())) <= OF_A_RUN
        examples: Mapping[int, Any] = told_by(model).in_bulk([pks[0] for pks in pks_of.values()][:CAUSES_SHOWN])
        found += [
            FailedInRun(model, cause, len(pks), examples[pks[0]]) for cause, pks in pks_of.items() if pks[0] in examples
        ]
    return sorted(found, key=lambda each: each.count, reverse=True), is_all
