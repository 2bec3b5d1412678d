"""Removals of customers on their way: claiming them, and the call that carries one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from ..client import Request, delete_customer, forget_customer
from ..models import Customer, CustomerRemoval, SyncRun, SyncState
from .batches import Batch
from .claim import Claim, RunForChanges, due, let_go, locked, mirror, take
from .locks import gives_way, skips_locked
from .removal_guards import IDENTIFIER_IN_USE, in_use, masses_around, park_masses, why_waiting

State = SyncState.State

REQUESTS: dict[str, Callable[[str, str], Request]] = {
    CustomerRemoval.Kind.DELETE: delete_customer,
    CustomerRemoval.Kind.FORGET: forget_customer,
}


class Taken(NamedTuple):
    """The claims, and when the hours begin of whose removals there are suspiciously many."""

    claims: list[Claim]
    masses: set[datetime]


def claim_removals(name_run: RunForChanges, calls: int, of_run: int | None = None) -> list[Claim]:
    """Takes removals for up to so many calls, one for each.

    `name_run` and `of_run` are as for customers. What has to wait is parked; what mustn't be done any more is EXCLUDED.
    Not all of it at once: with a million of them, nobody else's work waits until that is done.
    """
    for _ in range(calls):
        taken = _claim(name_run, calls, of_run)
        if taken is None:
            break
        park_masses(taken.masses)
        _expect_nothing_in_blueshift(taken.claims)
        if sendable := _without_those_in_use(taken.claims):
            return sendable
    return []


def removal_batch(claim: Claim) -> Batch:
    """The call that removes the claimed customer."""
    (removal,) = claim.records
    return Batch(removal_request(removal), claim.run_id, CustomerRemoval, claim)


def removal_request(removal: CustomerRemoval) -> Request:
    """The call that removes this customer."""
    return REQUESTS[removal.kind](removal.identifier_key, removal.identifier)


@skips_locked
def _claim(name_run: RunForChanges, calls: int, of_run: int | None) -> Taken | None:
    """Takes those of the due removals that nothing has to go before. None: none is due."""
    rows = list(locked(due(CustomerRemoval, of_run))[:calls])
    if not rows:
        return None
    masses = masses_around(rows)
    waiting = why_waiting(rows)
    _park({pk: reason for pk, reason in waiting.items() if pk not in masses})
    free = [[row] for row in rows if row.pk not in masses and row.pk not in waiting]
    claims = take(CustomerRemoval, free, SyncRun.Kind.CUSTOMERS, name_run) if free else []
    as_claimed = CustomerRemoval.objects.using(mirror()).in_bulk([row.pk for (row,) in free])
    for claim in claims:
        claim.records = [as_claimed[row.pk] for row in claim.records]
    return Taken(claims, set(masses.values()))


def _park(reasons: dict[int, tuple[str, str]]) -> None:
    """Only for removals that were read under a lock in this transaction."""
    pks_by_reason: dict[tuple[str, str], list[int]] = defaultdict(list)
    for pk, reason in reasons.items():
        pks_by_reason[reason].append(pk)
    for (code, message), pks in pks_by_reason.items():
        rows = CustomerRemoval.objects.using(mirror()).filter(pk__in=pks)
        rows.update(due_at=None, error_code=code, error_message=message)


@gives_way
def _expect_nothing_in_blueshift(claims: Sequence[Claim]) -> None:
    """From here on nobody knows what Blueshift holds of these customers: made again, they are sent as they are.

    Before it is asked whether their identifiers are in use, so that a customer who comes back is either seen or sent.
    """
    customers = [removal.customer_id for claim in claims for removal in claim.records]
    rows = Customer.objects.using(mirror()).filter(pk__in=customers, source_id=None)
    pks = list(rows.exclude(synced_fingerprint="").order_by("pk").values_list("pk", flat=True))
    Customer.objects.using(mirror()).filter(pk__in=pks).update(synced_fingerprint="")


def _without_those_in_use(claims: Sequence[Claim]) -> list[Claim]:
    """Leaves out the removals that would hit a customer who is to stay: they are EXCLUDED.

    Looked at after the claims are committed, as customers look for removals after theirs: of two workers at least the
    later one sees the other.
    """
    used = in_use([removal for claim in claims for removal in claim.records])
    sendable = []
    for claim in claims:
        (removal,) = claim.records
        if removal.pk not in used:
            sendable.append(claim)
            continue
        let_go(
            CustomerRemoval,
            claim,
            [removal.pk],
            state=State.EXCLUDED,
            due_at=None,
            waiting_since=None,
            error_code=IDENTIFIER_IN_USE,
            error_message=used[removal.pk],
        )
    return sendable
