"""Erasing a person: what the audit and the mirror hold of one customer is emptied, and the skeleton of it is kept.

It goes by slices, each a short transaction; one that was interrupted is finished by the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone

from ..exceptions import BlueshiftSyncError
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncState
from .claim import mirror
from .erased_bodies import ERASED, PersonInCall, positions_of
from .imports import erase_from_imports
from .locks import gives_way
from .statements import update_rows
from .uploads import read_all_kept_files

State = SyncState.State

#: Results, and their calls' bodies, worked on in one transaction.
SLICE = 50
#: Rows looked at in one query.
LOOKED_AT = 1000
DONE = (State.SYNCED, State.EXCLUDED)


class Audit(NamedTuple):
    """The calls that were worked on, and how many results."""

    calls: set[int]
    results: int


IN_FLIGHT = "A call with this customer is on its way. Nothing was erased; try again in a minute."
#: What an emptied row says of a customer.
NOBODY: dict[str, Any] = {
    "customer_id": None,
    "email": "",
    "email_key": "",
    "uuid": "",
    "firstname": None,
    "lastname": None,
    "attributes": {},
    "subscription_groups": [],
    "contested_customer_id": None,
    "fingerprint": "",
    "synced_fingerprint": "",
    "state": State.EXCLUDED.value,
    "error_code": "erased",
    "error_cause": "",
    "due_at": None,
    "waiting_since": None,
    "attempts": 0,
    "batch_limit": None,
}


@dataclass(frozen=True)
class Erased:
    """What was emptied. `still_needed` are removals and memberships that keep an identifier until they are sent.

    `lines` are those of files with identifiers.
    """

    row: bool
    calls: int
    results: int
    removals: int
    still_needed: int
    lines: int


def erase(customer: Customer, by: str) -> Erased:
    """Empties what is held of the customer; of its own row only where no source owns it.

    `by` names who asked for it. Raises BlueshiftSyncError while a call that carries the customer is on its way.
    """
    now = timezone.now()
    note = {"erased": {"at": now.isoformat(timespec="seconds"), "by": by}}
    # The row comes last, for by its identifiers the rest is found, should this be interrupted.
    identifiers = _identifiers(customer.pk)
    audit = _erase_audit(customer.pk, identifiers, note)
    removals = _erase_removals(customer.pk, identifiers)
    read_all_kept_files()
    lines = erase_from_imports(customer.pk, identifiers, ERASED)
    row = _erase_row(customer.pk, _sentence(by, now))
    sent_meanwhile = _erase_audit(customer.pk, frozenset(), note)
    return Erased(
        row,
        len(audit.calls | sent_meanwhile.calls),
        audit.results + sent_meanwhile.results,
        removals,
        _still_needed(customer.pk, identifiers),
        lines,
    )


def _sentence(by: str, now: datetime) -> str:
    who = f" by {by}" if by else ""
    return f"The personal data of this record was erased on {now:%Y-%m-%d}{who}."


# The mirror


@gives_way
def _identifiers(pk: int) -> frozenset[str]:
    """All that the mirror calls the person."""
    row, memberships = _at_rest(pk)
    names = {row.customer_id, row.contested_customer_id, row.email, row.uuid}
    names |= {membership.synced_identifier for membership in memberships}
    return frozenset(name for name in names if name)


def _at_rest(pk: int) -> tuple[Customer, list[ListMembership]]:
    """The customer and its memberships, locked. Raises BlueshiftSyncError where any of it is in flight."""
    row = Customer.objects.using(mirror()).select_for_update().get(pk=pk)
    memberships = list(_memberships(pk).select_for_update().order_by("pk"))
    in_flight = [row.state == State.SENDING, *(each.state == State.SENDING for each in memberships)]
    if any(in_flight) or _removals(pk, ()).filter(state=State.SENDING).exists():
        raise BlueshiftSyncError(IN_FLIGHT)
    return row, memberships


@gives_way
def _erase_row(pk: int, sentence: str) -> bool:
    """Returns whether no source owns the row, so that it was emptied."""
    row, memberships = _at_rest(pk)
    if row.is_source_owned:
        return False
    # What still has to be taken off a list is known to it by this.
    for leaving in filter(_is_leaving, memberships):
        kept = leaving.synced_identifier or leaving.identifier
        update_rows(ListMembership, [leaving.pk], {"synced_identifier": kept})
    at_rest = [each.pk for each in memberships if not _is_leaving(each)]
    update_rows(ListMembership, at_rest, {"synced_identifier": "", "error_message": ""})
    update_rows(Customer, [pk], {**NOBODY, "error_message": sentence})
    return True


def _memberships(pk: int) -> QuerySet[ListMembership]:
    return ListMembership.objects.using(mirror()).filter(customer=pk)


def _is_leaving(membership: ListMembership) -> bool:
    """Whether the customer is still to be taken off the list: not off one that is gone, or was never read."""
    if membership.state != State.PENDING or membership.is_member:
        return False
    customer_list = membership.customer_list
    return customer_list.is_ready


def _removals(pk: int, identifiers: Collection[str]) -> QuerySet[CustomerRemoval]:
    """The customer's, and those of the same identity whose customer's row is gone."""
    removals = CustomerRemoval.objects.using(mirror())
    return removals.filter(Q(customer=pk) | Q(customer=None, identifier__in=list(identifiers)))


@gives_way
def _erase_removals(pk: int, identifiers: Collection[str]) -> int:
    done = _removals(pk, identifiers).filter(state__in=DONE).exclude(identifier=ERASED)
    pks = list(done.order_by("pk").values_list("pk", flat=True))
    return update_rows(
        CustomerRemoval, pks, {"identifier": ERASED, "source_id": ERASED, "error_message": ""}, state=list(DONE)
    )


def _still_needed(pk: int, identifiers: Collection[str]) -> int:
    removals = _removals(pk, identifiers).exclude(state__in=DONE).count()
    return removals + sum(_is_leaving(membership) for membership in _memberships(pk))


# The audit


def _erase_audit(pk: int, identifiers: Collection[str], note: dict[str, Any]) -> Audit:
    calls: set[int] = set()
    results = 0
    for found in _results_of(pk, identifiers):
        calls |= _erase_results(found, identifiers, note)
        results += len(found)
    for call in _calls_without_results(identifiers):
        calls |= _erase_call(call, identifiers)
    return Audit(calls, results)


def _results_of(pk: int, identifiers: Collection[str]) -> Iterator[list[RecordResult]]:
    """The results of the customer, and those of whoever had one of its identifiers and has no row any more.

    The latter are looked for among all results without a customer: there is an index for these, not for identifiers.
    """
    results = RecordResult.objects.using(mirror()).only("call_id", "position", "identifier")
    yield from _by_slices(results.filter(customer=pk), lambda result: result.identifier != ERASED)
    if identifiers:
        yield from _by_slices(results.filter(customer=None), lambda result: result.identifier in identifiers)


def _by_slices(rows: QuerySet[RecordResult], is_wanted: Any) -> Iterator[list[RecordResult]]:
    last = 0
    while found := list(rows.filter(pk__gt=last).order_by("pk")[:LOOKED_AT]):
        last = found[-1].pk
        wanted = list(filter(is_wanted, found))
        for start in range(0, len(wanted), SLICE):
            yield wanted[start : start + SLICE]


@gives_way
def _erase_results(results: Sequence[RecordResult], identifiers: Collection[str], note: dict[str, Any]) -> set[int]:
    """Empties these results, and what their calls hold of them. Returns the calls."""
    by_call: dict[int, list[RecordResult]] = defaultdict(list)
    for result in results:
        by_call[result.call_id].append(result)
    for call in ApiCall.objects.using(mirror()).filter(pk__in=by_call).select_for_update().order_by("pk"):
        own = by_call[call.pk]
        _empty(call, [result.position for result in own], {*identifiers, *(result.identifier for result in own)})
    emptied = {"identifier": ERASED, "message": "", "details": note}
    update_rows(RecordResult, [result.pk for result in results], emptied)
    return set(by_call)


def _empty(call: ApiCall, positions: Collection[int], identifiers: Iterable[str]) -> None:
    person = PersonInCall(call.request_body, positions, identifiers)
    call.request_body = person.of_request(call.request_body)
    call.response_body = person.of_response(call.response_body)
    call.error = person.of_text(call.error)
    call.save(using=mirror(), update_fields=["request_body", "response_body", "error"])


def _calls_without_results(identifiers: Collection[str]) -> Iterator[int]:
    """Calls whose worker died so that nobody knew any more whom they carried: only their bodies say it."""
    died = ApiCall.objects.using(mirror()).filter(state=ApiCall.State.UNKNOWN, error_code="worker_died")
    last = 0
    while identifiers and (pks := _pks_after(died, last)):
        last = pks[-1]
        results = RecordResult.objects.using(mirror()).filter(call__in=pks).order_by()
        with_results = set(results.values_list("call_id", flat=True).distinct())
        yield from (pk for pk in pks if pk not in with_results)


def _pks_after(calls: QuerySet[ApiCall], last: int) -> list[int]:
    return list(calls.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:LOOKED_AT])


@gives_way
def _erase_call(pk: int, identifiers: Collection[str]) -> set[int]:
    call = ApiCall.objects.using(mirror()).select_for_update().get(pk=pk)
    positions = positions_of(call.request_body, identifiers)
    if not positions:
        return set()
    _empty(call, positions, identifiers)
    return {pk}
