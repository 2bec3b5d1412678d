"""What Blueshift is told when objects are deleted on the site: nothing, or to remove their customers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.utils import timezone

from ..conf import app_settings
from ..delivery.redaction import MASK
from ..models import Customer, CustomerList, CustomerRemoval, RecordResult

IdentifierKey = CustomerList.IdentifierKey

#: A removal waits for so many seconds: objects deleted one by one are seen to be many before the first of them leaves,
#: and an object that is made again at once keeps its customer.
GRACE_SECONDS = 60


def plan_removals(customers: Sequence[Customer], using: str) -> None:
    """Writes down what Blueshift is to remove, if ON_SOURCE_DELETE says so, before these customers are detached.

    To be called in the transaction of the deletion. Customers who were never sent are passed over.
    """
    on_delete = app_settings().ON_SOURCE_DELETE
    if on_delete == "keep":
        return
    sent = _identifiers_sent(customers, using)
    due_at = timezone.now() + timedelta(seconds=GRACE_SECONDS)
    CustomerRemoval.objects.using(using).bulk_create(
        CustomerRemoval(
            kind=CustomerRemoval.Kind(on_delete.upper()),
            identifier_key=key,
            identifier=identifier,
            customer=customer,
            source_type=customer.source_type or "",
            source_id=customer.source_id or "",
            due_at=due_at,
        )
        for customer in customers
        if customer.synced_version or customer.state == Customer.State.SENDING or customer.pk in sent
        for key, identifier in identities(customer, sent.get(customer.pk, set()))
    )


def identities(customer: Customer, sent: set[str]) -> Iterator[tuple[IdentifierKey, str]]:
    """By what Blueshift may know this customer: its identifier, and those under which it was sent before.

    A site may have emptied or changed the object before it deleted it. An e-mail address from before the customer had
    an ID is left out: Blueshift gave that profile the ID, and who has the address now may be somebody else.
    """
    own = customer.identifier
    if own:
        yield (IdentifierKey.CUSTOMER_ID if customer.customer_id else IdentifierKey.EMAIL), own
    for identifier in sorted(sent - {own}):
        if "@" not in identifier or "@" in (customer.customer_id or ""):
            yield IdentifierKey.CUSTOMER_ID, identifier
        elif not customer.customer_id:
            yield IdentifierKey.EMAIL, identifier


def _identifiers_sent(customers: Sequence[Customer], using: str) -> dict[int, set[str]]:
    """The identifiers under which calls may have brought the customers to Blueshift, as far as the audit knows them."""
    results = RecordResult.objects.using(using).filter(customer__in=customers, membership=None)
    carried = results.exclude(outcome=RecordResult.Outcome.REJECTED).order_by()
    sent: dict[int, set[str]] = defaultdict(set)
    for pk, identifier in carried.values_list("customer_id", "identifier").distinct():
        if pk is not None and identifier and MASK not in identifier:
            sent[pk].add(identifier)
    return sent
