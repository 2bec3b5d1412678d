"""Decisions over the removal of customers from Blueshift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Q, QuerySet

from ..delivery import decisions
from ..delivery.selections import Selection
from ..models import CustomerRemoval, SyncRun
from .runs import CHUNK, Trigger, new_run
from .sending import retry_failed


def approve_removals(
    removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Has Blueshift remove the customers whose removal waits for somebody's yes. That can't be undone.

    Removals that don't wait for it are left as they are. Returns the run, whose `total` says how many are sent.
    """
    return decisions.approve(_pks(removals), new_run(CustomerRemoval, trigger, requested_by), requested_by)


def cancel_removals(removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval], requested_by: Any = None) -> int:
    """Has Blueshift keep the customers whose removal waits, for whatever. Returns how many those are.

    A removal that is being sent, or has been, can't be taken back.
    """
    return decisions.cancel(_pks(removals), requested_by)


def retry_removals(
    removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.RETRY,
) -> SyncRun:
    """Sends those of the removals again that are FAILED. Returns the new run."""
    return retry_failed(Selection(CustomerRemoval, Q(pk__in=list(_pks(removals)))), requested_by, trigger=trigger)


def _pks(removals: QuerySet[CustomerRemoval] | Iterable[CustomerRemoval]) -> Iterator[int]:
    if isinstance(removals, QuerySet):
        return removals.order_by("pk").values_list("pk", flat=True).iterator(CHUNK)
    return (removal.pk for removal in removals)
