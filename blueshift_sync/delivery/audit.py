"""Writing the audit: an `ApiCall` before each request leaves, its answer and the record results afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import router, transaction

from ..client import Answer, Exchange, HttpCall, RecordAnswer, RecordOutcome
from ..models import ApiCall, ListMembership, RecordResult
from .batches import Batch
from .policy import Policy
from .redaction import Redaction
from .runs import note_calls
from .statements import insert_rows, update_rows

#: The columns of a result, as they are written.
RESULT_COLUMNS = (
    "call",
    "customer",
    "membership",
    "position",
    "identifier",
    "version",
    "outcome",
    "code",
    "message",
    "details",
)


def open_calls(to_open: Sequence[tuple[Batch, HttpCall]], job_id: str) -> list[ApiCall]:
    """Commits the calls as OPEN. Nothing may be sent before this returns."""
    calls = [_opened(batch, http_call, job_id) for batch, http_call in to_open]
    using = router.db_for_write(ApiCall)
    with transaction.atomic(using=using, durable=True):
        note_calls(Counter(call.run_id for call in calls if call.run_id is not None))
        for call in calls:
            # Not bulk_create: on PostgreSQL it would make arrays of the bodies, which takes several times as long.
            call.save(using=using, force_insert=True)
    return calls


def _opened(batch: Batch, http_call: HttpCall, job_id: str) -> ApiCall:
    return ApiCall(
        run_id=batch.run_id,
        customer_list=batch.customer_list,
        endpoint=batch.endpoint,
        method=http_call.method,
        url=http_call.url,
        request_headers=http_call.audit_headers,
        request_body=Redaction.of(batch.request.payload).of_request(batch.request),
        attempt=batch.claim.attempt if batch.claim else 1,
        record_count=len(batch.records),
        job_id=job_id,
        claim_token=batch.claim.token if batch.claim else None,
    )


def close_call(call: ApiCall, batch: Batch, exchange: Exchange, answer: Answer, policy: Policy) -> bool:
    """Writes the answer on the call, but for the results.

    False: somebody else has closed the call meanwhile, taking this worker for dead. Its records aren't ours any more;
    the answer is kept all the same.
    """
    redaction = Redaction.of(batch.request.payload)
    received: dict[str, Any] = {
        "status_code": exchange.status,
        "response_headers": exchange.headers,
        "response_body": redaction.of_response(storable_text(exchange.body)),
        "request_id": answer.request_id[:255],
        "duration_ms": exchange.duration_ms,
    }
    call.state = policy.call_state or _state_by_records(answer)
    judged = {
        "state": call.state,
        "error_code": answer.code,
        "error": redaction.of_text(exchange.error or answer.message),
        "error_count": sum(record.outcome != RecordOutcome.ACCEPTED for record in answer.records),
    }
    if update_rows(ApiCall, [call.pk], judged | received, state=ApiCall.State.OPEN):
        return True
    update_rows(ApiCall, [call.pk], received)
    return False


def _state_by_records(answer: Answer) -> ApiCall.State:
    accepted = sum(record.outcome == RecordOutcome.ACCEPTED for record in answer.records)
    if accepted == len(answer.records):
        return ApiCall.State.SUCCEEDED
    return ApiCall.State.PARTIAL if accepted else ApiCall.State.FAILED


def write_results(answered: Iterable[tuple[ApiCall, Sequence[Any], Sequence[RecordAnswer], Redaction]]) -> None:
    """Writes what became of each record of these calls. The records are as they were claimed."""
    insert_rows(RecordResult, RESULT_COLUMNS, (row for each in answered for row in _results(*each)))


def _results(
    call: ApiCall, records: Sequence[Any], answers: Sequence[RecordAnswer], redaction: Redaction
) -> Iterator[tuple[Any, ...]]:
    for position, (record, answer) in enumerate(zip(records, answers, strict=True)):
        is_membership = isinstance(record, ListMembership)
        yield (
            call.pk,
            record.customer_id if is_membership else record.pk,
            record.pk if is_membership else None,
            position,
            redaction.of_text(record.identifier),
            record.claimed_version,
            answer.outcome.value,
            answer.code,
            redaction.of_text(answer.message),
            redaction.of_json(answer.details),
        )


def storable_text(body: bytes) -> str:
    """Bytes as text that any database can hold: what isn't UTF-8, and NUL, is shown as `\\x..`."""
    return body.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
