"""One call to be made, and one that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..client import Answer, Exchange, Request
from ..models import ApiCall, CustomerList
from .claim import Claim
from .policy import POLICIES, Policy
from .redaction import Redaction
from .runs import SentModel

#: Bytes of a body. Blueshift documents no limit; but a call is stored before it leaves, and MariaDB takes 16 MB in one
#: statement (`max_allowed_packet`). Masked, a body may be three times as long, and be quoted besides.
LARGEST_BODY = 3 * 1024 * 1024


@dataclass
class Batch:
    """The request, the claim whose records it carries, and the list that it concerns."""

    request: Request
    run_id: int | None
    model: SentModel
    claim: Claim | None = None
    customer_list: CustomerList | None = None

    @property
    def records(self) -> Sequence[Any]:
        """The mirror's rows in the order of the request's records."""
        return self.claim.records if self.claim else ()

    @property
    def is_too_large(self) -> bool:
        """Whether its body is longer than any may be."""
        return len(self.request.body or b"") > LARGEST_BODY

    @property
    def endpoint(self) -> ApiCall.Endpoint:
        return ApiCall.Endpoint(self.request.endpoint.value)


@dataclass
class Finished:
    """A call that has come to its end, and what is known of it.

    `blames_records` False: the trouble is everybody's, and no attempt of these records.
    """

    batch: Batch
    call: ApiCall
    exchange: Exchange
    answer: Answer
    blames_records: bool = True

    @property
    def policy(self) -> Policy:
        """What the answer means."""
        policy = POLICIES[self.answer.outcome]
        return policy if self.blames_records else replace(policy, uses_attempt=False)

    @cached_property
    def redaction(self) -> Redaction:
        """What is masked of the request and its answer."""
        return Redaction.of(self.batch.request.payload)
