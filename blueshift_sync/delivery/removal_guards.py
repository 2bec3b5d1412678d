"""What keeps a removal from being sent. It can't be undone, so all of this is asked anew before each try.

- Its identifier is in use again: it will not be done any more.
- It is one of suspiciously many: it is parked until somebody says yes.
- Something of its customer has to go first: it is parked until then.

A parked removal is PENDING and has no due time; its error code says what it waits for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from ..models import Customer, CustomerList, CustomerRemoval, ListMembership, SyncState
from ..models.fields import EmailKeyField
from .batches import Batch
from .claim import mirror
from .locks import gives_way
from .statements import find_rows

State = SyncState.State
CUSTOMER_ID = CustomerList.IdentifierKey.CUSTOMER_ID

#: More removals than this, asked for within this time, wait for somebody's yes.
MANY = 50
MANY_WITHIN = timedelta(hours=1)
#: Rows changed in one statement.
SLICE = 1000

# Why a removal is parked: a code and a sentence.
APPROVAL_NEEDED = (
    "approval_needed",
    f"More than {MANY} removals were asked for within an hour: they wait until somebody approves or cancels them.",
)
CUSTOMER_SENDING = ("customer_sending", "A call that carries the customer is on its way; the removal follows it.")
LISTS_FIRST = ("lists_first", "The customer is taken off its lists first; the removal follows.")
#: Why one isn't done any more.
IDENTIFIER_IN_USE = "identifier_in_use"

_CUSTOMER_SENDING = Exists(Customer.objects.filter(pk=OuterRef("customer"), state=State.SENDING))
# Those that are parked wait for a list that can't be changed, which may be for ever.
_LEAVING_LISTS = Exists(
    ListMembership.objects.filter(
        Q(state=State.SENDING) | Q(state=State.PENDING, due_at__isnull=False),
        customer=OuterRef("customer"),
        is_member=False,
    )
)


def why_waiting(removals: Sequence[CustomerRemoval]) -> dict[int, tuple[str, str]]:
    """For what those of the removals wait that something else has to go before, by primary key."""
    rows = CustomerRemoval.objects.using(mirror()).filter(pk__in=[removal.pk for removal in removals])
    found = rows.annotate(sending=_CUSTOMER_SENDING, leaving=_LEAVING_LISTS)
    return {
        pk: CUSTOMER_SENDING if sending else LISTS_FIRST
        for pk, sending, leaving in found.values_list("pk", "sending", "leaving")
        if sending or leaving
    }


def wake_removals_after(batches: Iterable[Batch], now: datetime) -> None:
    """The calls have ended, however they did: removals that waited for their records are looked at again."""
    customers: set[int] = set()
    for batch in batches:
        if batch.model is Customer:
            customers.update(record.pk for record in batch.records)
        elif batch.model is ListMembership:
            customers.update(record.customer_id for record in batch.records if not record.is_member)
    if not customers:
        return
    theirs = find_rows(CustomerRemoval, customer=list(customers), due_at=None, state=State.PENDING.value)
    if theirs:
        _make_due(theirs, now)


def wake_removals() -> None:
    """Has those looked at again that nothing has to go before any more: for the sweep, should a wake-up be lost."""
    free = _parked().filter(~_CUSTOMER_SENDING, ~_LEAVING_LISTS)
    while pks := list(free.values_list("pk", flat=True)[:SLICE]):
        _make_due(pks, timezone.now())


def _parked() -> QuerySet[CustomerRemoval]:
    """Those that wait for something of their customer."""
    codes = [CUSTOMER_SENDING[0], LISTS_FIRST[0]]
    return CustomerRemoval.objects.filter(state=State.PENDING, due_at=None, error_code__in=codes)


@gives_way
def _make_due(pks: Sequence[int], now: datetime) -> None:
    _parked().filter(pk__in=pks).update(due_at=now, error_code="", error_message="")


# Suspiciously many


def masses_around(removals: Sequence[CustomerRemoval]) -> dict[int, datetime]:
    """Which of the removals are of suspiciously many, by primary key: when the hour begins that has so many.

    Counted are those that nobody has decided about, sent ones as well. So what was approved counts no more.
    """
    undecided = [removal for removal in removals if removal.decided_at is None]
    if not undecided:
        return {}
    first = min(removal.created_at for removal in undecided) - MANY_WITHIN
    last = max(removal.created_at for removal in undecided) + MANY_WITHIN
    if len(_moments(first, last)[: MANY + 1]) <= MANY:
        return {}
    begins = {removal.pk: _begin_of_mass(removal.created_at) for removal in undecided}
    return {pk: begin for pk, begin in begins.items() if begin is not None}


def _begin_of_mass(moment: datetime) -> datetime | None:
    """When the hour begins that has suspiciously many and this moment in it; None where there is no such hour."""
    before = _moments(moment - MANY_WITHIN, moment).order_by("-created_at")[: MANY + 1]
    after = _moments(moment, moment + MANY_WITHIN).exclude(created_at=moment).order_by("created_at")[:MANY]
    moments = sorted([*before, *after])
    for begin, end in zip(moments, moments[MANY:], strict=False):
        if end - begin <= MANY_WITHIN:
            return begin
    return None


def _moments(first: datetime, last: datetime) -> QuerySet[CustomerRemoval, datetime]:
    rows = CustomerRemoval.objects.using(mirror()).filter(decided_at=None, created_at__range=(first, last))
    return rows.exclude(state=State.EXCLUDED).order_by().values_list("created_at", flat=True)


def park_masses(begins: Collection[datetime]) -> None:
    """Parks those of these hours that haven't been sent and that nobody has decided about, so many at a time."""
    code, message = APPROVAL_NEEDED
    for begin in sorted(begins):
        waiting = CustomerRemoval.objects.filter(
            state=State.PENDING, decided_at=None, created_at__range=(begin, begin + MANY_WITHIN)
        ).exclude(error_code=code)
        pks = list(waiting.values_list("pk", flat=True)[:SLICE])
        _park(waiting.filter(pk__in=pks), code, message)


@gives_way
def _park(rows: QuerySet[CustomerRemoval], code: str, message: str) -> None:
    rows.update(due_at=None, error_code=code, error_message=message)


# In use again


def in_use(removals: Sequence[CustomerRemoval]) -> dict[int, str]:
    """Which of the removals would hit a customer who is to stay: sentences by primary key."""
    owners = owners_of(removals)
    return {removal.pk: _in_use_by(removal, owners[removal.pk]) for removal in removals if removal.pk in owners}


def owners_of(removals: Sequence[CustomerRemoval]) -> dict[int, Customer]:
    """Who has the identifiers of the removals and is to stay, by the removals' primary keys.

    That is any customer of the mirror, but for those whose object was deleted as well, and those who are excluded and
    never were in Blueshift.
    """
    customer_ids = [removal.identifier for removal in removals if removal.identifier_key == CUSTOMER_ID]
    emails = [EmailKeyField.key_of(removal.identifier) for removal in removals if removal.identifier_key != CUSTOMER_ID]
    detached = Q(source_type__isnull=False, source_id=None)
    never_there = Q(error_code__in=["excluded", Customer.EXCLUDED_BY_OPERATOR], synced_version=0)
    staying = Customer.objects.using(mirror()).exclude(detached).exclude(never_there)
    staying = staying.only("customer_id", "email_key", "source_type", "source_id")
    by_id = {row.customer_id: row for row in staying.filter(customer_id__in=customer_ids)} if customer_ids else {}
    by_email = {row.email_key: row for row in staying.filter(email_key__in=emails)} if emails else {}
    owners: dict[int, Customer | None] = {
        removal.pk: by_id.get(removal.identifier)
        if removal.identifier_key == CUSTOMER_ID
        else by_email.get(EmailKeyField.key_of(removal.identifier))
        for removal in removals
    }
    return {pk: owner for pk, owner in owners.items() if owner is not None}


def _in_use_by(removal: CustomerRemoval, owner: Customer) -> str:
    what = "customer ID" if removal.identifier_key == CUSTOMER_ID else "e-mail address"
    who = f"{owner.source_type} {owner.source_id}" if owner.source_type else "a customer made by hand"
    return f"Not removed: {what} '{removal.identifier}' is in use again, by {who}."
