"""Customers on their way: claiming them, and the call that carries them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import ExpressionWrapper, F, TextField

from ..client import customers_bulk
from ..conf import app_settings
from ..models import Customer, CustomerList, CustomerRemoval, SyncRun, SyncState
from ..models.customers import CustomerObject
from ..models.fields import EmailKeyField
from .attribute_types import TYPE_CHANGED, settle_types
from .batches import Batch
from .claim import NOT_JSON, Claim, RunForChanges, due, give_back, into_calls, locked, mirror, refuse, take
from .locks import skips_locked


@dataclass(eq=False)
class ClaimedCustomer(CustomerObject):
    """What is needed of a customer that is sent. Not the model: millions of them pass through."""

    pk: int
    customer_id: str | None
    email: str
    email_key: str
    uuid: str
    firstname: str | None
    lastname: str | None
    attributes: dict[str, Any]
    subscription_groups: list[dict[str, Any]]
    claimed_version: int
    attempts: int
    batch_limit: int | None
    run_id: int | None


#: Where its values come from. Those of the JSON columns as text, to be read all at once.
JSON_COLUMNS = ("attributes", "subscription_groups")
COLUMNS = tuple(
    ExpressionWrapper(F(each.name), TextField())
    if each.name in JSON_COLUMNS
    else {"claimed_version": "version"}.get(each.name, each.name)
    for each in fields(ClaimedCustomer)
)
#: What is said of a customer without identifier.
NO_IDENTIFIER = (
    "identifier_missing",
    "Neither customer ID nor e-mail: Blueshift needs one of them to know the customer.",
)


def claim_customers(name_run: RunForChanges, calls: int, of_run: int | None = None) -> list[Claim]:
    """Takes the customers for up to so many calls. Empty: none is due that can be sent.

    `name_run` names the run for records that nobody asked for by name; it is asked inside of the claim's transaction.
    With `of_run` only records of that run are taken.
    """
    while claims := _claim(name_run, calls, of_run):
        _give_back_contested(claims)
        _give_back_being_removed(claims)
        if sendable := [claim for claim in claims if claim.records]:
            return sendable
    return []


def customers_batch(claim: Claim) -> Batch:
    """The call that creates or updates the claimed customers."""
    request = customers_bulk([record.payload for record in claim.records])
    return Batch(request, claim.run_id, Customer, claim)


@skips_locked
def _claim(name_run: RunForChanges, calls: int, of_run: int | None) -> list[Claim]:
    size = app_settings().CUSTOMERS_PER_CALL
    rows = locked(due(Customer, of_run)).values_list(*COLUMNS)[: size * calls]
    claims = take(Customer, into_calls(_customers_of(rows), size, calls), SyncRun.Kind.CUSTOMERS, name_run)
    for claim in claims:
        claim.records = _sendable(claim, claim.records)
    refused = settle_types([record for claim in claims for record in claim.records], mirror())
    seen: set[str] = set()
    for claim in claims:
        records = claim.records
        claim.records = _first_of_each_email(_of_one_type(claim, records, refused), seen)
        give_back(Customer, claim, records)
    return claims


def _customers_of(rows: Iterable[Sequence[Any]]) -> list[ClaimedCustomer]:
    """The customers in these rows. Their JSON is read as one list, in a third of the time."""
    customers = [ClaimedCustomer(*row) for row in rows]
    for name in JSON_COLUMNS:
        values = json.loads(f"[{','.join([getattr(customer, name) for customer in customers])}]")
        for customer, value in zip(customers, values, strict=True):
            setattr(customer, name, value)
    return customers


def _sendable(claim: Claim, records: Sequence[ClaimedCustomer]) -> list[ClaimedCustomer]:
    """The records that Blueshift could match to anybody, and read. The others are FAILED."""
    nameless = [record.pk for record in records if not record.identifier]
    refuse(claim, Customer, nameless, *NO_IDENTIFIER)
    shapeless = [record.pk for record in records if record.identifier and not isinstance(record.attributes, dict)]
    refuse(claim, Customer, shapeless, *NOT_JSON)
    return [record for record in records if record.identifier and isinstance(record.attributes, dict)]


def _of_one_type(
    claim: Claim, records: Sequence[ClaimedCustomer], refused: Mapping[int, str]
) -> Sequence[ClaimedCustomer]:
    """The records whose values are of the types that Blueshift has had. The others are FAILED."""
    if not refused:
        return records
    pks_by_sentence: dict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.pk in refused:
            pks_by_sentence[refused[record.pk]].append(record.pk)
    for sentence, pks in pks_by_sentence.items():
        refuse(claim, Customer, pks, TYPE_CHANGED, sentence)
    return [record for record in records if record.pk not in refused]


def _first_of_each_email(customers: Sequence[ClaimedCustomer], seen: set[str]) -> list[ClaimedCustomer]:
    """Of customers that only their e-mail identifies, one for each address: two at a time would collide."""
    kept = []
    for customer in customers:
        if not customer.customer_id:
            if customer.email_key in seen:
                continue
            seen.add(customer.email_key)
        kept.append(customer)
    return kept


def _give_back_contested(claims: Sequence[Claim]) -> None:
    """Returns the customers that another call is carrying under the same e-mail address.

    Looked at after the claims are committed: of two workers at least the later one sees the other.
    """
    emails = {record.email_key for claim in claims for record in claim.records if not record.customer_id}
    if not emails:
        return
    elsewhere = set(
        Customer.objects.using(mirror())
        .filter(state=SyncState.State.SENDING, customer_id=None, email_key__in=emails)
        .exclude(claim_token__in=[claim.token for claim in claims])
        .values_list("email_key", flat=True)
    )
    if not elsewhere:
        return
    for claim in claims:
        customers = claim.records
        claim.records = [record for record in customers if record.customer_id or record.email_key not in elsewhere]
        give_back(Customer, claim, customers)


def _give_back_being_removed(claims: Sequence[Claim]) -> None:
    """Returns the customers whose identifier a removal is just carrying to Blueshift. Looked at when the above is."""
    removals = CustomerRemoval.objects.using(mirror()).filter(state=SyncState.State.SENDING)
    removed = set(removals.values_list("identifier_key", "identifier"))
    if not removed:
        return
    ids = {identifier for key, identifier in removed if key == CustomerList.IdentifierKey.CUSTOMER_ID}
    emails = {
        EmailKeyField.key_of(identifier) for key, identifier in removed if key == CustomerList.IdentifierKey.EMAIL
    }
    for claim in claims:
        customers = claim.records
        claim.records = [
            record for record in customers if record.customer_id not in ids and record.email_key not in emails
        ]
        give_back(Customer, claim, customers)
