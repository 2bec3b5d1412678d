"""One call to be made, and one that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..client import Answer, Exchange, Request
from ..models import ApiCall, Customer, CustomerList, SyncState
from .claim import Claim
from .lease import Lease
from .policy import POLICIES, Policy
from .redaction import Redaction
from .runs import SentModel
from .statements import find_rows

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
    own_lease: Lease | None = None

    @property
    def records(self) -> Sequence[Any]:
        """The mirror's rows in the order of the request's records."""
        return self.claim.records if self.claim else ()

    @property
    def lease(self) -> Lease | None:
        """After it nothing is sent any more; None where nobody else would send it."""
        return self.claim.lease if self.claim else self.own_lease

    @property
    def is_asynchronous(self) -> bool:
        """Whether Blueshift only takes the work on, and sees to it later."""
        return "async" in self.request.query

    @property
    def is_too_large(self) -> bool:
        """Whether its body is longer than any may be."""
        return len(self.request.body or b"") > LARGEST_BODY

    @property
    def endpoint(self) -> ApiCall.Endpoint:
        return ApiCall.Endpoint(self.request.endpoint.value)


def with_withdrawn(batches: Sequence[Batch]) -> list[Batch]:
    """Those of the batches that carry a record which isn't to be sent any more since it was claimed.

    Nobody whose customer was withdrawn is put on a list either.
    """
    withdrawn = {
        (model, pk)
        for model in {batch.model for batch in batches}
        for pk in find_rows(
            model,
            id=[record.pk for batch in batches if batch.model is model for record in batch.records],
            error_code=list(SyncState.EXCLUDED_CODES),
        )
    }
    additions = [batch for batch in batches if batch.endpoint == ApiCall.Endpoint.LIST_ADD]
    added = [record.customer_id for batch in additions for record in batch.records]
    gone = set(find_rows(Customer, id=added, error_code=list(SyncState.EXCLUDED_CODES))) if added else set()
    return [
        batch
        for batch in batches
        if any((batch.model, record.pk) in withdrawn for record in batch.records)
        or (batch in additions and any(record.customer_id in gone for record in batch.records))
    ]


@dataclass
class Finished:
    """A call that has come to its end, and what is known of it.

    `blames_records` False: the trouble is everybody's, and no attempt of these records. `members_wait` says, as a code
    and a sentence, why the members in a call have to wait for their list.
    """

    batch: Batch
    call: ApiCall
    exchange: Exchange
    answer: Answer
    blames_records: bool = True
    members_wait: tuple[str, str] | None = None

    @property
    def policy(self) -> Policy:
        """What the answer means."""
        policy = POLICIES[self.answer.outcome]
        return policy if self.blames_records else replace(policy, uses_attempt=False)

    @cached_property
    def redaction(self) -> Redaction:
        """What is masked of the request and its answer."""
        return Redaction.of(self.batch.request.payload)
