"""What a run would send, found out by doing all that comes before the sending, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet

from ..delivery import gathering
from ..delivery.locks import HeldBySomebody, gives_up
from ..delivery.removals import removal_request
from ..delivery.selections import AnySelection, Selection
from ..exceptions import BlueshiftSyncError
from ..models import CustomerRemoval, ListMembership, SyncRun, SyncState
from .behind import customers_behind, kind_behind, records_behind
from .preview import Planned, plan

#: Records of one rehearsal; the rest is asked for with another.
RECORDS_AT_ONCE = 500


#: Which of the selections, and the primary key after which it goes on there.
Place = tuple[int, int]


@dataclass
class Rehearsal:
    """The calls that would be made, and the records that none would carry, each with a sentence.

    `place` is where the rest begins; None where there is none.
    """

    calls: list[Planned] = field(default_factory=list)
    left_out: list[tuple[Any, str]] = field(default_factory=list)
    place: Place | None = None


def rehearse(
    run: SyncRun,
    selections: Sequence[Selection],
    do: str,
    action: gathering.Action,
    *,
    after: Place | None = None,
    **options: Any,
) -> Rehearsal:
    """Does for the next rows what the action does, tells what would be sent, and undoes all of it.

    `run` isn't saved yet. Raises BlueshiftSyncError where others hold the rows for longer than a moment.
    """
    try:
        return _rehearse(run, selections, do, action, after=after, options=options)
    except HeldBySomebody:
        raise BlueshiftSyncError("Some of these rows are being changed at this moment. Try again in a while.") from None


@gives_up
def _rehearse(
    run: SyncRun,
    selections: Sequence[Selection],
    do: str,
    action: gathering.Action,
    *,
    after: Place | None,
    options: dict[str, Any],
) -> Rehearsal:
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        gathering.begin(run, selections, do, **options)
        selection, pks, place = _next(selections, after)
        found = Rehearsal(place=place)
        if pks:
            action(run, selection, pks)
            found.calls, found.left_out = _plan(_sent_for(run, selection, pks), run)
        transaction.set_rollback(True, using=router.db_for_write(SyncRun))
    return found


def _next(selections: Sequence[Selection], after: Place | None) -> tuple[Selection, list[int], Place | None]:
    """The first selection that has any rows left, the next of them, and the place behind them."""
    number, pk = after or (0, 0)
    for index, selection in enumerate(selections[number:], start=number):
        pks, _more = selection.next_keys({**selection.whole, "after": pk}, RECORDS_AT_ONCE + 1)
        if len(pks) > RECORDS_AT_ONCE:
            return selection, pks[:-1], (index, pks[-2])
        if pks:
            rest = index + 1 < len(selections)
            return selection, pks, (index + 1, 0) if rest else None
        pk = 0
    return selections[0], [], None


def _sent_for(run: SyncRun, selection: AnySelection, pks: Sequence[int]) -> QuerySet[Any]:
    """What the run is to send for these rows, or would if it could."""
    using = router.db_for_write(SyncRun)
    if run.scope["do"] == "set_members":
        customers = customers_behind(selection, pks)
        return ListMembership.objects.using(using).filter(customer_list=run.scope["list"], customer__in=customers)
    kind = kind_behind(run, selection)
    return kind._default_manager.using(using).filter(pk__in=records_behind(kind, selection, pks))


def _plan(rows: QuerySet[Any], run: SyncRun) -> tuple[list[Planned], list[tuple[Any, str]]]:
    if rows.model is CustomerRemoval:
        return [Planned(removal_request(row), [row]) for row in _sent(rows.order_by("pk"), run)], []
    if rows.model is ListMembership:
        rows = rows.select_related("customer", "customer_list")
    records = list(rows.order_by("pk"))
    calls, left_out = plan(_sent(records, run))
    not_sent = [record for record in records if record.run_id != run.pk]
    settled = [record for record in not_sent if record.state == SyncState.State.SYNCED]
    for_others, others = plan([record for record in not_sent if record.state != SyncState.State.SYNCED])
    in_step = [(record, IN_STEP) for record in (*settled, *(record for each in for_others for record in each.records))]
    return calls, sorted([*left_out, *others, *in_step], key=lambda left: left[0].pk)


#: What is said of a record that isn't sent though it could be.
IN_STEP = "Blueshift is known to have it so already."


def _sent(rows: Iterable[Any], run: SyncRun) -> list[Any]:
    return [row for row in rows if row.run_id == run.pk]
