"""Writing the audit: an `ApiCall` before each request leaves, its answer and the record results afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import connections, router, transaction

from ..client import Answer, Exchange, HttpCall, RecordOutcome
from ..models import ApiCall, ListMembership, RecordResult
from .batches import Batch
from .policy import Policy
from .redaction import Redaction
from .runs import note_calls


def open_calls(to_open: Sequence[tuple[Batch, HttpCall]], job_id: str) -> list[ApiCall]:
    """Commits the calls as OPEN. Nothing may be sent before this returns."""
    calls = [_opened(batch, http_call, job_id) for batch, http_call in to_open]
    using = router.db_for_write(ApiCall)
    with transaction.atomic(using=using, durable=True):
        note_calls(Counter(call.run_id for call in calls if call.run_id is not None))
        if connections[using].features.can_return_rows_from_bulk_insert:
            return ApiCall.objects.using(using).bulk_create(calls)
        for call in calls:
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
        request_body=Redaction.of(batch.request).of_request(batch.request),
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
    redaction = Redaction.of(batch.request)
    received: dict[str, Any] = {
        "status_code": exchange.status,
        "response_headers": exchange.headers,
        "response_body": redaction.of_response(storable_text(exchange.body)),
        "request_id": answer.request_id[:255],
        "duration_ms": exchange.duration_ms,
    }
    call.state = policy.call_state or _state_by_records(answer)
    closed = ApiCall.objects.filter(pk=call.pk, state=ApiCall.State.OPEN).update(
        state=call.state,
        error_code=answer.code,
        error=redaction.of_text(exchange.error or answer.message),
        error_count=sum(record.outcome != RecordOutcome.ACCEPTED for record in answer.records),
        **received,
    )
    if not closed:
        ApiCall.objects.filter(pk=call.pk).update(**received)
    return bool(closed)


def _state_by_records(answer: Answer) -> ApiCall.State:
    accepted = sum(record.outcome == RecordOutcome.ACCEPTED for record in answer.records)
    if accepted == len(answer.records):
        return ApiCall.State.SUCCEEDED
    return ApiCall.State.PARTIAL if accepted else ApiCall.State.FAILED


def results_of(call: ApiCall, batch: Batch, answer: Answer) -> list[RecordResult]:
    """What became of each record of the call, to be written."""
    redaction = Redaction.of(batch.request)
    return [
        RecordResult(
            call=call,
            position=position,
            identifier=redaction.of_text(record.identifier),
            version=record.version,
            outcome=answered.outcome.value,
            code=answered.code,
            message=redaction.of_text(answered.message),
            details=redaction.of_json(answered.details),
            **record_columns(record),
        )
        for position, (record, answered) in enumerate(zip(batch.records, answer.records, strict=True))
    ]


def record_columns(record: Any) -> dict[str, Any]:
    """The columns of a result that say whose it is."""
    if isinstance(record, ListMembership):
        return {"membership_id": record.pk, "customer_id": record.customer_id}
    return {"customer_id": record.pk}


def storable_text(body: bytes) -> str:
    """Bytes as text that any database can hold: what isn't UTF-8, and NUL, is shown as `\\x..`."""
    return body.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
