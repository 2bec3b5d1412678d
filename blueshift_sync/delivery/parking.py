"""Parked memberships: those that have to wait for their customer or their list.

They are PENDING and have no due time; their error code says what they wait for. Whatever they wait for frees them when
it comes, and the sweep those that were missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from ..models import CustomerList, ListMembership, SyncState
from .locks import gives_way
from .policy import LIST_STOPS, STOPPED
from .statements import find_rows

State = SyncState.State
#: Rows changed in one statement.
SLICE = 1000
#: Slices found at one look, which passes over all those that have to wait on: they may be a million.
SLICES_AT_A_LOOK = 20

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

_STOPPED_LIST = Q(customer_list__stopped_at__isnull=False)
_NEW_LIST = Q(customer_list__stopped_at=None, customer_list__is_ready=False)
_READY_LIST = Q(customer_list__is_ready=True)
_CUSTOMER_AT_REST = Q(customer__state=State.SYNCED) | Q(is_member=False, customer__state__in=STATES_OF_NO_CHANGE)
#: What parked memberships wait for, as `why_waiting` says it of one; each row fits one of these at most.
WAITS_FOR: tuple[tuple[Q, tuple[str, str]], ...] = (
    *((_STOPPED_LIST & Q(customer_list__error_code=code), (code, sentence)) for code, sentence in LIST_STOPS.items()),
    (_NEW_LIST & Q(customer_list__list_id=None), REASONS["list_creating"]),
    (_NEW_LIST & Q(customer_list__list_id__isnull=False), REASONS["list_unread"]),
    (_READY_LIST & Q(is_member=True, customer__state=State.FAILED), REASONS["customer_failed"]),
    (_READY_LIST & Q(is_member=True, customer__state=State.EXCLUDED), REASONS["customer_excluded"]),
    (_READY_LIST & Q(customer__state__in=[State.PENDING, State.SENDING]), REASONS["customer_waiting"]),
)


def why_waiting(membership: ListMembership) -> tuple[str, str] | None:
    """For what a membership has to wait, as a code and a sentence; None when it can be sent.

    The customer goes first, for its identifier may be about to change. A removal doesn't wait for one who may never be
    sent again.
    """
    return why_list_waits(membership.customer_list) or _why_customer_waits(membership)


def why_list_waits(customer_list: CustomerList) -> tuple[str, str] | None:
    """For what all members of a list have to wait, as a code and a sentence; None when they can be sent."""
    if customer_list.has_stopped:
        code = str(customer_list.error_code)
        return code, LIST_STOPS.get(code, STOPPED)
    if customer_list.is_ready:
        return None
    return REASONS["list_creating" if customer_list.is_to_be_created else "list_unread"]


def _why_customer_waits(membership: ListMembership) -> tuple[str, str] | None:
    state = membership.customer.state
    if state == State.SYNCED or (not membership.is_member and state in STATES_OF_NO_CHANGE):
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
        woken += sum(_make_due(free[start : start + SLICE], now) for start in range(0, len(free), SLICE))
    return woken


@gives_way
def _make_due(pks: Sequence[int], now: datetime) -> int:
    parked = ListMembership.objects.filter(pk__in=pks, state=State.PENDING, due_at=None)
    return parked.update(due_at=now, error_code="", error_message="")


def explain_parked() -> None:
    """Has every parked membership say what it waits for now; that may have changed since it was parked."""
    for waits_for, (code, message) in WAITS_FOR:
        parked = ListMembership.objects.filter(waits_for, state=State.PENDING, due_at=None).exclude(error_code=code)
        while pks := list(parked.values_list("pk", flat=True)[:SLICE]):
            _explain(pks, code, message)


@gives_way
def _explain(pks: Sequence[int], code: str, message: str) -> None:
    parked = ListMembership.objects.filter(pk__in=pks, state=State.PENDING, due_at=None)
    parked.update(error_code=code, error_message=message)
