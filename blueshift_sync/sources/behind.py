"""Which customers and memberships the rows of a list lead to.

A call carried them, a result is of one, an object of the site is mirrored by them; and they lead to themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import router
from django.db.models import Model, Q, QuerySet

from ..delivery.push import kind_of
from ..delivery.runs import SentModel, models_of
from ..delivery.selections import AnySelection, ObjectSelection
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncRun
from .mirrored import MirrorModel, is_mirrored_as, known_pks_of, pks_of_keys

#: The results of records of each kind. Of a membership the customer is named too, for its own history.
OF_KIND: dict[MirrorModel, Q] = {
    ListMembership: Q(membership__isnull=False),
    Customer: Q(membership=None, customer__isnull=False),
}
#: The column of a result, or of a membership, that leads to a record of that kind.
_COLUMNS: dict[MirrorModel, str] = {ListMembership: "membership_id", Customer: "customer_id"}
_RECORDS = (Customer, ListMembership, CustomerRemoval)


def kind_behind(run: SyncRun, selection: AnySelection) -> SentModel:
    """Of which kind the records are that the run sends for these rows."""
    models = models_of(run)
    return next((model for model in models if model is selection.model), models[0])


def records_behind(kind: SentModel, selection: AnySelection, pks: Sequence[Any]) -> list[int]:
    """The primary keys of the records of this kind that these rows of the selection lead to.

    Objects of the site that no signal has told of yet are captured.
    """
    if isinstance(selection, ObjectSelection):
        return pks_of_keys(kind, selection.model, pks, selection.rows.db)  # type: ignore[arg-type]
    return _behind(kind, selection.model, pks)


def customers_behind(selection: AnySelection, pks: Sequence[Any]) -> list[int]:
    """The primary keys of the customers, those whose memberships were sent among them."""
    if selection.model in {ApiCall, RecordResult}:
        return _found(_results(selection.model, pks).filter(customer__isnull=False), "customer_id")
    return records_behind(Customer, selection, pks)


def leads_to(selection: AnySelection, kind: MirrorModel) -> bool:
    """Whether any of the rows leads to a record of this kind."""
    if isinstance(selection, ObjectSelection):
        return is_mirrored_as(kind, selection.model) and selection.rows.exists()
    if selection.model is RecordResult:
        return selection.only(OF_KIND[kind]).rows.exists()
    if selection.model is ApiCall:
        return selection.leading_here(RecordResult, "call").only(OF_KIND[kind]).rows.exists()
    if selection.model is SyncRun:
        return selection.only(Q(kind=kind_of(kind))).rows.exists()
    return selection.model is kind


def first_records(selection: AnySelection, kind: MirrorModel, limit: int) -> QuerySet[Any]:
    """As many of the records of this kind as that, in the order of the rows. Nothing is captured."""
    found = dict.fromkeys(islice(_keys_in_order(selection, kind, limit), limit))
    return kind._default_manager.using(router.db_for_write(kind)).filter(pk__in=found).order_by("pk")


def _keys_in_order(selection: AnySelection, kind: MirrorModel, size: int) -> Iterator[int]:
    part: dict[str, Any] | None = selection.whole
    seen: set[int] = set()
    while part is not None:
        pks, part = selection.next_keys(part, size)
        if isinstance(selection, ObjectSelection):
            keys = known_pks_of(kind, selection.model, pks, selection.rows.db)
        else:
            keys = _behind(kind, selection.model, pks)
        new = sorted(set(keys) - seen)
        seen.update(new)
        yield from new


def _behind(kind: SentModel, model: type[Model], pks: Sequence[int]) -> list[int]:
    if model in _RECORDS:
        return list(pks)
    return _found(_results(model, pks).filter(OF_KIND[kind]), _COLUMNS[kind])  # type: ignore[index]


def _results(model: type[Model], pks: Sequence[int]) -> QuerySet[Any]:
    results = RecordResult.objects.using(router.db_for_write(RecordResult)).order_by()
    return results.filter(call__in=pks) if model is ApiCall else results.filter(pk__in=pks)


def _found(results: QuerySet[Any], column: str) -> list[int]:
    return list(results.values_list(column, flat=True).distinct())
