"""One call at a time, as most tests want it; the workers take several together."""

from __future__ import annotations

from blueshift_sync.client import Answer, Exchange, HttpCall
from blueshift_sync.delivery import audit, customers, memberships
from blueshift_sync.delivery import settle as settling
from blueshift_sync.delivery.batches import Batch, Finished
from blueshift_sync.delivery.claim import Claim, RunForChanges
from blueshift_sync.models import ApiCall


def claim_customers(name_run: RunForChanges) -> Claim | None:
    return next(iter(customers.claim_customers(name_run, calls=1)), None)


def claim_memberships(name_run: RunForChanges) -> Claim | None:
    return next(iter(memberships.claim_memberships(name_run, calls=1)), None)


def open_call(batch: Batch, http_call: HttpCall, job_id: str) -> ApiCall:
    return audit.open_calls([(batch, http_call)], job_id)[0]


def settle(batch: Batch, call: ApiCall, exchange: Exchange, answer: Answer, *, blames_records: bool = True) -> None:
    settling.settle([Finished(batch, call, exchange, answer, blames_records)])
