"""Answers as long as are kept, many at once: no statement may carry more than a server takes.

MariaDB ends the connection over one that is longer than `max_allowed_packet`, 16 MB if nobody has changed it.
"""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.client import MAX_ANSWER_BYTES, Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.audit import RESULT_COLUMNS, open_calls
from blueshift_sync.delivery.batches import Finished
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import claim_customers, customers_batch
from blueshift_sync.delivery.settle import settle
from blueshift_sync.delivery.statements import insert_rows
from blueshift_sync.models import ApiCall, Customer, RecordResult
from tests.delivery.conftest import RunForChanges
from tests.factories import make_call, make_customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def answered(run_for_changes: RunForChanges, settings: Any) -> Any:
    """Has calls of one customer each answered, each with one of these bodies, and settles them together."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1}

    def settle_together(bodies: list[bytes]) -> None:
        for _ in bodies:
            make_customer()
        batches = [customers_batch(claim) for claim in claim_customers(run_for_changes, calls=len(bodies))]
        with make_client() as client:
            calls = open_calls([(batch, client.prepare(batch.request)) for batch in batches], "job")
        taken = Answer(CallOutcome.ANSWERED, (RecordAnswer(RecordOutcome.ACCEPTED),))
        finished = [
            Finished(batch, call, Exchange(status=200, body=body), taken)
            for batch, call, body in zip(batches, calls, bodies, strict=True)
        ]
        assert settle(finished) == []

    return settle_together


def test_the_longest_answers_are_settled_together(answered: Any) -> None:
    bodies = [(b'{"%d": "' % number).ljust(MAX_ANSWER_BYTES, b'"') for number in range(8)]
    answered(bodies)
    assert set(Customer.objects.values_list("state", flat=True)) == {"SYNCED"}
    stored = ApiCall.objects.order_by("pk").values_list("response_body", flat=True)
    assert [body.encode() for body in stored.iterator(chunk_size=1)] == bodies


def test_what_is_no_text_is_kept_as_far_as_it_fits(answered: Any) -> None:
    answered([b"\xff" * MAX_ANSWER_BYTES])
    assert Customer.objects.get().state == "SYNCED"
    stored = ApiCall.objects.get().response_body
    assert len(stored) == MAX_ANSWER_BYTES
    assert stored.startswith("\\xff\\xff")


def test_masks_make_no_answer_longer_than_that(answered: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["firstname"]}
    answered([b'{"firstname":[' + b"1," * (MAX_ANSWER_BYTES // 2 - 10) + b"1]}"])
    stored = ApiCall.objects.get().response_body
    assert len(stored) == MAX_ANSWER_BYTES
    assert stored.startswith('{"firstname":["***","***",')


def test_results_with_long_messages_are_written_by_several_statements() -> None:
    call = make_call()
    message = "漢" * 1000
    rows = [(call.pk, None, None, number, "", 1, "RETRY", "", message, "", {}) for number in range(6000)]
    insert_rows(RecordResult, RESULT_COLUMNS, rows)
    assert RecordResult.objects.filter(message=message).count() == 6000
