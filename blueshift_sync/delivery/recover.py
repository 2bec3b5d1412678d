"""After a crash: what a dead worker left behind is brought back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from ..client import RecordAnswer, RecordOutcome
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncState
from .audit import write_results
from .claim import RELEASED, next_state
from .locks import HeldBySomebody, gives_up
from .redaction import Redaction
from .runs import SentModel

logger = logging.getLogger(__name__)

MODELS: tuple[SentModel, ...] = (Customer, ListMembership, CustomerRemoval)
WHAT_HAPPENED = "The worker ended before the answer came; nobody knows whether the call arrived."


def recover_expired_claims() -> None:
    """Frees the records of claims that ran out. Their calls are UNKNOWN, and they go again."""
    for model in MODELS:
        expired = model._default_manager.filter(state=SyncState.State.SENDING, claim_expires_at__lt=Now())
        for token in set(expired.values_list("claim_token", flat=True)):
            # Left for the next look where somebody holds its rows: nothing else is to wait for that.
            with suppress(HeldBySomebody):
                _recover_claim(model, token)


@gives_up
def _recover_claim(model: type[Any], token: UUID | None) -> None:
    now = timezone.now()
    records = list(
        model.objects.select_for_update()
        .filter(state=SyncState.State.SENDING, claim_token=token, claim_expires_at__lt=Now())
        .order_by("pk")
    )
    call = ApiCall.objects.select_for_update().filter(claim_token=token, state=ApiCall.State.OPEN).first()
    if call is not None:
        _close_unknown(call, records)
    model.objects.filter(pk__in=[record.pk for record in records], claim_token=token).update(
        **next_state(now), attempts=F("attempts") + int(call is not None), **RELEASED
    )
    logger.warning("%s records of a dead worker's claim are due again.", len(records))


def _close_unknown(call: ApiCall, records: Sequence[Any]) -> None:
    call.state = ApiCall.State.UNKNOWN
    call.error_code = "worker_died"
    call.error = WHAT_HAPPENED
    call.error_count = len(records)
    call.save(update_fields=["state", "error_code", "error", "error_count"])
    died = RecordAnswer(RecordOutcome.UNKNOWN, "worker_died", WHAT_HAPPENED)
    write_results([(call, records, [died] * len(records), Redaction.of(_payload(records)))])


def _payload(records: Sequence[Any]) -> dict[str, Any]:
    """What the call carried, as far as it is needed to know what to mask."""
    if isinstance(records[0], ListMembership):
        key = records[0].customer_list.identifier_key
        return {"identifier_key": key, "identifier_values": [record.identifier for record in records]}
    return {"customers": [record.payload for record in records]}


def close_orphaned_calls() -> None:
    """Marks calls UNKNOWN that are OPEN for longer than a lease and carry no claimed records any more.

    Not by their age alone, for the clock of the worker that opened them may be another.
    """
    deadline = timezone.now() - timedelta(seconds=app_settings().LEASE_SECONDS)
    orphans = ApiCall.objects.filter(state=ApiCall.State.OPEN, started_at__lt=deadline)
    for model in MODELS:
        carried = model._default_manager.filter(state=SyncState.State.SENDING, claim_token=OuterRef("claim_token"))
        orphans = orphans.exclude(Exists(carried))
    orphans.update(state=ApiCall.State.UNKNOWN, error_code="worker_died", error=WHAT_HAPPENED)
