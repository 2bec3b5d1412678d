"""What a run would send, found out by doing all that comes before the sending, and undoing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet

from ..conf import app_settings
from ..delivery import gathering
from ..delivery.locks import HeldBySomebody, gives_up
from ..delivery.rehearsal import calls_of
from ..delivery.selections import AnySelection, Selection
from ..exceptions import BlueshiftSyncError
from ..models import Customer, ListMembership, SyncRun, SyncState
from .behind import customers_behind, kind_behind, records_behind
from .preview import Planned

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
            rows = _sent_for(run, selection, pks)
            if place and place[1] and selection.model is rows.model is Customer:
                rows, found.place = _whole_calls(rows, run, place)
            found.calls, found.left_out = _told(rows, run)
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
            return selection, pks, _first_place(selections, index + 1)
        pk = 0
    return selections[0], [], None


def _first_place(selections: Sequence[Selection], number: int) -> Place | None:
    """Where the first of these selections begins that has any rows; None where none has."""
    for index, selection in enumerate(selections[number:], start=number):
        if selection.rows.exists():
            return index, 0
    return None


def _sent_for(run: SyncRun, selection: AnySelection, pks: Sequence[int]) -> QuerySet[Any]:
    """What the run is to send for these rows, or would if it could."""
    using = router.db_for_write(SyncRun)
    if run.scope["do"] == "set_members":
        customers = customers_behind(selection, pks)
        return ListMembership.objects.using(using).filter(customer_list=run.scope["list"], customer__in=customers)
    kind = kind_behind(run, selection)
    return kind._default_manager.using(using).filter(pk__in=records_behind(kind, selection, pks))


def _whole_calls(rows: QuerySet[Any], run: SyncRun, place: Place) -> tuple[QuerySet[Any], Place]:
    """Without the last ones, where the next rows fill their call: they are told with those. Of customers only."""
    size = app_settings().CUSTOMERS_PER_CALL
    sent = list(rows.filter(run=run).order_by("pk").values_list("pk", flat=True))
    spare = len(sent) % size
    if not spare or spare == len(sent):
        return rows, place
    first = sent[-spare]
    rows.filter(pk__gte=first).update(run=None)
    return rows.filter(pk__lt=first), (place[0], first - 1)


def _told(rows: QuerySet[Any], run: SyncRun) -> tuple[list[Planned], list[tuple[Any, str]]]:
    """The calls of the run, and those of the rows that none of them carries."""
    batches = calls_of(run, rows.model)
    if rows.model is ListMembership:
        rows = rows.select_related("customer", "customer_list")
    records = {record.pk: record for record in rows.order_by("pk")}
    calls = [Planned(batch.request, [records[record.pk] for record in batch.records]) for batch in batches]
    carried = {record.pk for batch in batches for record in batch.records}
    return calls, [(record, _why_not(record)) for pk, record in records.items() if pk not in carried]


#: What is said of a record that isn't sent, where it doesn't say so itself.
IN_STEP = "Blueshift is known to have it so already."
CONTESTED = "Another call carries it, or another customer with its identifier, at this moment; it follows."


def _why_not(record: Any) -> str:
    if record.state == SyncState.State.SYNCED:
        return IN_STEP
    if record.state == SyncState.State.PENDING and not record.error_message:
        return CONTESTED
    return str(record.error_message) or str(record.get_state_display())
