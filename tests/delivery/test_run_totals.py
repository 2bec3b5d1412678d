"""The totals of a run, read while several workers work on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.audit import open_calls
from blueshift_sync.delivery.batches import Batch, Finished
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import claim_customers, customers_batch
from blueshift_sync.delivery.settle import settle
from blueshift_sync.models import Customer, SyncRun

from .backlog import make_customers

WORKERS, CUSTOMERS = 3, 240
#: Of each ten customers so many are refused.
REFUSED = 3


@pytest.mark.django_db(transaction=True)
def test_they_add_up_at_every_moment_that_a_reader_can_see(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 10}
    make_customers(CUSTOMERS)
    run = services.push(Customer.objects.all())
    seen = set()
    with ThreadPoolExecutor(WORKERS) as pool:
        working = [pool.submit(work, run) for _ in range(WORKERS)]
        while not all(worker.done() for worker in working):
            total, added_up, waiting = read(run)
            assert (total, added_up) == (CUSTOMERS, CUSTOMERS)
            seen.add(waiting)
        for worker in working:
            worker.result()
    assert read(run) == (CUSTOMERS, CUSTOMERS, 0)
    run.refresh_from_db()
    assert (run.accepted, run.rejected) == (CUSTOMERS * (10 - REFUSED) // 10, CUSTOMERS * REFUSED // 10)
    assert run.calls_made == run.calls.count()
    assert len(seen) > 2, "Nothing was read while they worked."


def work(run: SyncRun) -> None:
    """Claims two calls at a time, opens them together and settles them, until nothing is due."""
    try:
        with make_client() as client:
            while Customer.objects.filter(state="PENDING").exists():
                batches = [customers_batch(claim) for claim in claim_customers(lambda _kind: run.pk, calls=2)]
                calls = open_calls([(batch, client.prepare(batch.request)) for batch in batches], "job")
                finished = [
                    Finished(batch, call, Exchange(status=200), answer_to(batch))
                    for batch, call in zip(batches, calls, strict=True)
                ]
                while finished:
                    finished = settle(finished)
    finally:
        connection.close()


def answer_to(batch: Batch) -> Answer:
    refused = RecordAnswer(RecordOutcome.REJECTED, code="bad", message="Bad.")
    taken = RecordAnswer(RecordOutcome.ACCEPTED)
    return Answer(
        CallOutcome.ANSWERED, tuple(refused if record.pk % 10 < REFUSED else taken for record in batch.records)
    )


def read(run: SyncRun) -> tuple[int, int, int]:
    """The total, what should be equal to it, and what waits: by one statement, so all of one moment."""
    unsent = Customer.objects.filter(run=OuterRef("pk"), state__in=["PENDING", "SENDING"]).order_by()
    waiting = Coalesce(Subquery(unsent.values("run").annotate(count=Count("pk")).values("count")), 0)
    row = SyncRun.objects.filter(pk=run.pk).annotate(waiting=waiting)
    return row.values_list("total", F("accepted") + F("rejected") + F("waiting"), "waiting").get()
