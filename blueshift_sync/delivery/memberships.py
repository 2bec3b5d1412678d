"""Memberships on their way: claiming them, and the call that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..client import Request, list_add, list_remove
from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..models import CustomerList, ListMembership, SyncRun
from .batches import Batch
from .claim import Claim, RunForChanges, due, into_calls, let_go, locked, mirror, refuse, take
from .locks import skips_locked
from .parking import why_waiting
from .runs import note_parked


def claim_memberships(name_run: RunForChanges, calls: int) -> list[Claim]:
    """Takes the memberships for up to so many calls, each of one list, all additions or all removals.

    Those that wait for something else are parked, no more at once than so many calls could hold: with a million of
    them, nobody else's work waits until all are. `name_run` is as for customers.
    """
    claims: list[Claim] = []
    for _ in range(calls):
        claim = _claim(name_run)
        if claim is None:
            break
        if claim.records:
            claims.append(claim)
    return claims


def memberships_batch(claim: Claim) -> Batch:
    """The call that puts the claimed customers on their list, or takes them off."""
    return Batch(list_change(claim.records), claim.run_id, ListMembership, claim, claim.records[0].customer_list)


def list_change(memberships: Sequence[ListMembership]) -> Request:
    """The call for these memberships, which are of one list and all additions or all removals."""
    customer_list = memberships[0].customer_list
    change = list_add if memberships[0].is_member else list_remove
    return change(
        customer_list.list_id,
        customer_list.identifier_key,
        [membership.identifier for membership in memberships],
        mode_of(customer_list),
    )


def mode_of(customer_list: CustomerList) -> str:
    """ "async" or "sync": the list's own mode, or else the setting's."""
    return customer_list.mode or app_settings().LIST_MODE


@skips_locked
def _claim(name_run: RunForChanges) -> Claim | None:
    # Under a lock, for somebody may hold the first one, and that is no reason for those of other lists to wait.
    first = locked(due(ListMembership)).first()
    if first is None:
        return None
    size = LIST_MEMBERS_PER_CALL[mode_of(first.customer_list)]
    like_it = due(ListMembership).filter(customer_list=first.customer_list_id, is_member=first.is_member)
    rows = locked(like_it).only("run_id", "batch_limit")[:size]
    for claim in take(ListMembership, into_calls(rows, size, 1), SyncRun.Kind.LISTS, name_run):
        claim.records = _sendable(claim, _with_customers(claim.records))
        return claim
    return None


def _with_customers(rows: Sequence[Any]) -> list[ListMembership]:
    """The rows in full, for they are locked now. Not joined before: their customers aren't to be locked."""
    full = ListMembership.objects.using(mirror()).select_related("customer", "customer_list")
    return list(full.filter(pk__in=[row.pk for row in rows]).order_by("pk"))


def _sendable(claim: Claim, records: Sequence[ListMembership]) -> list[ListMembership]:
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
        # PostgreSQL locks the customer of a parked record: it was changed twice in one transaction.
        left = let_go(ListMembership, claim, pks, due_at=None, run=None, error_code=code, error_message=message)
        note_parked(claim.run_id, left)
    if nameless:
        label = records[0].customer_list.get_identifier_key_display()
        refuse(
            claim,
            ListMembership,
            nameless,
            "identifier_missing",
            f"The list knows its customers by {label}, and this customer has none.",
        )
    return sendable
