"""Memberships on their way: claiming them, and the call that carries them.

A customer is on a list under one identifier. Where that changes, the old one leaves the list before the new one joins
it: two calls, each claimed by itself. `synced_identifier` is written before a call leaves, so that whatever becomes of
it, what may be on the list is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from ..client import Request, list_add, list_remove
from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..models import CustomerList, ListMembership, SyncRun
from .batches import Batch
from .claim import Claim, RunForChanges, due, into_calls, let_go, locked, mirror, refuse, take
from .identifiers import hand_over, removed_without_a_call
from .locks import skips_locked
from .parking import why_waiting
from .runs import finish_if_done, note_parked
from .statements import update_each

#: Of so many lists more all due members may turn out to have to wait, before others are left for the next time.
OTHER_LISTS = 10


class ListTurns:
    """Whose turn it is: the lists that have due members, one after the other, so that none waits for another's all."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._ahead: list[int] = []
        self._at_a_time = 1

    def begin(self, calls: int) -> None:
        """So many calls are about to be claimed. What was found before is old."""
        self._ahead, self._at_a_time = [], calls

    def next(self) -> int | None:
        """The key of the list whose turn it is; None where no list has due members.

        The first one is that whose member is due for longest: what one worker didn't come to, the next begins with.
        """
        if not self._ahead:
            self._ahead = self._look()
        if not self._ahead:
            return None
        self._last = self._ahead.pop(0)
        return self._last

    def _look(self) -> list[int]:
        first = due(ListMembership).values_list("customer_list_id", flat=True).first()
        if first is None:
            return []
        if self._last is None:
            return [first]
        lists = lists_with_due_members()
        return list(lists.filter(pk__gt=self._last)[: self._at_a_time]) or list(lists[: self._at_a_time])


def lists_with_due_members() -> QuerySet[CustomerList, int]:
    """Their keys, in order. One look into the index of members for each list, however many members are due."""
    due_first = due(ListMembership).filter(customer_list=OuterRef("pk")).order_by("due_at").values("due_at")[:1]
    lists = CustomerList.objects.using(mirror()).annotate(due_at=Subquery(due_first)).filter(due_at__isnull=False)
    return lists.order_by("pk").values_list("pk", flat=True)


def claim_memberships(name_run: RunForChanges, calls: int, turns: ListTurns | None = None) -> list[Claim]:
    """Takes the memberships for up to so many calls, each of one list, all additions or all removals.

    The lists take turns. Those that wait for something else are parked, no more at once than so many calls could hold:
    with a million of them, nobody else's work waits until all are. `name_run` is as for customers.
    """
    turns = turns or ListTurns()
    turns.begin(calls)
    claims: list[Claim] = []
    asked: set[int] = set()
    for number in range(calls + OTHER_LISTS):
        customer_list = turns.next() if len(claims) < calls else None
        if customer_list is None or (number >= calls and customer_list in asked):
            break
        asked.add(customer_list)
        taken = _claim(name_run, customer_list, calls - len(claims))
        for claim in map(hand_over, taken):
            if claim.records:
                claims.append(claim)
            else:
                finish_if_done(claim.run_id)  # these may have been its last, and no call will end it
    return claims


def memberships_batch(claim: Claim) -> Batch:
    """The call that puts the claimed customers on their list, or takes identifiers off it."""
    return Batch(list_change(claim.records), claim.run_id, ListMembership, claim, claim.records[0].customer_list)


def list_change(memberships: Sequence[ListMembership]) -> Request:
    """The call for these memberships, which are of one list and all additions or all removals."""
    customer_list = memberships[0].customer_list
    change = list_remove if memberships[0].is_to_be_removed else list_add
    if customer_list.list_id is None:
        raise ValueError("A list that isn't in Blueshift yet has no members there.")
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
def _claim(name_run: RunForChanges, list_pk: int, calls: int) -> list[Claim]:
    """Takes those of the list's members that are due for longest: a call of additions, one of removals, or both."""
    customer_list = CustomerList.objects.using(mirror()).filter(pk=list_pk).first()
    if customer_list is None:
        return []
    size = LIST_MEMBERS_PER_CALL[mode_of(customer_list)]
    # Under a lock, for somebody may hold the first one, and that is no reason for the others to wait.
    rows = locked(due(ListMembership).filter(customer_list=list_pk)).only("pk")[: size * min(calls, 2)]
    calls_of_rows: list[list[Any]] = []
    for alike in _by_kind([row.pk for row in rows], customer_list)[:calls]:
        calls_of_rows += into_calls(alike, size, 1)
    claims = take(ListMembership, calls_of_rows, SyncRun.Kind.LISTS, name_run) if calls_of_rows else []
    for claim in claims:
        claim.records = _sendable(claim, claim.records)
        _note_identifiers(claim.records)
    return claims


def _by_kind(pks: Sequence[int], customer_list: CustomerList) -> list[list[ListMembership]]:
    """Additions and removals, those that are due for longest first. With their customers, who aren't locked."""
    full = ListMembership.objects.using(mirror()).select_related("customer")
    full = full.defer("customer__attributes", "customer__subscription_groups")
    by_pk = full.in_bulk(pks)
    kinds: dict[bool, list[ListMembership]] = {}
    for pk in pks:
        row = by_pk[pk]
        row.customer_list, row.claimed_version = customer_list, row.version
        kinds.setdefault(row.is_to_be_removed, []).append(row)
    return list(kinds.values())


def _sendable(claim: Claim, records: Sequence[ListMembership]) -> list[ListMembership]:
    """The records that can go now. The others are parked, or FAILED where nothing would help.

    Who is to be taken off, has no identifier and is on the list under none is off it already: that needs no call.
    """
    sendable: list[ListMembership] = []
    parked: dict[tuple[str, str], list[int]] = {}
    nameless: list[int] = []
    off_already: list[int] = []
    for record in records:
        reason = why_waiting(record)
        if reason is not None:
            parked.setdefault(reason, []).append(record.pk)
        elif not record.identifier:
            (nameless if record.is_member else off_already).append(record.pk)
        else:
            sendable.append(record)
    for (code, message), pks in parked.items():
        # PostgreSQL locks the customer of a parked record: it was changed twice in one transaction.
        left = let_go(ListMembership, claim, pks, due_at=None, run=None, error_code=code, error_message=message)
        note_parked(claim.run_id, left)
    let_go(ListMembership, claim, off_already, **removed_without_a_call(timezone.now()))
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


def _note_identifiers(records: Iterable[ListMembership]) -> None:
    """What the call names may be on the list from now on."""
    changed = [record for record in records if record.synced_identifier != record.identifier]
    for record in changed:
        record.synced_identifier = record.identifier
    update_each(changed, ["synced_identifier"])
