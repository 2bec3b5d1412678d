"""Memberships on their way: claiming them, and the call that carries them.

A customer is on a list under one identifier. Where that changes, the old one leaves the list before the new one joins
it: two calls, each claimed by itself. `synced_identifier` is written before a call leaves, so that whatever becomes of
it, what may be on the list is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from math import ceil
from typing import Any, NamedTuple

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from ..client import Request, list_add, list_remove
from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..models import Customer, CustomerList, ListMembership, SyncRun
from ..models.lists import MembershipObject
from .batches import Batch
from .claim import Claim, RunForChanges, due, into_calls, let_go, locked, mirror, refuse, take
from .identifiers import hand_over, removed_without_a_call
from .locks import skips_locked
from .parking import why_waiting
from .runs import finish_if_done, note_parked
from .statements import find_values

#: Of so many lists more all due members may turn out to have to wait, before others are left for the next time.
OTHER_LISTS = 10
#: Members claimed in one transaction, unless one call carries more.
CLAIMED_AT_ONCE = 2000


class Member(NamedTuple):
    """What a call for a membership needs of its customer. In the order in which they are read."""

    pk: int
    customer_id: str | None
    email: str
    state: str
    version: int


MEMBER_COLUMNS = ("id", *Member._fields[1:])


@dataclass(eq=False)
class ClaimedMembership(MembershipObject):
    """What is needed of a membership that is sent. Not the model: millions of them pass through.

    Which identifier it names, and whether to take it off, stays what it was at the claim.
    """

    customer_list: CustomerList
    customer: Member
    pk: int
    customer_id: int
    is_member: bool
    synced_identifier: str
    claimed_version: int
    attempts: int
    batch_limit: int | None
    run_id: int | None
    # In place of the properties, which tell what is true now.
    is_moving: bool = field(init=False, default=False)
    is_to_be_removed: bool = field(init=False, default=False)
    identifier: str = field(init=False, default="")
    #: As `why_waiting` says it.
    waits_for: tuple[str, str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.is_moving = super().is_moving
        self.is_to_be_removed = super().is_to_be_removed
        self.identifier = super().identifier
        self.waits_for = why_waiting(self)

    @property
    def can_go(self) -> bool:
        """Whether a call may carry it."""
        return self.waits_for is None and bool(self.identifier)


#: Where its values come from, but for the list and the customer.
COLUMNS = ("pk", "customer_id", "is_member", "synced_identifier", "version", "attempts", "batch_limit", "run_id")


class ListTurns:
    """Whose turn it is: the lists that have due members, one after the other, so that none waits for another's all."""

    def __init__(self, of_run: int | None = None) -> None:
        self.of_run = of_run
        self._last: int | None = None
        self._ahead: list[int] = []
        self._at_a_time = 1

    def begin(self, calls: int) -> None:
        """So many calls are about to be claimed. What was found before is old."""
        self._ahead, self._at_a_time = [], calls

    def next(self) -> tuple[int, int] | None:
        """The key of the list whose turn it is, and how many there are from it on; None where none has due members.

        The first one is that whose member is due for longest: what one worker didn't come to, the next begins with.
        """
        if not self._ahead:
            self._ahead = self._look()
        if not self._ahead:
            return None
        self._last = self._ahead.pop(0)
        return self._last, 1 + len(self._ahead)

    def _look(self) -> list[int]:
        first = due(ListMembership, self.of_run).values_list("customer_list_id", flat=True).first()
        if first is None:
            return []
        lists = lists_with_due_members(self.of_run)
        if self._last is None:
            return [first, *lists.exclude(pk=first)[: self._at_a_time - 1]]
        found = list(lists.filter(pk__gt=self._last)[: self._at_a_time])
        return found + list(lists.filter(pk__lte=self._last)[: self._at_a_time - len(found)])


def lists_with_due_members(of_run: int | None = None) -> QuerySet[CustomerList, int]:
    """Their keys, in order. One look into the index of members for each list, however many members are due."""
    members = due(ListMembership, of_run).filter(customer_list=OuterRef("pk"))
    due_first = members.order_by("due_at").values("due_at")[:1]
    lists = CustomerList.objects.using(mirror()).annotate(due_at=Subquery(due_first)).filter(due_at__isnull=False)
    return lists.order_by("pk").values_list("pk", flat=True)


def claim_memberships(name_run: RunForChanges, calls: int, turns: ListTurns | None = None) -> list[Claim]:
    """Takes the memberships for up to so many calls, each of one list, all additions or all removals.

    The lists take turns, and share the calls evenly. Those that wait for something else are parked, no more at once
    than so many calls could hold: with a million of them, nobody else's work waits until all are. `name_run` is as for
    customers. The `turns` may be those of one run's members only.
    """
    turns = turns or ListTurns()
    turns.begin(calls)
    claims: list[Claim] = []
    asked: set[int] = set()
    for number in range(calls + OTHER_LISTS):
        turn = turns.next() if len(claims) < calls else None
        if turn is None:
            break
        customer_list, lists = turn
        if number >= calls and customer_list in asked:
            break
        asked.add(customer_list)
        taken = _claim(name_run, customer_list, ceil((calls - len(claims)) / lists), turns.of_run)
        for claim in map(hand_over, taken):
            if claim.records:
                claims.append(claim)
            else:
                finish_if_done(claim.run_id)  # these may have been its last, and no call will end it
    return claims


def memberships_batch(claim: Claim) -> Batch:
    """The call that puts the claimed customers on their list, or takes identifiers off it."""
    return Batch(list_change(claim.records), claim.run_id, ListMembership, claim, claim.records[0].customer_list)


def list_change(memberships: Sequence[ListMembership | ClaimedMembership]) -> Request:
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
def _claim(name_run: RunForChanges, list_pk: int, calls: int, of_run: int | None) -> list[Claim]:
    """Takes those of the list's members that are due for longest, for up to so many calls of additions and removals."""
    customer_list = CustomerList.objects.using(mirror()).filter(pk=list_pk).first()
    if customer_list is None:
        return []
    size = LIST_MEMBERS_PER_CALL[mode_of(customer_list)]
    calls = min(calls, max(CLAIMED_AT_ONCE // size, 1))
    # In no other order, for a million may be due since the same moment. And under a lock, for somebody may hold the
    # first one, and that is no reason for the others to wait.
    rows = locked(due(ListMembership, of_run).filter(customer_list=list_pk).order_by("due_at")).values_list(*COLUMNS)
    members = _with_customers(rows[: size * calls], customer_list)
    claims = take(
        ListMembership,
        _into_calls(members, size, calls),
        SyncRun.Kind.LISTS,
        name_run,
        # What the call names may be on the list from now on.
        synced_identifier=lambda record: record.identifier if record.can_go else record.synced_identifier,
    )
    for claim in claims:
        claim.records = _sendable(claim, claim.records)
    return claims


def _with_customers(rows: Iterable[Sequence[Any]], customer_list: CustomerList) -> list[ClaimedMembership]:
    """The memberships in these rows. Their customers aren't locked."""
    rows = list(rows)
    found = find_values(Customer, MEMBER_COLUMNS, id=[row[1] for row in rows]) if rows else []
    customers = {row[0]: Member(*row) for row in found}
    return [ClaimedMembership(customer_list, customers[row[1]], *row) for row in rows]


def _into_calls(members: Sequence[ClaimedMembership], size: int, calls: int) -> list[list[Any]]:
    """Additions and removals by turns, beginning with those that are due for longest."""
    kinds: dict[bool, list[ClaimedMembership]] = {}
    for member in members:
        kinds.setdefault(member.is_to_be_removed, []).append(member)
    by_turns = zip_longest(*(into_calls(alike, size, calls) for alike in kinds.values()))
    return list(islice((call for turn in by_turns for call in turn if call is not None), calls))


def _sendable(claim: Claim, records: Sequence[ClaimedMembership]) -> list[ClaimedMembership]:
    """The records that can go now. The others are parked, or FAILED where nothing would help.

    Who is to be taken off, has no identifier and is on the list under none is off it already: that needs no call.
    """
    sendable: list[ClaimedMembership] = []
    parked: dict[tuple[str, str], list[int]] = {}
    nameless: list[int] = []
    off_already: list[int] = []
    for record in records:
        if record.can_go:
            sendable.append(record)
        elif record.waits_for is not None:
            parked.setdefault(record.waits_for, []).append(record.pk)
        else:
            (nameless if record.is_member else off_already).append(record.pk)
    for (code, message), pks in parked.items():
        # PostgreSQL locks the customer of a parked record: it was changed twice in one transaction.
        left = let_go(
            ListMembership,
            claim,
            pks,
            due_at=None,
            run=None,
            left_run=records[0].run_id,
            error_code=code,
            error_message=message,
        )
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
