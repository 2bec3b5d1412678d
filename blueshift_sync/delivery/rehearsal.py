"""The calls that a run would make: claimed as by workers, and taken for accepted. The caller undoes all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncRun, SyncState
from .batches import Batch
from .claim import RELEASED, Claim, mirror
from .customers import claim_customers, customers_batch
from .memberships import ListTurns, claim_memberships, memberships_batch
from .removals import claim_removals, removal_batch
from .runs import SentModel
from .work import batches_of

State = SyncState.State
BATCHES = {Customer: customers_batch, ListMembership: memberships_batch, CustomerRemoval: removal_batch}


def calls_of(run: SyncRun, model: SentModel) -> list[Batch]:
    """What the run sends of `model`, call by call, if nothing else waits and Blueshift takes all of it.

    To be called in a transaction that is rolled back. What no call carries says why not, as it does when it is sent.
    """
    records = model._default_manager.using(mirror()).filter(run=run)
    # As if the calls had ended that carry some of them now.
    records.filter(state=State.SENDING).update(state=State.PENDING, due_at=timezone.now(), **RELEASED)
    calls: list[Batch] = []
    for claims in _all_claims(run, model, records):
        batches = batches_of(claims, BATCHES[model], model)
        for batch in batches:
            _take_for_accepted(batch, records)
        calls += batches
    return calls


def _all_claims(run: SyncRun, model: SentModel, records: QuerySet[Any]) -> Iterator[Sequence[Claim]]:
    """What workers would claim, until there is nothing that they could."""
    turns = ListTurns(run.pk)
    while True:
        while claims := _claim(run, model, turns):
            yield claims
        # What was given back is due in a second.
        records.filter(state=State.PENDING, due_at__isnull=False).update(due_at=timezone.now())
        if not (claims := _claim(run, model, turns)):
            return
        yield claims


def _claim(run: SyncRun, model: SentModel, turns: ListTurns) -> Sequence[Claim]:
    calls = app_settings().CONCURRENCY
    if model is ListMembership:
        return claim_memberships(lambda kind: run.pk, calls, turns)
    claim = claim_customers if model is Customer else claim_removals
    return claim(lambda kind: run.pk, calls, run.pk)


def _take_for_accepted(batch: Batch, records: QuerySet[Any]) -> None:
    """Its records are in step; but those whose old identifier has left a list are still to be added."""
    carried = records.filter(pk__in=[record.pk for record in batch.records])
    if batch.endpoint == ApiCall.Endpoint.LIST_REMOVE:
        moving = carried.filter(pk__in=[record.pk for record in batch.records if record.is_moving])
        moving.update(state=State.PENDING, due_at=timezone.now(), synced_identifier="", **RELEASED)
    carried.filter(state=State.SENDING).update(state=State.SYNCED, due_at=None, **RELEASED)
