"""What is done to the removals of one slice when an operator decides about them, in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from ..models import CustomerRemoval, SyncRun, SyncState
from . import bulk
from .claim import mirror
from .gathering import Done
from .removal_guards import APPROVAL_NEEDED
from .runs import AT_REST, SentModel

State = SyncState.State
#: Those that haven't left, whatever they wait for; and those of them that wait for somebody's yes.
WAITING = Q(state=State.PENDING)
FOR_APPROVAL = WAITING & Q(error_code=APPROVAL_NEEDED[0])


def approve(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Has those of the removals sent that wait for somebody's yes. Others are left as they are."""
    found = list(_locked(FOR_APPROVAL, pks).values_list("pk", flat=True))
    _rows(found).update(decided_by=run.requested_by, decided_at=timezone.now())
    return bulk.send(run, CustomerRemoval, found)


def cancel(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Takes back those of the removals that wait, for whatever."""
    found: dict[int, int | None] = dict(_locked(WAITING, pks).values_list("pk", "run_id"))
    _rows(list(found)).update(
        decided_by=run.requested_by,
        decided_at=timezone.now(),
        **{
            **AT_REST,
            "state": State.EXCLUDED,
            "error_code": "cancelled",
            "error_message": "Cancelled: Blueshift keeps this customer.",
        },
    )
    return Done(changed=len(found), overtaken={run_id for run_id in found.values() if run_id is not None})


def _locked(which: Q, pks: Sequence[int]) -> QuerySet[CustomerRemoval]:
    return _rows(pks).filter(which).select_for_update().order_by("pk")


def _rows(pks: Sequence[int]) -> QuerySet[Any]:
    return CustomerRemoval.objects.using(mirror()).filter(pk__in=pks)
