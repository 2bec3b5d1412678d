"""From a claim to the request that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..client import Request, customers_bulk, list_add, list_remove, read_list
from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerList, ListMembership
from .claim import Claim


@dataclass
class Batch:
    """One call to be made: the request, the claim whose records it carries, and the list that it concerns."""

    request: Request
    run_id: int | None
    model: type[Customer] | type[ListMembership]
    claim: Claim | None = None
    customer_list: CustomerList | None = None

    @property
    def records(self) -> list[Any]:
        """The mirror's rows in the order of the request's records."""
        return list(self.claim.records) if self.claim else []

    @property
    def identifiers(self) -> list[str]:
        """How Blueshift knows each record."""
        return [record.identifier for record in self.records]

    @property
    def endpoint(self) -> ApiCall.Endpoint:
        return ApiCall.Endpoint(self.request.endpoint.value)


def customers_batch(claim: Claim) -> Batch:
    """The call that creates or updates the claimed customers."""
    request = customers_bulk([record.payload for record in claim.records if isinstance(record, Customer)])
    return Batch(request, claim.run_id, Customer, claim)


def memberships_batch(claim: Claim) -> Batch:
    """The call that puts the claimed customers on their list, or takes them off."""
    first = claim.records[0]
    assert isinstance(first, ListMembership)  # noqa: S101 - for the type checker
    customer_list = first.customer_list
    change = list_add if first.is_member else list_remove
    request = change(
        customer_list.list_id,
        customer_list.identifier_key,
        [record.identifier for record in claim.records],
        customer_list.mode or app_settings().LIST_MODE,
    )
    return Batch(request, claim.run_id, ListMembership, claim, customer_list)


def list_reading(customer_list: CustomerList, run_id: int) -> Batch:
    """The call that reads a list's name and identifier; it carries no records."""
    return Batch(read_list(customer_list.list_id), run_id, ListMembership, customer_list=customer_list)
