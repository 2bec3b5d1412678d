"""What an operator decides about removals that wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from ..models import CustomerRemoval, SyncRun, SyncState
from .claim import mirror
from .locks import gives_way
from .push import chunks, push_records
from .removal_guards import APPROVAL_NEEDED
from .runs import AT_REST, finish_if_done

State = SyncState.State


def approve(pks: Iterable[int], run: SyncRun, by: Any) -> SyncRun:
    """Sends those of the removals in `run` that wait for somebody's yes; others are left as they are."""
    approved: list[int] = []
    for chunk in chunks(pks):
        approved += _approve(chunk, by)
    return push_records(CustomerRemoval, approved, run)


@gives_way
def _approve(pks: list[int], by: Any) -> list[int]:
    waiting = CustomerRemoval.objects.using(mirror()).filter(
        pk__in=pks, state=State.PENDING, error_code=APPROVAL_NEEDED[0]
    )
    found = list(waiting.select_for_update().order_by("pk").values_list("pk", flat=True))
    CustomerRemoval.objects.using(mirror()).filter(pk__in=found).update(decided_by=by, decided_at=timezone.now())
    return found


def cancel(pks: Iterable[int], by: Any) -> int:
    """Takes back those of the removals that wait, for whatever. Returns how many those were."""
    cancelled = 0
    runs: set[int] = set()
    for chunk in chunks(pks):
        found = _cancel(chunk, by)
        cancelled += len(found)
        runs |= {run_id for run_id in found.values() if run_id is not None}
    for run_id in runs:
        finish_if_done(run_id)
    return cancelled


@gives_way
def _cancel(pks: list[int], by: Any) -> dict[int, int | None]:
    """The runs of those that were cancelled, by primary key."""
    waiting = CustomerRemoval.objects.using(mirror()).filter(pk__in=pks, state=State.PENDING)
    found: dict[int, int | None] = dict(waiting.select_for_update().order_by("pk").values_list("pk", "run_id"))
    CustomerRemoval.objects.using(mirror()).filter(pk__in=found).update(
        state=State.EXCLUDED,
        decided_by=by,
        decided_at=timezone.now(),
        error_code="cancelled",
        error_message="Cancelled: Blueshift keeps this customer.",
        **AT_REST,
    )
    return found
