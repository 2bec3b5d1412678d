"""Which other calls carried the same as a call, and what one that is open carries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult, SyncState
from .runs import SentModel

#: Earlier and later attempts that are looked at, of each.
ATTEMPTS = 20

_CARRIED: dict[str, SentModel] = {
    ApiCall.Endpoint.CUSTOMERS_BULK: Customer,
    ApiCall.Endpoint.LIST_ADD: ListMembership,
    ApiCall.Endpoint.LIST_REMOVE: ListMembership,
    ApiCall.Endpoint.CUSTOMER_DELETE: CustomerRemoval,
    ApiCall.Endpoint.CUSTOMER_FORGET: CustomerRemoval,
}
#: Columns of a call that a list of attempts has no use for.
_BODIES = ("request_headers", "request_body", "response_headers", "response_body")


@dataclass(frozen=True)
class Attempts:
    """The results of one record of a call, and of the same version of it in calls before and after, the oldest first.

    `is_all` False: there were more, before or after.
    """

    result: RecordResult
    results: list[RecordResult]
    is_all: bool

    @property
    def number(self) -> int:
        """Which one the call itself was, from 1."""
        return 1 + next(number for number, result in enumerate(self.results) if result.pk == self.result.pk)


def attempts_at(result: RecordResult) -> Attempts | None:
    """When and how the record of this result was sent in the same version; None where it isn't there any more.

    Takes two queries, by index.
    """
    if result.membership_id is not None:
        same = RecordResult.objects.filter(membership=result.membership_id)
    elif result.customer_id is not None:
        same = RecordResult.objects.filter(customer=result.customer_id, membership=None)
    else:
        return None
    same = same.select_related("call").defer("details", *(f"call__{name}" for name in _BODIES))
    before = list(_alike(result, same.filter(pk__lt=result.pk).order_by("-pk")[: ATTEMPTS + 1]))
    after = list(_alike(result, same.filter(pk__gt=result.pk).order_by("pk")[: ATTEMPTS + 1]))
    is_all = len(before) <= ATTEMPTS and len(after) <= ATTEMPTS
    return Attempts(result, [*reversed(before[:ATTEMPTS]), result, *after[:ATTEMPTS]], is_all)


def _alike(result: RecordResult, others: Iterable[RecordResult]) -> Iterator[RecordResult]:
    """Up to the first one of another version: removals aside, which go to other addresses than their customer."""
    for other in others:
        if other.call.endpoint != result.call.endpoint:
            continue
        if other.version != result.version:
            return
        yield other


def carried_by(call: ApiCall) -> QuerySet[Any] | None:
    """The records that an open call carries; None where it carries none. By the index of what is being sent."""
    model = _CARRIED.get(call.endpoint)
    if model is None or call.claim_token is None or call.state != ApiCall.State.OPEN:
        return None
    rows: QuerySet[Any] = model._default_manager.filter(state=SyncState.State.SENDING, claim_token=call.claim_token)
    return rows.select_related("customer", "customer_list") if model is ListMembership else rows
