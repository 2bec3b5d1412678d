"""Decisions over the removal of customers from Blueshift."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet

from ..delivery.decisions import FOR_APPROVAL, WAITING
from ..delivery.selections import Selection
from ..models import CustomerRemoval, SyncRun
from .runs import Trigger, gather, run_of
from .sending import retry_failed

Removals = Selection | QuerySet[CustomerRemoval] | Iterable[CustomerRemoval]


def approve_removals(removals: Removals, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Has Blueshift remove the customers whose removal waits for somebody's yes. That can't be undone.

    Removals that don't wait for it are left as they are. Returns the run, whose `total` says how many are sent. Of a
    selection, so many at once are decided about as a request may take; a job goes on with the rest.
    """
    return gather(_run(trigger, requested_by), [_selection(removals).only(FOR_APPROVAL)], "approve")


def cancel_removals(removals: Removals, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Has Blueshift keep the customers whose removal waits, for whatever. Goes on in a job as `approve_removals` does.

    A removal that is being sent, or has been, can't be taken back. Returns a run that sends nothing; its
    `scope["changed"]` counts those that were.
    """
    return gather(_run(trigger, requested_by), [_selection(removals).only(WAITING)], "cancel_removals")


def retry_removals(removals: Removals, requested_by: Any = None, *, trigger: Trigger = Trigger.RETRY) -> SyncRun:
    """Sends those of the removals again that are FAILED. Returns the new run."""
    return retry_failed(_selection(removals), requested_by, trigger=trigger)


def _run(trigger: Trigger, requested_by: Any) -> SyncRun:
    return run_of(CustomerRemoval, trigger, requested_by)


def _selection(removals: Removals) -> Selection:
    if isinstance(removals, Selection):
        return removals
    if isinstance(removals, QuerySet):
        return Selection(CustomerRemoval, Q(pk__in=list(removals.values_list("pk", flat=True))))
    return Selection.of(removals, CustomerRemoval)
