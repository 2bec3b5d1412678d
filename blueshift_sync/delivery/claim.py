"""Claiming due records for one call.

A claim is a lease: the records are SENDING and carry its token until `claim_expires_at`. It is taken by one
conditional UPDATE, which decides between two workers on every database; where the database can, rows that another
worker is just claiming are skipped instead of waited for.

What a claim returns is sent as it was read here, in the claim's own transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..models import Customer, CustomerList, ListMembership, SyncRun, SyncState
from .locks import gives_way
from .policy import LIST_TROUBLES
from .runs import note_outcomes, note_parked

RunForChanges = Callable[[SyncRun.Kind], int]


@dataclass
class Claim:
    """Records that belong to one call, in the order in which they are sent."""

    token: uuid.UUID
    run_id: int
    records: Sequence[Customer] | Sequence[ListMembership] = field(default_factory=list)

    @property
    def attempt(self) -> int:
        """The number of this attempt for the record that was tried most often."""
        return 1 + max(record.attempts for record in self.records)


def claim_customers(run_for_changes: RunForChanges) -> Claim | None:
    """Takes the customers for one call. None: none is due that can be sent.

    `run_for_changes` names the run for records that nobody asked for by name.
    """
    return _first_with_records(_claim_customers, run_for_changes)


def claim_memberships(run_for_changes: RunForChanges) -> Claim | None:
    """Takes the memberships for one call: of one list, all additions or all removals. None: none can be sent.

    Those that wait for something else (their customer, their list) are parked: they have no due time until it comes.
    """
    return _first_with_records(_claim_memberships, run_for_changes)


def _first_with_records(take: Callable[[RunForChanges], Claim | None], run_for_changes: RunForChanges) -> Claim | None:
    """The first claim that still has records when those that can't be sent were put aside."""
    while (claim := take(run_for_changes)) is not None:
        if claim.records:
            return claim
    return None


def lists_to_read() -> QuerySet[CustomerList]:
    """The lists of which the identifier isn't known yet, and which can be read."""
    return CustomerList.objects.filter(identifier_key="", status=CustomerList.Status.ACTIVE)


def claim_list_to_read() -> CustomerList | None:
    """Takes a list whose identifier has to be read from Blueshift; nobody else does so for a while."""
    now = timezone.now()
    for row in lists_to_read().filter(read_due_at__lte=now).order_by("read_due_at", "pk")[:1]:
        again_at = now + timedelta(seconds=READ_AGAIN_SECONDS)
        if CustomerList.objects.filter(pk=row.pk, read_due_at=row.read_due_at).update(read_due_at=again_at):
            return row
    return None


def _claim_customers(run_for_changes: RunForChanges) -> Claim | None:
    with transaction.atomic(using=_mirror(), durable=True):
        candidates = _candidates(_due(Customer), app_settings().CUSTOMERS_PER_CALL)
        claim = _take(Customer, candidates, SyncRun.Kind.CUSTOMERS, run_for_changes)
        if claim is None:
            return None
        records = list(_claimed(Customer, claim).order_by("pk"))
        claim.records = _first_of_each_email(_sendable_customers(claim, records))
        _give_back(Customer, claim, records)
    _give_back_contested(claim)
    return claim


@gives_way
def _claim_memberships(run_for_changes: RunForChanges) -> Claim | None:
    first = _due(ListMembership).select_related("customer_list").first()
    if first is None:
        return None
    limit = LIST_MEMBERS_PER_CALL[first.customer_list.mode or app_settings().LIST_MODE]
    like_it = _due(ListMembership).filter(customer_list=first.customer_list_id, is_member=first.is_member)
    claim = _take(ListMembership, _candidates(like_it, limit), SyncRun.Kind.LISTS, run_for_changes)
    if claim is None:
        return None
    records = list(_claimed(ListMembership, claim).select_related("customer", "customer_list").order_by("pk"))
    # PostgreSQL locks the customer of a parked record: it was changed twice in one transaction.
    claim.records = _sendable_memberships(claim, records)
    return claim


#: The columns of a record that belongs to no claim.
RELEASED: dict[str, Any] = {"claim_token": None, "claim_expires_at": None, "claimed_version": None}
#: The states of a customer who may never be sent again.
STATES_OF_NO_CHANGE = (SyncState.State.FAILED, SyncState.State.EXCLUDED)
#: What a membership waits for, by code, as a code and a sentence.
REASONS = {
    code: (code, message)
    for code, message in (
        ("list_unread", "The list is read from Blueshift first, to know its identifier."),
        ("customer_waiting", "The customer goes first; the membership follows when it is in step."),
        ("customer_failed", "The customer failed; the membership follows when it is in step."),
        ("customer_excluded", "The customer is excluded; the membership follows when it is in step."),
    )
}
#: What is said of a customer without identifier.
NO_IDENTIFIER = (
    "identifier_missing",
    "Neither customer ID nor e-mail: Blueshift needs one of them to know the customer.",
)


#: Seconds after which a list is read again that couldn't be read.
READ_AGAIN_SECONDS = 30


def _mirror() -> str:
    return router.db_for_write(Customer)


def _due(model: type[Any]) -> QuerySet[Any]:
    queryset: QuerySet[Any] = (
        model.objects.using(_mirror())
        .filter(state=SyncState.State.PENDING, due_at__lte=timezone.now())
        .order_by("due_at", "pk")
    )
    return queryset


def _claimed(model: type[Any], claim: Claim) -> QuerySet[Any]:
    """The claim's records; by the state too, which has an index."""
    queryset: QuerySet[Any] = model.objects.using(_mirror()).filter(
        state=SyncState.State.SENDING, claim_token=claim.token
    )
    return queryset


def _candidates(due: QuerySet[Any], limit: int) -> list[tuple[int, int | None]]:
    """Primary keys and runs of the longest due records that may share a call: of one run, and in company they bear."""
    if connections[_mirror()].features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True)
    taken: list[tuple[int, int | None]] = []
    for pk, run_id, batch_limit in due.values_list("pk", "run_id", "batch_limit")[:limit]:
        if taken and run_id != taken[0][1]:
            continue
        limit = min(limit, batch_limit or limit)
        if len(taken) >= limit:
            break
        taken.append((pk, run_id))
    return taken


def _take(
    model: type[Any],
    candidates: Sequence[tuple[int, int | None]],
    kind: SyncRun.Kind,
    run_for_changes: RunForChanges,
) -> Claim | None:
    if not candidates:
        return None
    run_id = candidates[0][1]
    new_in_run = run_id is None
    run_id = run_id or run_for_changes(kind)
    claim = Claim(uuid.uuid4(), run_id)
    taken = (
        _due(model)
        .order_by()
        .filter(pk__in=[pk for pk, _ in candidates])
        .update(
            state=SyncState.State.SENDING,
            claim_token=claim.token,
            # By the database's clock, for those of two workers may differ.
            claim_expires_at=Now() + timedelta(seconds=app_settings().LEASE_SECONDS),
            claimed_version=F("version"),
            synced_fingerprint="",  # from here on nobody knows what Blueshift holds, until it answers
            error_code="",
            error_message="",
            run_id=run_id,
        )
    )
    if new_in_run:
        SyncRun.objects.filter(pk=run_id).update(total=F("total") + taken, heartbeat_at=timezone.now())
    return claim if taken else None


def _sendable_customers(claim: Claim, records: Sequence[Customer]) -> list[Customer]:
    """The records that Blueshift could match to anybody. The others are FAILED."""
    nameless = [record.pk for record in records if not record.identifier]
    _refuse(claim, Customer, nameless, *NO_IDENTIFIER)
    return [record for record in records if record.identifier]


def _first_of_each_email(customers: Iterable[Customer]) -> list[Customer]:
    """Of customers that only their e-mail identifies, one for each address: two in a batch would collide."""
    seen: set[str] = set()
    kept = []
    for customer in customers:
        if not customer.customer_id:
            if customer.email_key in seen:
                continue
            seen.add(customer.email_key)
        kept.append(customer)
    return kept


def _give_back_contested(claim: Claim) -> None:
    """Returns the customers that another call is carrying under the same e-mail address.

    Looked at after the claim is committed: of two workers at least the later one sees the other.
    """
    customers = [record for record in claim.records if isinstance(record, Customer)]
    emails = {record.email_key for record in customers if not record.customer_id}
    if not emails:
        return
    elsewhere = set(
        Customer.objects.using(_mirror())
        .filter(state=SyncState.State.SENDING, customer_id=None, email_key__in=emails)
        .exclude(claim_token=claim.token)
        .values_list("email_key", flat=True)
    )
    if elsewhere:
        claim.records = [record for record in customers if record.customer_id or record.email_key not in elsewhere]
        _give_back(Customer, claim, customers)


def _give_back(model: type[Any], claim: Claim, claimed: Sequence[Any]) -> None:
    kept = {record.pk for record in claim.records}
    returned = [record.pk for record in claimed if record.pk not in kept]
    _let_go(model, claim, returned, **next_state(timezone.now() + timedelta(seconds=1)))


def release(model: type[Any], claim: Claim) -> None:
    """Gives up a claim that was not sent: its records are due as before."""
    _let_go(model, claim, [record.pk for record in claim.records], **next_state(timezone.now()))


def next_state(due_at: datetime, *, waiting_since: Any = None) -> dict[str, Any]:
    """Where a record goes that may have been changed since it was claimed: its error code says it, see `mark_changed`.

    One that is still to be sent is due at `due_at`, and waits since `waiting_since`, or as long as it did.
    """
    excluded = Q(error_code__in=SyncState.EXCLUDED_CODES)
    unsendable = Q(error_code__in=SyncState.UNSENDABLE_CODES)
    return {
        "state": Case(
            When(excluded, then=Value(SyncState.State.EXCLUDED)),
            When(unsendable, then=Value(SyncState.State.FAILED)),
            default=Value(SyncState.State.PENDING),
        ),
        "due_at": Case(When(excluded | unsendable, then=Value(None)), default=Value(due_at)),
        "waiting_since": Case(
            When(excluded | unsendable, then=Value(None)), default=waiting_since or F("waiting_since")
        ),
    }


@gives_way
def _let_go(model: type[Any], claim: Claim, pks: Sequence[int], **columns: Any) -> int:
    if not pks:
        return 0
    columns = {"state": SyncState.State.PENDING, **columns}
    rows = model.objects.using(_mirror()).filter(pk__in=pks, claim_token=claim.token)
    updated: int = rows.update(**columns, **RELEASED)
    return updated


def _refuse(claim: Claim, model: type[Any], pks: Sequence[int], code: str, message: str) -> None:
    """Marks records FAILED that could never be matched, without asking Blueshift."""
    refused = _let_go(
        model,
        claim,
        pks,
        state=SyncState.State.FAILED,
        due_at=None,
        waiting_since=None,
        error_code=code,
        error_message=message,
    )
    if refused:
        note_outcomes(claim.run_id, accepted=0, rejected=refused)


def _sendable_memberships(claim: Claim, records: Sequence[ListMembership]) -> list[ListMembership]:
    """The records that can go now. The others are parked, or FAILED where nothing would help."""
    sendable: list[ListMembership] = []
    parked: dict[tuple[str, str], list[int]] = {}
    nameless: list[int] = []
    for record in records:
        reason = why_waiting(record)
        if reason is not None:
            parked.setdefault(reason, []).append(record.pk)
        elif not record.identifier:
            nameless.append(record.pk)
        else:
            sendable.append(record)
    for (code, message), pks in parked.items():
        left = _let_go(ListMembership, claim, pks, due_at=None, run=None, error_code=code, error_message=message)
        note_parked(claim.run_id, left)
    if nameless:
        label = records[0].customer_list.get_identifier_key_display()
        _refuse(
            claim,
            ListMembership,
            nameless,
            "identifier_missing",
            f"The list knows its customers by {label}, and this customer has none.",
        )
    return sendable


def why_waiting(membership: ListMembership) -> tuple[str, str] | None:
    """For what a membership has to wait, as a code and a sentence; None when it can be sent.

    The customer goes first, for its identifier may be about to change. A removal doesn't wait for one who may never be
    sent again.
    """
    status = CustomerList.Status(membership.customer_list.status)
    if status != CustomerList.Status.ACTIVE:
        return LIST_TROUBLES[status]
    if not membership.customer_list.identifier_key:
        return REASONS["list_unread"]
    state = membership.customer.state
    if state == SyncState.State.SYNCED or (not membership.is_member and state in STATES_OF_NO_CHANGE):
        return None
    match state:
        case SyncState.State.FAILED:
            return REASONS["customer_failed"]
        case SyncState.State.EXCLUDED:
            return REASONS["customer_excluded"]
        case _:
            return REASONS["customer_waiting"]
