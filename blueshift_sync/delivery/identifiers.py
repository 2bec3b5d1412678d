"""Under which identifiers customers are on their lists, when these change or go from one customer to another.

An identifier that another customer has now, who should be on the list, isn't taken off it: that would throw the other
one off, as when two swap their addresses. The two memberships exchange instead what they stand for in Blueshift. So of
whatever may be on a list there is always a membership that knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ..client import CallOutcome
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncState
from .batches import Batch, Finished
from .claim import RELEASED, Claim, mirror, next_state
from .locks import gives_way
from .runs import finish_if_done
from .statements import update_each

State = SyncState.State
IDENTIFIER_MISSING = "identifier_missing"
#: After these a call may have reached Blueshift and been carried out.
_MAY_HAVE_WORKED = {CallOutcome.ANSWERED, CallOutcome.UNREADABLE, CallOutcome.NO_ANSWER, CallOutcome.SERVER_ERROR}


def follow_identifiers(customers: Mapping[int, Any], now: datetime) -> None:
    """Has the memberships sent whose customers Blueshift knows by another identifier now than their lists do.

    `customers` are as Blueshift has taken them, by their primary keys.
    """
    found = ListMembership.objects.filter(customer__in=list(customers)).exclude(synced_identifier="")
    found = found.select_related("customer_list").only(
        "customer_id", "synced_identifier", "customer_list__identifier_key"
    )
    moved = [
        row.pk
        for row in found
        if row.customer_list.key_of(row.synced_identifier)
        != row.customer_list.key_of(row.customer_list.identifier_of(customers[row.customer_id]))
    ]
    if moved:
        send_again(ListMembership.objects.filter(pk__in=moved), now)


def send_again(memberships: QuerySet[ListMembership], now: datetime) -> None:
    """Has these memberships sent, unless they are excluded: nobody knows any more what Blueshift's list says of them.

    Those that are being sent go again afterwards, for they have changed since.
    """
    fails_for_good = SyncState.UNSENDABLE_CODES - {IDENTIFIER_MISSING}
    at_rest = Q(state=State.SYNCED) | Q(state=State.FAILED) & ~Q(error_code__in=fails_for_good)
    changed = {"version": F("version") + 1, "synced_fingerprint": ""}
    memberships.exclude(at_rest).update(**changed)
    memberships.filter(at_rest).update(
        **changed,
        state=State.PENDING,
        due_at=now,
        waiting_since=now,
        run=None,
        left_run=None,
        attempts=0,
        batch_limit=None,
        error_code="",
        error_message="",
        error_cause="",
    )


def add_again(finished: Finished) -> None:
    """A removal may have thrown off others who have that identifier by now: they are added again."""
    if finished.answer.outcome in _MAY_HAVE_WORKED:
        add_again_after(finished.batch)


def add_again_after(batch: Batch) -> None:
    """As `add_again`, whatever was answered."""
    if batch.endpoint != ApiCall.Endpoint.LIST_REMOVE or batch.customer_list is None:
        return
    wanting = _wanting(batch.customer_list, [record.identifier for record in batch.records])
    if wanting:
        send_again(ListMembership.objects.filter(pk__in=wanting), timezone.now())


def _wanting(customer_list: CustomerList, identifiers: Iterable[str]) -> list[int]:
    """The memberships of customers who have one of these identifiers and should be on the list."""
    keys = {customer_list.key_of(identifier) for identifier in identifiers}
    by_id = customer_list.identifier_key == CustomerList.IdentifierKey.CUSTOMER_ID
    customers = Customer.objects.using(mirror())
    having = customers.filter(customer_id__in=keys) if by_id else customers.filter(email_key__in=keys)
    members = ListMembership.objects.using(mirror()).filter(customer_list=customer_list.pk, is_member=True)
    pks = list(having.values_list("pk", flat=True))
    return list(members.filter(customer__in=pks).exclude(state=State.EXCLUDED).values_list("pk", flat=True))


# Before a removal leaves


def hand_over(claim: Claim) -> Claim:
    """Leaves those removals out of a claim of which another member has the identifier now.

    Looked at after the claim is committed. Who gets the identifier later is added again when the call is settled.
    """
    if not claim.records or not claim.records[0].is_to_be_removed:
        return claim
    customer_list = claim.records[0].customer_list
    wanting = _wanting(customer_list, [record.identifier for record in claim.records])
    if wanting:
        left_out = _exchange(claim, customer_list, wanting)
        claim.records = [record for record in claim.records if record.pk not in left_out]
        finish_if_done(claim.run_id)
    return claim


@gives_way
def _exchange(claim: Claim, customer_list: CustomerList, wanting: list[int]) -> set[int]:
    """Returns the keys of those records of the claim that aren't sent now."""
    now = timezone.now()
    rows = _locked({record.pk for record in claim.records} | set(wanting), customer_list)
    others = [rows[pk] for pk in wanting if pk in rows]
    left_out: set[int] = set()
    postponed: set[int] = set()
    taken_over: set[int] = set()
    changed: dict[int, ListMembership] = {}
    for record in claim.records:
        row = rows.get(record.pk)
        if row is None or row.claim_token != claim.token:
            left_out.add(record.pk)
            continue
        other = _other_holder(row, others)
        if other is None:
            continue
        left_out.add(row.pk)
        if _key(other) == _key(row):
            row.synced_identifier = ""
        elif other.state == State.SENDING and other.claim_token != claim.token:
            postponed.add(row.pk)  # until that call is over
            continue
        else:
            row.synced_identifier, other.synced_identifier = other.synced_identifier, row.synced_identifier
        changed |= {row.pk: row, other.pk: other}
        if not row.is_member and not row.synced_identifier and row.version == row.claimed_version:
            taken_over.add(row.pk)
    update_each(list(changed.values()), ["synced_identifier"])
    exchanged = {pk for pk, row in changed.items() if row in others}
    left_out |= {record.pk for record in claim.records} & exchanged
    memberships = ListMembership.objects.using(mirror())
    ours = memberships.filter(claim_token=claim.token)
    ours.filter(pk__in=left_out - taken_over - postponed).update(**next_state(now), **RELEASED)
    ours.filter(pk__in=postponed).update(**next_state(now + timedelta(seconds=1)), **RELEASED)
    ours.filter(pk__in=taken_over).update(**removed_without_a_call(now), **RELEASED)
    send_again(memberships.filter(pk__in=exchanged), now)
    return left_out


def _locked(pks: Iterable[int], customer_list: CustomerList) -> dict[int, ListMembership]:
    """The memberships with their customers, of whom only the memberships are locked."""
    rows = ListMembership.objects.using(mirror()).filter(pk__in=pks).select_for_update().order_by("pk")
    by_pk = {row.pk: row for row in rows}
    customers = Customer.objects.using(mirror()).only("customer_id", "email", "state")
    by_customer = customers.in_bulk({row.customer_id for row in by_pk.values()})
    for row in by_pk.values():
        row.customer, row.customer_list = by_customer[row.customer_id], customer_list
    return by_pk


def _other_holder(row: ListMembership, others: Iterable[ListMembership]) -> ListMembership | None:
    """Who has the identifier of this row now and should be on the list; rather one who is on it under that already."""
    key, key_of = _key(row), row.customer_list.key_of
    having = [
        other
        for other in others
        if other.pk != row.pk
        and other.is_member
        and other.state != State.EXCLUDED
        and key_of(other.customer_list.identifier_of(other.customer)) == key
    ]
    return max(having, key=lambda other: _key(other) == key, default=None)


def _key(row: ListMembership) -> str:
    return row.customer_list.key_of(row.synced_identifier)


def removed_without_a_call(now: datetime) -> dict[str, Any]:
    """The columns of a claimed removal that isn't needed: the customer is on the list under no identifier any more."""
    return {
        "state": State.SYNCED,
        "synced_version": F("claimed_version"),
        "synced_fingerprint": F("fingerprint"),
        "synced_is_member": False,
        "synced_at": now,
        "due_at": None,
        "waiting_since": None,
        "attempts": 0,
        "batch_limit": None,
    }
