"""After a crash: what a dead worker left behind is brought back.

A record may be what ended the worker: too large for its memory, or the trigger of a fault in some library. So the
records of a dead worker's claim come back in half the company, in the end alone. Who ends a worker alone, again and
again, is FAILED. A worker that somebody else ended costs its records nothing but one round in smaller batches.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from ..conf import app_settings
from ..models import ApiCall, RecordResult, SyncState
from ..models.causes import cause_of
from ..models.state import failure
from ..signals import records_failed
from .audit import RESULT_COLUMNS, links_of
from .claim import RELEASED, next_state
from .locks import HeldBySomebody, gives_up
from .policy import Isolate, next_batch_limit
from .runs import MODELS, note_outcomes
from .statements import insert_rows

logger = logging.getLogger(__name__)

WORKER_DIED = "worker_died"
WHAT_HAPPENED = "The worker ended before the answer came; nobody knows whether the call arrived."
#: Orphaned calls closed in one sweep; the next one goes on.
ORPHANS_AT_A_TIME = 1000


def recover_expired_claims() -> None:
    """Frees the records of claims that ran out. Their calls are UNKNOWN, and they go again."""
    moments = _moments_apart()
    for model in MODELS:
        expired = model._default_manager.filter(state=SyncState.State.SENDING, claim_expires_at__lt=Now())
        for token in set(expired.values_list("claim_token", flat=True)):
            # Left for the next look where somebody holds its rows: nothing else is to wait for that.
            with suppress(HeldBySomebody):
                call_id, failed = _recover_claim(model, token, moments)
                if failed and call_id is not None:
                    records_failed.send_robust(sender=model, call_id=call_id, count=failed)


def _moments_apart() -> Iterator[datetime]:
    """When records are tried that ended their workers alone: each by itself, or one would take the others with it."""
    now, longest_call = timezone.now(), sum(app_settings().TIMEOUT)
    return (now + timedelta(seconds=number * longest_call) for number in count())


@gives_up
def _recover_claim(model: type[Any], token: UUID | None, moments: Iterator[datetime]) -> tuple[int | None, int]:
    """Returns the key of the claim's call, if it was opened, and how many records became FAILED."""
    records = list(
        model.objects.select_for_update()
        .filter(state=SyncState.State.SENDING, claim_token=token, claim_expires_at__lt=Now())
        .order_by("pk")
    )
    if not records:
        return None, 0
    call = ApiCall.objects.select_for_update().filter(claim_token=token, state=ApiCall.State.OPEN).first()
    if call is not None:
        _close_unknown(call, records)
    failed = _bring_back(model.objects.filter(pk__in=[record.pk for record in records]), records, moments)
    logger.warning(
        "A worker died with a claim: %s of its records are due again, %s failed.",
        len(records) - failed,
        failed,
        extra={
            "event": "claim_recovered",
            "call_id": call.pk if call is not None else None,
            "model": model._meta.label,
            "records": len(records),
            "failed": failed,
        },
    )
    return call.pk if call is not None else None, failed


def _bring_back(rows: QuerySet[Any], records: Sequence[Any], moments: Iterator[datetime]) -> int:
    """Returns how many became FAILED."""
    first = records[0]
    is_alone = len(records) == 1
    if is_alone and first.attempts + 1 >= app_settings().MAX_ATTEMPTS and first.version == first.claimed_version:
        return _give_up(rows, first)
    rows.update(
        **next_state(next(moments) if is_alone else timezone.now()),
        attempts=F("attempts") + int(is_alone),
        batch_limit=next_batch_limit(Isolate.HALVES, len(records)),
        **RELEASED,
    )
    return 0


def _give_up(rows: QuerySet[Any], record: Any) -> int:
    said = (
        f"The worker ended while it was sending this record alone, at attempt {record.attempts + 1}, the last one. "
        "Its log may say why: too little memory for a very large record, for one. A push tries again."
    )
    why = {**failure(WORKER_DIED, said, timezone.now()), "error_cause": cause_of(WORKER_DIED, "")}
    failed = rows.update(**why, attempts=F("attempts") + 1, **RELEASED)
    if record.run_id is not None:
        note_outcomes(record.run_id, accepted=0, rejected=failed)
    return int(failed)


def close_orphaned_calls() -> None:
    """Marks calls UNKNOWN that are OPEN for longer than a lease and carry no claimed records any more.

    Not by their age alone, for the clock of the worker that opened them may be another.
    """
    deadline = timezone.now() - timedelta(seconds=app_settings().LEASE_SECONDS)
    orphans = ApiCall.objects.filter(state=ApiCall.State.OPEN, started_at__lt=deadline)
    for model in MODELS:
        carried = model._default_manager.filter(state=SyncState.State.SENDING, claim_token=OuterRef("claim_token"))
        orphans = orphans.exclude(Exists(carried))
    for pk in list(orphans.values_list("pk", flat=True)[:ORPHANS_AT_A_TIME]):
        with suppress(HeldBySomebody):
            _close_orphan(pk)


@gives_up
def _close_orphan(pk: int) -> None:
    call = ApiCall.objects.select_for_update().filter(pk=pk, state=ApiCall.State.OPEN).first()
    if call is not None:
        _close_unknown(call, [])


def _close_unknown(call: ApiCall, records: Sequence[Any]) -> None:
    """`records`: those of the call that are still in its claim, in the order of their keys, as they were sent."""
    call.state = ApiCall.State.UNKNOWN
    call.error_code = WORKER_DIED
    call.error = WHAT_HAPPENED
    call.error_count = call.record_count
    call.save(update_fields=["state", "error_code", "error", "error_count"])
    insert_rows(RecordResult, RESULT_COLUMNS, list(_results(call, records)))


def _results(call: ApiCall, records: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """One for each record that the call carried, as far as that can be known: its request names even deleted ones."""
    outcome: tuple[Any, ...] = (RecordResult.Outcome.UNKNOWN.value, WORKER_DIED, WHAT_HAPPENED, "", {})
    for position, (record, identifier) in enumerate(_carried(call, records)):
        customer, membership = links_of(record) if record is not None else (None, None)
        version = record.claimed_version if record is not None else 0
        yield (call.pk, customer, membership, position, identifier, version, *outcome)


def _carried(call: ApiCall, records: Sequence[Any]) -> list[tuple[Any, str]]:
    """By position, the record, or None for one that isn't there any more, and the identifier as it was stored."""
    sent = _identifiers_in(call.request_body) or [""] * len(records)
    if len(sent) == len(records):
        return list(zip(records, sent, strict=True))
    there = {record.identifier: record for record in records}
    return [(there.get(identifier), identifier) for identifier in sent]


def _identifiers_in(body: str) -> list[str]:
    """Whom a stored request names, in its order. Masked identifiers stay masked."""
    payload = json.loads(body) if body else {}
    if "identifier_values" in payload:
        return list(payload["identifier_values"])
    customers = payload.get("customers", [payload] if payload else [])
    return [customer.get("customer_id") or customer.get("email") or "" for customer in customers]
