"""What the answers mean for the records of their calls.

Everything is written in one transaction: the calls, the results, the records and the runs. Records are only touched by
their claim's own token; one whose version went up meanwhile stays PENDING, with what is known to have arrived.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, router
from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from ..client import Endpoint, RecordAnswer, RecordOutcome, TransportFailure
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncRun, SyncState
from ..models.state import failure
from ..signals import call_finished, records_failed
from .audit import close_calls, write_results, write_results_of_deleted
from .batches import Batch, Finished
from .claim import RELEASED, next_state
from .identifiers import add_again, add_again_after, follow_identifiers
from .lists import after_list_call, settle_list
from .locks import HeldBySomebody, gives_up, gives_way
from .parking import wake_memberships_of
from .policy import Isolate, Policy, backoff_seconds, next_batch_limit
from .push import kind_of, push_all
from .removal_guards import owners_of, wake_removals_after
from .runs import SentModel, note_outcomes, note_parked
from .statements import find_rows, find_values, update_rows

logger = logging.getLogger(__name__)

State = SyncState.State
#: From so many failed attempts on, a batch is sent in halves.
SUSPICIOUS_ATTEMPTS = 2


@dataclass(frozen=True)
class Verdict:
    """What becomes of a record that Blueshift didn't take."""

    state: State
    code: str = ""
    message: str = ""
    uses_attempt: bool = False
    is_unknown: bool = False
    batch_limit: int | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class Alike:
    """What calls have in common of which the accepted records can be written together.

    `is_moving`: another identifier has left the list, and the customer's own is still to be dealt with.
    """

    model: SentModel
    endpoint: ApiCall.Endpoint
    run_id: int | None
    is_asynchronous: bool = False
    is_moving: bool = False


def settle(finished: Sequence[Finished]) -> list[Finished]:
    """Writes down what the answers say: of the calls, of each record, of the lists and of the runs.

    Returns the calls of which somebody holds a record, or another row that is needed: they can be settled later.
    """
    try:
        _settle_together(finished)
    except HeldBySomebody:
        if len(finished) == 1:
            return list(finished)
        return [held for each in finished for held in settle([each])]
    return []


def _settle_together(finished: Sequence[Finished]) -> None:
    try:
        failed = _write_down(finished, write_results)
    except IntegrityError:  # a record was deleted meanwhile; not looked for before, for it hardly ever happens
        failed = _write_down(finished, write_results_of_deleted)
    for each in finished:
        if each.call.pk not in failed:
            _take_no_chances(each)
            continue
        after_list_call(each.batch)
        logger.info(
            "Call %s %s: %s, %s records.",
            each.call.pk,
            each.batch.endpoint,
            each.answer.outcome,
            len(each.batch.records),
            extra={
                "event": "call_finished",
                "call_id": each.call.pk,
                "run_id": each.batch.run_id,
                "endpoint": str(each.batch.endpoint),
                "outcome": str(each.answer.outcome),
                "state": str(each.call.state),
                "status_code": each.exchange.status,
                "records": len(each.batch.records),
                "failed": failed[each.call.pk],
                "duration_ms": each.exchange.duration_ms,
            },
        )
        call_finished.send_robust(sender=ApiCall, call_id=each.call.pk, state=each.call.state)
        if count := failed[each.call.pk]:
            records_failed.send_robust(sender=each.batch.model, call_id=each.call.pk, count=count)


def _take_no_chances(late: Finished) -> None:
    """A call so late may have reached Blueshift after a newer one of the same records, and undone it: they go again."""
    if late.exchange.failure == TransportFailure.NOT_SENT:
        return
    if late.batch.request.endpoint == Endpoint.LIST_CREATE:
        settle_list(late)
        after_list_call(late.batch)
        return
    logger.warning(
        "Call %s was answered after its lease had run out; its records go again.",
        late.call.pk,
        extra={"event": "call_late", "call_id": late.call.pk, "records": len(late.batch.records)},
    )
    add_again_after(late.batch)
    touched = _touched_by(late.batch)
    for rows in touched:
        _doubt(rows)
    overtaken = [
        (rows.model, list(rows.filter(state__in=[State.SENDING, State.SYNCED]).values_list("pk", flat=True)))
        for rows in touched
    ]
    if any(pks for _model, pks in overtaken):
        run = SyncRun.objects.create(kind=kind_of(late.batch.model), trigger=SyncRun.Trigger.SWEEP)
        push_all(overtaken, run)


@gives_way
def _doubt(rows: QuerySet[Any]) -> None:
    """What Blueshift holds of them isn't known any more: who isn't to be sent now is sent when that changes."""
    pks = list(rows.exclude(synced_fingerprint="").order_by("pk").values_list("pk", flat=True))
    rows.model._default_manager.filter(pk__in=pks).update(synced_fingerprint="")


def _touched_by(batch: Batch) -> list[QuerySet[Any]]:
    """The records whose part in Blueshift a call may have undone if it got there after a newer one.

    A customer's call may have brought back somebody who was removed, and a removal somebody who came back himself.
    """
    pks = [record.pk for record in batch.records]
    if batch.model is CustomerRemoval:
        owners = {owner.pk for owner in owners_of(batch.records).values()}
        return [Customer.objects.filter(pk__in=owners | {removal.customer_id for removal in batch.records})]
    own = batch.model._default_manager.filter(pk__in=pks)
    return [own, CustomerRemoval.objects.filter(customer__in=pks)] if batch.model is Customer else [own]


@gives_up
def _write_down(finished: Sequence[Finished], write: Callable[[Iterable[Any]], None]) -> dict[int, int]:
    """Returns how many records became FAILED in each call; calls whose lease had run out are left out."""
    ours = close_calls(finished)
    write((each.call, each.batch.records, each.answer.records, each.redaction) for each in ours)
    for each in ours:
        settle_list(each)
    failed = _settle_records(ours)
    for each in ours:
        add_again(each)
    wake_removals_after([each.batch for each in ours], timezone.now())
    return failed


# The records


def _settle_records(finished: Sequence[Finished]) -> dict[int, int]:
    """Returns how many records became FAILED in each call."""
    now = timezone.now()
    accepted_of_run: Counter[int | None] = Counter()
    rejected_of_run: Counter[int | None] = Counter()
    unknown_of_run: Counter[int | None] = Counter()
    failed: dict[int, int] = {}
    accepted: dict[Alike, dict[UUID, list[Any]]] = defaultdict(dict)
    _send_again_whose_customer_changed(finished, now)
    for each in finished:
        taken, refused = _sorted_by_verdict(each, now)
        if each.batch.claim is not None and taken:
            for alike, records in _sorted_by_kind(each.batch, taken).items():
                accepted[alike][each.batch.claim.token] = records
        failed[each.call.pk] = 0
        for verdict, pks in refused.items():
            count = _settle_refused(each.batch, verdict, pks, now)
            failed[each.call.pk] += count
            rejected_of_run[each.batch.run_id] += count
            unknown_of_run[each.batch.run_id] += count * verdict.is_unknown
    for alike, of_calls in accepted.items():
        accepted_of_run[alike.run_id] += (_settle_moving if alike.is_moving else _settle_accepted)(alike, of_calls, now)
    for run_id in accepted_of_run.keys() | rejected_of_run.keys():
        if run_id is not None:
            note_outcomes(
                run_id,
                accepted=accepted_of_run[run_id],
                rejected=rejected_of_run[run_id],
                unknown=unknown_of_run[run_id],
            )
    return failed


def _sorted_by_kind(batch: Batch, taken: list[Any]) -> dict[Alike, list[Any]]:
    alike = Alike(batch.model, batch.endpoint, batch.run_id, batch.is_asynchronous)
    if batch.endpoint != ApiCall.Endpoint.LIST_REMOVE:
        return {alike: taken}
    by_kind: dict[Alike, list[Any]] = defaultdict(list)
    for record in taken:
        by_kind[replace(alike, is_moving=record.is_moving)].append(record)
    return by_kind


def _sorted_by_verdict(finished: Finished, now: datetime) -> tuple[list[Any], dict[Verdict, list[int]]]:
    """The records that Blueshift took, and by verdict the primary keys of the others."""
    taken = []
    refused: dict[Verdict, list[int]] = defaultdict(list)
    for record, answer in zip(finished.batch.records, finished.answer.records, strict=True):
        if answer.outcome == RecordOutcome.ACCEPTED:
            taken.append(record)
        else:
            refused[_verdict(record, answer, finished, now)].append(record.pk)
    return taken, refused


def _verdict(record: Any, answer: RecordAnswer, finished: Finished, now: datetime) -> Verdict:
    policy, batch = finished.policy, finished.batch
    if finished.members_wait is not None:
        # What halving has found out already isn't to be found out again.
        return Verdict(State.PENDING, *finished.members_wait, batch_limit=record.batch_limit)
    if answer.outcome == RecordOutcome.REJECTED:
        return Verdict(State.FAILED, answer.code, answer.message)
    attempts = record.attempts + policy.uses_attempt
    if attempts >= app_settings().MAX_ATTEMPTS:
        is_unknown = answer.outcome == RecordOutcome.UNKNOWN
        return Verdict(
            State.FAILED, answer.code, answer.message, uses_attempt=policy.uses_attempt, is_unknown=is_unknown
        )
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


def _claimed(model: type[Any], pks: Iterable[int], tokens: Iterable[UUID]) -> QuerySet[Any]:
    queryset: QuerySet[Any] = model.objects.using(router.db_for_write(model)).filter(
        pk__in=list(pks), claim_token__in=list(tokens)
    )
    return queryset


def _settle_accepted(alike: Alike, records: dict[UUID, list[Any]], now: datetime) -> int:
    """Records that Blueshift took, by claim. Those changed or asked for again meanwhile wait on, for another run."""
    pks = [record.pk for taken in records.values() for record in taken]
    known = _known_membership(alike)
    in_step_now = {
        "state": State.SYNCED.value,
        "synced_version": F("claimed_version"),
        "synced_fingerprint": F("fingerprint"),
        "synced_at": now,
        "due_at": None,
        "waiting_since": None,
        "attempts": 0,
        "batch_limit": None,
        "error_code": "",
        "error_message": "",
        **known,
        **RELEASED,
    }
    tokens = list(records)
    in_step = update_rows(
        alike.model, pks, in_step_now, claim_token=tokens, version=F("claimed_version"), run=alike.run_id
    )
    changed = 0
    if in_step < len(pks):
        changed = _claimed(alike.model, pks, tokens).update(
            **next_state(now, waiting_since=Value(now)),
            synced_version=F("claimed_version"),
            synced_at=now,
            run_id=Case(When(run_id=alike.run_id, then=Value(None)), default=F("run_id")),
            **known,
            **RELEASED,
        )
    if alike.model is Customer and find_rows(ListMembership, customer=pks):  # many a site has no lists
        follow_identifiers({record.pk: record for taken in records.values() for record in taken}, now)
        wake_memberships_of(pks, now)
    return in_step + changed


def _settle_moving(alike: Alike, records: dict[UUID, list[Any]], now: datetime) -> int:
    """Another identifier of these customers has left the list: next their own is dealt with. Nothing has ended yet."""
    pks = [record.pk for taken in records.values() for record in taken]
    _claimed(alike.model, pks, records).update(
        **next_state(now), **_known_membership(alike), attempts=0, batch_limit=None, **RELEASED
    )
    return 0


def _settle_refused(batch: Batch, verdict: Verdict, pks: Sequence[int], now: datetime) -> int:
    """Records that Blueshift didn't take; one that was changed meanwhile is tried as it is now. Returns the FAILED."""
    assert batch.claim is not None  # nosec B101  # noqa: S101 - for the type checker
    ours = _claimed(batch.model, pks, [batch.claim.token])
    parked = verdict.state == State.PENDING and verdict.due_at is None
    columns: dict[str, Any] = {
        "state": verdict.state,
        "error_code": verdict.code[:64],
        "error_message": verdict.message,
        "due_at": verdict.due_at,
    }
    if verdict.state == State.FAILED:
        columns = failure(verdict.code, verdict.message, now)
    elif parked:
        columns |= {"run": None, "left_run": batch.run_id}
    settled = ours.filter(version=F("claimed_version"), run_id=batch.run_id).update(
        **columns,
        attempts=F("attempts") + int(verdict.uses_attempt),
        batch_limit=verdict.batch_limit,
        **RELEASED,
    )
    if settled < len(pks):
        ours.update(**next_state(now), **RELEASED)
    if parked and batch.run_id is not None:
        note_parked(batch.run_id, settled)
    return settled if verdict.state == State.FAILED else 0


# Memberships


def _send_again_whose_customer_changed(finished: Sequence[Finished], now: datetime) -> None:
    """A customer may have got another identifier while the list call was in flight: then it may have meant nobody.

    Of those who were accepted; the others go again anyhow, or wait for somebody.
    """
    accepted = [
        record
        for each in finished
        if each.batch.model is ListMembership
        for record, answer in zip(each.batch.records, each.answer.records, strict=True)
        if answer.outcome == RecordOutcome.ACCEPTED
    ]
    if not accepted:
        return
    versions = dict(find_values(Customer, ["id", "version"], id=[record.customer_id for record in accepted]))
    changed = [record.pk for record in accepted if versions.get(record.customer_id) != record.customer.version]
    tokens = [each.batch.claim.token for each in finished if each.batch.claim is not None]
    _claimed(ListMembership, changed, tokens).update(**next_state(now), **RELEASED)


def _known_membership(alike: Alike) -> dict[str, Any]:
    """The columns that say what an accepted call has made of a membership."""
    match alike.endpoint:
        case ApiCall.Endpoint.LIST_ADD:
            return {"synced_is_member": True, "synced_asynchronously": alike.is_asynchronous, "left_run": None}
        case ApiCall.Endpoint.LIST_REMOVE:
            columns = {"synced_is_member": False, "synced_asynchronously": alike.is_asynchronous, "left_run": None}
            return {**columns, "synced_identifier": ""}
        case _:
            return {}
