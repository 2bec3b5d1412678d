"""Parked memberships: those that have to wait for their customer or their list.

They are PENDING and have no due time; their error code says what they wait for. Whatever they wait for frees them when
it comes, and the sweep those that were missed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone

from ..models import Customer, CustomerList, ListMembership, SweepRecord, SyncState
from ..models.lists import MembershipObject
from .claim import mirror
from .locks import gives_way
from .policy import LIST_STOPS, STOPPED
from .statements import find_rows, find_values

State = SyncState.State
#: Rows changed in one statement.
SLICE = 1000
#: Slices found at one look, which passes over all those that have to wait on: they may be a million.
SLICES_AT_A_LOOK = 20
#: Parked memberships that the sweep looks at in one go, and for how many seconds it goes on with others.
LOOK = 5000
LOOK_SECONDS = 1.0

#: The states of a customer who may never be sent again.
STATES_OF_NO_CHANGE = (State.FAILED, State.EXCLUDED)
#: What a membership waits for, by code, as a code and a sentence.
REASONS = {
    code: (code, message)
    for code, message in (
        ("list_creating", "The list is being created in Blueshift."),
        ("list_unread", "The list is read from Blueshift first, to know its identifier."),
        ("customer_waiting", "The customer goes first; the membership follows when it is in step."),
        ("customer_failed", "The customer failed; the membership follows when it is in step."),
        ("customer_excluded", "The customer is excluded; the membership follows when it is in step."),
    )
}

_READY_LIST = Q(customer_list__is_ready=True)
_CUSTOMER_AT_REST = Q(customer__state=State.SYNCED) | Q(is_member=False, customer__state__in=STATES_OF_NO_CHANGE)


def why_waiting(membership: MembershipObject) -> tuple[str, str] | None:
    """For what a membership has to wait, as a code and a sentence; None when it can be sent.

    The customer goes first, for its identifier may be about to change. A removal doesn't wait for one who may never be
    sent again.
    """
    membership_list, customer = membership.customer_list, membership.customer
    return why_list_waits(membership_list) or _why_customer_waits(customer.state, is_member=membership.is_member)


def why_list_waits(customer_list: CustomerList) -> tuple[str, str] | None:
    """For what all members of a list have to wait, as a code and a sentence; None when they can be sent."""
    if customer_list.has_stopped:
        code = str(customer_list.error_code)
        return code, LIST_STOPS.get(code, STOPPED)
    if customer_list.is_ready:
        return None
    return REASONS["list_creating" if customer_list.is_to_be_created else "list_unread"]


def _why_customer_waits(state: str, *, is_member: bool) -> tuple[str, str] | None:
    if state == State.SYNCED or (not is_member and state in STATES_OF_NO_CHANGE):
        return None
    match state:
        case State.FAILED:
            return REASONS["customer_failed"]
        case State.EXCLUDED:
            return REASONS["customer_excluded"]
        case _:
            return REASONS["customer_waiting"]


def wake_memberships_of(customer_pks: Sequence[int], now: datetime) -> None:
    """The memberships that waited for these customers are due, and those that lacked an identifier may have it now."""
    at_rest = [State.PENDING.value, State.FAILED.value]
    theirs = find_rows(ListMembership, customer=customer_pks, due_at=None, state=at_rest)
    if not theirs:
        return
    memberships = ListMembership.objects.filter(pk__in=theirs)
    wake_parked(memberships, now)
    nameless = memberships.filter(state=State.FAILED, error_code="identifier_missing")
    nameless.update(
        state=State.PENDING, due_at=now, waiting_since=now, error_code="", error_message="", error_cause="", run=None
    )


def wake_parked(memberships: QuerySet[ListMembership], now: datetime) -> int:
    """Makes those memberships due that were parked and have nothing to wait for any more. In slices: it may be all."""
    parked = memberships.filter(_READY_LIST & _CUSTOMER_AT_REST, state=State.PENDING, due_at=None)
    woken = 0
    while free := list(parked.values_list("pk", flat=True)[: SLICE * SLICES_AT_A_LOOK]):
        woken += sum(_make_due(pks, now) for pks in _in_slices(free))
    return woken


@gives_way
def _make_due(pks: Sequence[int], now: datetime) -> int:
    parked = ListMembership.objects.filter(pk__in=pks, state=State.PENDING, due_at=None)
    return parked.update(due_at=now, error_code="", error_message="")


# Looking after them


def tend_parked() -> None:
    """For the sweep: makes those due that have nothing to wait for any more, and has the others say what they wait for.

    That may have changed since they were parked. They may be millions: as many are looked at as LOOK_SECONDS allow, and
    the next sweep goes on where this one ended.
    """
    deadline = time.monotonic() + LOOK_SECONDS
    record = SweepRecord.objects.using(mirror()).filter(pk=SweepRecord.ONLY)
    began = last = record.values_list("last_parked", flat=True).first() or 0
    lists: dict[int, CustomerList] = {}
    went_round = not began
    while True:
        found = _parked_after(last)
        _tend(found, lists)
        last = found[-1].pk if found else last
        is_end = len(found) < LOOK
        if (is_end and went_round) or (went_round and last >= began > 0):
            break
        if is_end:
            went_round, last = True, 0
        if time.monotonic() >= deadline:
            break
    record.exclude(last_parked=last).update(last_parked=last)


class _Parked(NamedTuple):
    pk: int
    customer_list_id: int
    customer_id: int
    is_member: bool
    error_code: str


def _parked_after(last: int) -> list[_Parked]:
    rows = ListMembership.objects.using(mirror()).filter(state=State.PENDING, due_at=None, pk__gt=last).order_by("pk")
    return [_Parked(*row) for row in rows.values_list(*_Parked._fields)[:LOOK]]


def _tend(parked: Sequence[_Parked], lists: dict[int, CustomerList]) -> None:
    """`lists` are those that were seen in this sweep, by their keys; they become more."""
    unseen = {row.customer_list_id for row in parked} - lists.keys()
    lists |= CustomerList.objects.using(mirror()).in_bulk(unseen)
    states = dict(find_values(Customer, ["id", "state"], id=[row.customer_id for row in parked])) if parked else {}
    free: list[int] = []
    said_wrongly: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in parked:
        if row.customer_list_id not in lists or row.customer_id not in states:
            continue  # deleted at this moment, and the membership with it
        reason = why_list_waits(lists[row.customer_list_id]) or _why_customer_waits(
            states[row.customer_id], is_member=row.is_member
        )
        if reason is None:
            free.append(row.pk)
        elif row.error_code != reason[0]:
            said_wrongly[reason].append(row.pk)
    for pks in _in_slices(free):
        _make_due(pks, timezone.now())
    for (code, message), all_pks in said_wrongly.items():
        for pks in _in_slices(all_pks):
            _explain(pks, code, message)


def _in_slices(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    return (pks[start : start + SLICE] for start in range(0, len(pks), SLICE))


@gives_way
def _explain(pks: Sequence[int], code: str, message: str) -> None:
    parked = ListMembership.objects.filter(pk__in=pks, state=State.PENDING, due_at=None)
    parked.update(error_code=code, error_message=message)
