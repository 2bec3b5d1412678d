"""Writing the audit: an `ApiCall` before each request leaves, its answer and the record results afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from django.db import IntegrityError, connections, router
from django.db.models import DateTimeField, Value
from django.utils import timezone

from ..client import MAX_ANSWER_BYTES, Answer, HttpCall, RecordAnswer, RecordOutcome
from ..models import ApiCall, Customer, CustomerList, CustomerRemoval, ListMembership, RecordResult
from ..models.causes import cause_of
from ..models.lists import MembershipObject
from .batches import Batch, Finished
from .erased_bodies import ERASED
from .locks import gives_up_or_commits
from .redaction import Redaction
from .runs import note_calls
from .statements import ByKey, find_rows, insert_rows, update_rows

Item = TypeVar("Item")

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
    "error_cause",
    "details",
)


def open_calls(to_open: Sequence[tuple[Batch, HttpCall]], job_id: str) -> list[ApiCall]:
    """Commits the calls as OPEN. Nothing may be sent before this returns.

    Raises RunsCancelled, and HeldBySomebody where somebody holds one of their runs: none was opened.
    """
    try:
        return _open(to_open, job_id)
    except IntegrityError:  # a list was deleted since the claim; not looked for before, for it hardly ever happens
        return _open([(_without_deleted_list(batch), http_call) for batch, http_call in to_open], job_id)


def _without_deleted_list(batch: Batch) -> Batch:
    is_there = batch.customer_list is None or find_rows(CustomerList, id=batch.customer_list.pk)
    return batch if is_there else replace(batch, customer_list=None)


@gives_up_or_commits
def _open(to_open: Sequence[tuple[Batch, HttpCall]], job_id: str) -> list[ApiCall]:
    calls = [_opened(batch, http_call, job_id) for batch, http_call in to_open]
    # First the runs: MariaDB locks them for the calls that refer to them, so two workers would wait in a circle.
    note_calls(Counter(call.run_id for call in calls if call.run_id is not None))
    _insert(calls, router.db_for_write(ApiCall))
    return calls


def _insert(calls: Sequence[ApiCall], using: str) -> None:
    if connections[using].features.can_return_rows_from_bulk_insert:
        for few in _fit_for_a_statement(calls, lambda call: len(call.request_body)):
            ApiCall.objects.using(using).bulk_create(few)
    else:  # MySQL doesn't tell the keys of several rows
        for call in calls:
            call.save(using=using, force_insert=True)


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
        # An expression keeps Django from passing the bodies to PostgreSQL as an array, which takes ten times as long.
        started_at=Value(timezone.now(), DateTimeField()),
    )


def close_calls(finished: Sequence[Finished]) -> list[Finished]:
    """Writes the answers on their calls, but for the results. Returns those that were still open.

    The others somebody else has closed meanwhile, taking this worker for dead. Their records aren't ours any more; the
    answers are kept all the same.
    """
    calls = ApiCall.objects.using(router.db_for_write(ApiCall)).filter(pk__in=[each.call.pk for each in finished])
    still_open = set(
        calls.filter(state=ApiCall.State.OPEN).order_by("pk").select_for_update().values_list("pk", flat=True)
    )
    ours = [each for each in finished if each.call.pk in still_open]
    for each in ours:
        each.call.state = each.policy.call_state or _state_by_records(each.answer)
    _write({each.call.pk: _judged(each) | _received(each) for each in ours})
    _write_late([each for each in finished if each.call.pk not in still_open])
    return ours


def _write_late(finished: Sequence[Finished]) -> None:
    """An answer so late stays without its body where its call has lost the bodies, or somebody in it was erased."""
    pks = [each.call.pk for each in finished]
    if not pks:
        return
    erased = RecordResult.objects.using(router.db_for_write(RecordResult)).filter(call__in=pks, identifier=ERASED)
    whole = set(find_rows(ApiCall, id=pks, bodies_emptied_at=None)) - set(erased.values_list("call_id", flat=True))
    kept = {each.call.pk: _received(each) for each in finished}
    _write({pk: columns for pk, columns in kept.items() if pk in whole})
    _write({pk: columns | {"response_body": ""} for pk, columns in kept.items() if pk not in whole})


def _write(columns: Mapping[int, Mapping[str, Any]]) -> None:
    for pks in _fit_for_a_statement(columns, lambda pk: len(columns[pk]["response_body"].encode())):
        names = columns[pks[0]]
        update_rows(ApiCall, pks, {name: ByKey.of({pk: columns[pk][name] for pk in pks}) for name in names})


def _fit_for_a_statement(items: Iterable[Item], bytes_of: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in groups that are together no longer than one answer may be; a longer one by itself."""
    group: list[Item] = []
    size = 0
    for item in items:
        length = bytes_of(item)
        if group and size + length > MAX_ANSWER_BYTES:
            yield group
            group, size = [], 0
        group.append(item)
        size += length
    if group:
        yield group


def _judged(finished: Finished) -> dict[str, Any]:
    answer = finished.answer
    return {
        "state": str(finished.call.state),
        "error_code": answer.code,
        "error": finished.redaction.of_text(finished.exchange.error or answer.message),
        "error_count": sum(record.outcome != RecordOutcome.ACCEPTED for record in answer.records),
        "rejected_count": sum(record.outcome == RecordOutcome.REJECTED for record in answer.records),
    }


def _received(finished: Finished) -> dict[str, Any]:
    exchange = finished.exchange
    return {
        "status_code": exchange.status,
        "response_headers": exchange.headers,
        "response_body": cut_to_size(finished.redaction.of_response(storable_text(exchange.body))),
        "request_id": finished.answer.request_id[:255],
        "duration_ms": exchange.duration_ms,
    }


def _state_by_records(answer: Answer) -> ApiCall.State:
    accepted = sum(record.outcome == RecordOutcome.ACCEPTED for record in answer.records)
    if accepted == len(answer.records):
        return ApiCall.State.SUCCEEDED
    return ApiCall.State.PARTIAL if accepted else ApiCall.State.FAILED


def write_results(answered: Iterable[tuple[ApiCall, Sequence[Any], Sequence[RecordAnswer], Redaction]]) -> None:
    """Writes what became of each record of these calls. The records are as they were claimed."""
    insert_rows(RecordResult, RESULT_COLUMNS, [row for each in answered for row in _results(*each)])


def write_results_of_deleted(
    answered: Iterable[tuple[ApiCall, Sequence[Any], Sequence[RecordAnswer], Redaction]],
) -> None:
    """As `write_results`, where records may have been deleted: their results name them by identifier only."""
    rows = [row for each in answered for row in _results(*each)]
    customers = set(find_rows(Customer, id=[row[1] for row in rows])) if rows else set()
    memberships = set(find_rows(ListMembership, id=[row[2] for row in rows])) if rows else set()
    kept = [
        (
            call,
            customer if customer in customers else None,
            membership if membership in memberships else None,
            *rest,
        )
        for call, customer, membership, *rest in rows
    ]
    insert_rows(RecordResult, RESULT_COLUMNS, kept)


def _results(
    call: ApiCall, records: Sequence[Any], answers: Sequence[RecordAnswer], redaction: Redaction
) -> Iterator[tuple[Any, ...]]:
    for position, (record, answer) in enumerate(zip(records, answers, strict=True)):
        yield (
            call.pk,
            *links_of(record),
            position,
            redaction.of_text(record.identifier),
            record.claimed_version,
            answer.outcome.value,
            answer.code,
            redaction.of_text(answer.message),
            # Of what was said, for masked it would be another cause than the record's.
            cause_of(answer.code, answer.message) if answer.outcome == RecordOutcome.REJECTED else "",
            redaction.of_json(answer.details),
        )


def links_of(record: Any) -> tuple[int | None, int | None]:
    """The keys of the customer and of the membership whose result this is."""
    # Of a customer, `customer_id` is the one in Blueshift.
    is_membership = isinstance(record, MembershipObject)
    is_of_a_customer = is_membership or isinstance(record, CustomerRemoval)
    return record.customer_id if is_of_a_customer else record.pk, record.pk if is_membership else None


def storable_text(body: bytes) -> str:
    """Bytes as text that any database can hold: what isn't UTF-8, and NUL, is shown as `\\x..`."""
    return body.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")


def cut_to_size(text: str) -> str:
    """Text that a database takes in one statement: what isn't text is longer when it is shown than it was."""
    encoded = text.encode()
    return text if len(encoded) <= MAX_ANSWER_BYTES else encoded[:MAX_ANSWER_BYTES].decode(errors="ignore")
