"""One call to be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..client import Request
from ..models import ApiCall, Customer, CustomerList, ListMembership
from .claim import Claim


@dataclass
class Batch:
    """The request, the claim whose records it carries, and the list that it concerns."""

    request: Request
    run_id: int | None
    model: type[Customer] | type[ListMembership]
    claim: Claim | None = None
    customer_list: CustomerList | None = None

    @property
    def records(self) -> Sequence[Any]:
        """The mirror's rows in the order of the request's records."""
        return self.claim.records if self.claim else ()

    @property
    def endpoint(self) -> ApiCall.Endpoint:
        return ApiCall.Endpoint(self.request.endpoint.value)
