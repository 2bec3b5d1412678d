"""What an answer means for the records of its call.

Everything is written in one transaction: the call, the results, the records and the run. Records are only touched by
the claim's own token; one whose version went up meanwhile stays PENDING, with what is known to have arrived.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone

from ..client import Answer, CallOutcome, Endpoint, Exchange, RecordAnswer, RecordOutcome
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncState
from ..signals import call_finished, records_failed
from .audit import close_call
from .batches import Batch
from .claim import REASONS, RELEASED, STATES_OF_NO_CHANGE, next_state
from .locks import gives_way
from .policy import LIST_TROUBLES, POLICIES, Isolate, Policy, backoff_seconds, next_batch_limit
from .runs import note_outcomes, note_parked

logger = logging.getLogger(__name__)

State = SyncState.State
#: From so many failed attempts on, a batch is sent in halves.
SUSPICIOUS_ATTEMPTS = 2


@dataclass(frozen=True)
class Verdict:
    """What becomes of a record of which the answer says so."""

    state: State
    code: str = ""
    message: str = ""
    uses_attempt: bool = False
    batch_limit: int | None = None
    due_at: datetime | None = None


def settle(batch: Batch, call: ApiCall, exchange: Exchange, answer: Answer, *, blames_records: bool = True) -> None:
    """Writes down what the answer says: of the call, of each record, of the list and of the run.

    `blames_records` False: the trouble is everybody's, and no attempt of these records.
    """
    policy = POLICIES[answer.outcome]
    if not blames_records:
        policy = replace(policy, uses_attempt=False)
    failed = _write_down(batch, call, exchange, answer, policy)
    if failed is None:
        logger.warning("Call %s was answered after its lease had run out; its records go again.", call.pk)
        return
    call.refresh_from_db(fields=["state"])
    logger.info("Call %s %s: %s, %s records.", call.pk, batch.endpoint, answer.outcome, len(batch.records))
    call_finished.send_robust(sender=ApiCall, call_id=call.pk, state=call.state)
    if failed:
        records_failed.send_robust(sender=batch.model, call_id=call.pk, count=failed)


@gives_way
def _write_down(batch: Batch, call: ApiCall, exchange: Exchange, answer: Answer, policy: Policy) -> int | None:
    """Returns how many records became FAILED; None where the call's lease had run out."""
    if not close_call(call, batch, exchange, answer, policy):
        return None
    _settle_list(batch, answer, policy)
    return _settle_records(batch, answer, policy) if batch.claim is not None else 0


#: Rows changed in one statement.
SLICE = 1000
_SOUND_LIST = Q(customer_list__status=CustomerList.Status.ACTIVE)
_READ_LIST = _SOUND_LIST & ~Q(customer_list__identifier_key="")
#: What parked memberships wait for, as `why_waiting` says it of one; each row fits one of these at most.
WAITS_FOR: tuple[tuple[Q, tuple[str, str]], ...] = (
    *((Q(customer_list__status=status), trouble) for status, trouble in LIST_TROUBLES.items()),
    (_SOUND_LIST & Q(customer_list__identifier_key=""), REASONS["list_unread"]),
    (_READ_LIST & Q(is_member=True, customer__state=State.FAILED), REASONS["customer_failed"]),
    (_READ_LIST & Q(is_member=True, customer__state=State.EXCLUDED), REASONS["customer_excluded"]),
    (_READ_LIST & Q(customer__state__in=[State.PENDING, State.SENDING]), REASONS["customer_waiting"]),
)


# The records


def _settle_records(batch: Batch, answer: Answer, policy: Policy) -> int:
    """Returns how many records became FAILED."""
    pks_by_verdict: dict[Verdict, list[int]] = defaultdict(list)
    now = timezone.now()
    for record, record_answer in zip(batch.records, answer.records, strict=True):
        pks_by_verdict[_verdict(record, record_answer, policy, batch, now)].append(record.pk)
    accepted = rejected = 0
    for verdict, pks in pks_by_verdict.items():
        if verdict.state == State.SYNCED:
            accepted += _settle_accepted(batch, pks, now)
        else:
            settled = _settle_refused(batch, verdict, pks, now)
            rejected += settled if verdict.state == State.FAILED else 0
    if batch.run_id is not None:
        note_outcomes(batch.run_id, accepted=accepted, rejected=rejected)
    return rejected


def _verdict(record: Any, answer: RecordAnswer, policy: Policy, batch: Batch, now: datetime) -> Verdict:
    if answer.outcome == RecordOutcome.ACCEPTED:
        return Verdict(State.SYNCED)
    if answer.outcome == RecordOutcome.REJECTED:
        return Verdict(State.FAILED, answer.code, answer.message)
    if policy.list_status is not None and batch.customer_list is not None:
        return Verdict(State.PENDING, *LIST_TROUBLES[policy.list_status])
    attempts = record.attempts + policy.uses_attempt
    if attempts >= app_settings().MAX_ATTEMPTS:
        return Verdict(State.FAILED, answer.code, answer.message, uses_attempt=policy.uses_attempt)
    return Verdict(
        State.PENDING,
        answer.code,
        answer.message,
        uses_attempt=policy.uses_attempt,
        batch_limit=next_batch_limit(_isolation(policy, attempts), len(batch.records)),
        due_at=now + timedelta(seconds=_delay(attempts, policy)),
    )


def _isolation(policy: Policy, attempts: int) -> Isolate:
    """A batch that fails again while others go well may hold a record that breaks it: its good ones get through apart.

    In an outage, which counts as nobody's attempt, batches stay as they are.
    """
    suspicious = policy.call_wide and policy.uses_attempt and attempts >= SUSPICIOUS_ATTEMPTS
    return Isolate.HALVES if suspicious else policy.isolate


def _delay(attempts: int, policy: Policy) -> float:
    """A batch that is only cut smaller goes at once; an attempt that failed waits."""
    return backoff_seconds(attempts) if policy.uses_attempt else policy.pause_seconds


def _ours(batch: Batch, pks: Sequence[int]) -> QuerySet[Any]:
    assert batch.claim is not None  # noqa: S101 - for the type checker
    queryset: QuerySet[Any] = batch.model.objects.using(router.db_for_write(batch.model)).filter(
        pk__in=pks, claim_token=batch.claim.token
    )
    return queryset


def _settle_accepted(batch: Batch, pks: Sequence[int], now: datetime) -> int:
    """Records that Blueshift took. Those changed or asked for again meanwhile go on waiting, for another run."""
    _send_again_whose_customer_changed(batch, pks, now)
    unchanged = _ours(batch, pks).filter(version=F("claimed_version"), run_id=batch.run_id)
    in_step = unchanged.update(
        state=State.SYNCED,
        synced_version=F("claimed_version"),
        synced_fingerprint=F("fingerprint"),
        synced_at=now,
        due_at=None,
        waiting_since=None,
        attempts=0,
        batch_limit=None,
        error_code="",
        error_message="",
        **_known_membership(batch),
        **RELEASED,
    )
    changed = 0
    if in_step < len(pks):
        changed = _ours(batch, pks).update(
            **next_state(now, waiting_since=Value(now)),
            synced_version=F("claimed_version"),
            synced_at=now,
            run_id=Case(When(run_id=batch.run_id, then=Value(None)), default=F("run_id")),
            **_known_membership(batch),
            **RELEASED,
        )
    _remember_identifiers(batch, pks)
    if batch.model is Customer:
        _wake_memberships(pks, now)
    return in_step + changed


def _settle_refused(batch: Batch, verdict: Verdict, pks: Sequence[int], now: datetime) -> int:
    """Records that Blueshift didn't take. One that was changed meanwhile is tried as it is now."""
    unchanged = _ours(batch, pks).filter(version=F("claimed_version"), run_id=batch.run_id)
    parked = verdict.state == State.PENDING and verdict.due_at is None
    ended: dict[str, Any] = {"waiting_since": None} if verdict.state == State.FAILED else {}
    if parked:
        ended = {"run": None}
    settled = unchanged.update(
        state=verdict.state,
        error_code=verdict.code[:64],
        error_message=verdict.message,
        attempts=F("attempts") + int(verdict.uses_attempt),
        batch_limit=verdict.batch_limit,
        due_at=verdict.due_at,
        **ended,
        **RELEASED,
    )
    if settled < len(pks):
        _ours(batch, pks).update(**next_state(now), **RELEASED)
    if parked and batch.run_id is not None:
        note_parked(batch.run_id, settled)
    return settled


# Memberships


def _send_again_whose_customer_changed(batch: Batch, pks: Sequence[int], now: datetime) -> None:
    """A customer may have got another identifier while the list call was in flight: then it may have meant nobody."""
    if batch.customer_list is None:
        return
    at_claim = {record.pk: record.customer.version for record in batch.records}
    versions = ListMembership.objects.filter(pk__in=pks).values_list("pk", "customer__version")
    changed = [pk for pk, version in versions if version != at_claim[pk]]
    _ours(batch, changed).update(**next_state(now), **RELEASED)


def _known_membership(batch: Batch) -> dict[str, Any]:
    return {"synced_is_member": batch.endpoint == ApiCall.Endpoint.LIST_ADD} if batch.customer_list else {}


def _remember_identifiers(batch: Batch, pks: Sequence[int]) -> None:
    """Keeps the identifier under which each customer was put on the list, for the day when it changes."""
    if batch.endpoint != ApiCall.Endpoint.LIST_ADD:
        return
    accepted = set(pks)
    new = [
        ListMembership(pk=record.pk, synced_identifier=record.identifier)
        for record in batch.records
        if record.pk in accepted and record.synced_identifier != record.identifier
    ]
    ListMembership.objects.bulk_update(new, ["synced_identifier"])


def _wake_memberships(customer_pks: Sequence[int], now: datetime) -> None:
    """The memberships that waited for these customers are due, and those that lacked an identifier may have it now."""
    memberships = ListMembership.objects.filter(customer__in=customer_pks)
    wake_parked(memberships, now)
    nameless = memberships.filter(state=State.FAILED, error_code="identifier_missing")
    nameless.update(state=State.PENDING, due_at=now, waiting_since=now, error_code="", error_message="", run=None)


@gives_way
def wake_parked(memberships: QuerySet[ListMembership], now: datetime) -> int:
    """Makes those memberships due that were parked and have nothing to wait for any more."""
    readable = Q(customer_list__status=CustomerList.Status.ACTIVE) & ~Q(customer_list__identifier_key="")
    parked = memberships.filter(readable, state=State.PENDING, due_at=None)
    at_rest = Q(customer__state=State.SYNCED) | Q(is_member=False, customer__state__in=STATES_OF_NO_CHANGE)
    free = parked.filter(at_rest).values_list("pk", flat=True)
    return ListMembership.objects.filter(pk__in=list(free)).update(due_at=now, error_code="", error_message="")


def explain_parked() -> None:
    """Has every parked membership say what it waits for now; that may have changed since it was parked."""
    for waits_for, (code, message) in WAITS_FOR:
        parked = ListMembership.objects.filter(waits_for, state=State.PENDING, due_at=None).exclude(error_code=code)
        while pks := list(parked.values_list("pk", flat=True)[:SLICE]):
            ListMembership.objects.filter(pk__in=pks).update(error_code=code, error_message=message)


# The list


def _settle_list(batch: Batch, answer: Answer, policy: Policy) -> None:
    if batch.customer_list is None:
        return
    rows = CustomerList.objects.filter(pk=batch.customer_list.pk)
    if policy.list_status is not None:
        code, message = LIST_TROUBLES[policy.list_status]
        rows.update(status=policy.list_status, error_code=code, error_message=message)
    elif answer.outcome != CallOutcome.ANSWERED:
        rows.update(error_code=answer.code[:64], error_message=answer.message)
    elif batch.request.endpoint == Endpoint.LIST_READ:
        rows.update(**_list_columns(answer.data))
        wake_parked(ListMembership.objects.filter(customer_list__in=rows), timezone.now())
    else:
        rows.exclude(error_code="").update(error_code="", error_message="")


def _list_columns(data: Any) -> dict[str, Any]:
    """What "read list" says of a list. Its name comes back as `filename`."""
    identifier_key = str(data.get("source", ""))
    known = identifier_key in CustomerList.IdentifierKey.values
    user_count = data.get("user_count")
    return {
        "name": str(data.get("filename") or data.get("name") or "")[:255],
        "identifier_key": identifier_key if known else "",
        "user_count": user_count if isinstance(user_count, int) and user_count >= 0 else None,
        "read_at": timezone.now(),
        **({"read_due_at": None} if known else {}),
        "error_code": "" if known else "list_source_unknown",
        "error_message": "" if known else "Blueshift doesn't say by which identifier this list knows its customers.",
    }
