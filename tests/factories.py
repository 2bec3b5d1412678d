"""Rows for tests: each function saves one valid row; keywords override any of its fields."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from blueshift_sync.delivery.policy import LIST_TROUBLES
from blueshift_sync.models import (
    ApiCall,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListImport,
    ListImportMatch,
    ListMembership,
    RecordResult,
    SyncRun,
    SyncState,
)
from blueshift_sync.models.causes import cause_of
from blueshift_sync.models.state import failure

_number = itertools.count(1)


def make_customer(**fields: Any) -> Customer:
    number = next(_number)
    defaults = {
        "customer_id": f"customer-{number}",
        "email": f"customer-{number}@example.com",
        "firstname": "Ada",
        "lastname": f"Number {number}",
    }
    return Customer.objects.create(**_with_claim({**defaults, **fields}))


def make_list(**fields: Any) -> CustomerList:
    number = next(_number)
    defaults = {
        "list_id": 10_000 + number,
        "name": f"List {number}",
        "identifier_key": CustomerList.IdentifierKey.EMAIL,
    }
    return CustomerList.objects.create(**_as_read({**defaults, **fields}))


def _as_read(fields: dict[str, Any]) -> dict[str, Any]:
    """A list with a number and an identifier has been read, unless it is said not to be ready; others wait for that."""
    status = fields.get("status", CustomerList.Status.ACTIVE)
    if status != CustomerList.Status.ACTIVE:
        code, message = LIST_TROUBLES[status]
        stopped = {"stopped_at": timezone.now(), "error_code": code, "error_message": message, "read_due_at": None}
        return {**stopped, **fields}
    is_ready = fields.get("is_ready", bool(fields["list_id"] and fields["identifier_key"]))
    if not is_ready:
        return fields
    read = {"is_ready": True, "source": fields["identifier_key"], "read_at": timezone.now(), "read_due_at": None}
    return {**read, **fields}


def make_membership(**fields: Any) -> ListMembership:
    """Makes its list and its customer too, unless they are given."""
    customer_list = fields.pop("customer_list", None) or make_list()
    customer = fields.pop("customer", None) or make_customer()
    return ListMembership.objects.create(customer_list=customer_list, customer=customer, **_with_claim(fields))


def make_import(*customers: Customer, problems: Sequence[tuple[int, str, str]] = (), **fields: Any) -> ListImport:
    """A file that waits for somebody's yes, with a line for each of these customers. Makes its list too, unless given.

    `problems` are lines that mean nobody, as `ListImportPart` has them.
    """
    fields.setdefault("customer_list", fields.get("customer_list") or make_list())
    counts = {"lines": len(customers) + len(problems), "matched": len(customers), "customers": len(customers)}
    for code in ("unknown", "repeated"):
        counts[code] = sum(problem == code for _number, _identifier, problem in problems)
    counts["bad"] = len(problems) - counts["unknown"] - counts["repeated"]
    defaults = {"identifier_key": "email", "filename": "people.csv", "state": ListImport.State.READY, **counts}
    row = ListImport.objects.create(**{**defaults, "parts_read": 1, "parts_matched": 1, **fields})
    row.parts.create(number=0, problems=[list(line) for line in problems], problem_count=len(problems))
    ListImportMatch.objects.bulk_create(ListImportMatch(list_import=row, customer=customer) for customer in customers)
    return row


def make_removal(**fields: Any) -> CustomerRemoval:
    """To be deleted by its customer ID. Makes its detached customer too, unless `customer` is given; None is none."""
    if "customer" not in fields:
        fields["customer"] = make_detached_customer()
    customer = fields["customer"]
    defaults = {
        "kind": CustomerRemoval.Kind.DELETE,
        "identifier_key": CustomerList.IdentifierKey.CUSTOMER_ID,
        "identifier": customer.customer_id if customer else f"customer-{next(_number)}",
        "source_type": "site.person",
        "source_id": "1",
    }
    return CustomerRemoval.objects.create(**_with_claim({**defaults, **fields}))


def make_detached_customer(**fields: Any) -> Customer:
    """One who was in Blueshift, and whose object was deleted."""
    detached = {
        "source_type": "site.person",
        "source_id": None,
        "state": SyncState.State.EXCLUDED,
        "error_code": "source_deleted",
        "synced_version": 1,
        "version": 2,
        "due_at": None,
        "waiting_since": None,
    }
    return make_customer(**{**detached, **fields})


def make_run(**fields: Any) -> SyncRun:
    defaults = {"kind": SyncRun.Kind.CUSTOMERS, "trigger": SyncRun.Trigger.SIGNAL}
    return SyncRun.objects.create(**{**defaults, **fields})


def make_call(**fields: Any) -> ApiCall:
    """A call that succeeded, without a run unless one is given."""
    defaults = {
        "endpoint": ApiCall.Endpoint.CUSTOMERS_BULK,
        "method": "POST",
        "url": "https://api.getblueshift.com/api/v1/customers/bulk",
        "request_headers": {"Authorization": "[masked]", "Content-Type": "application/json"},
        "request_body": '{"customers": [{"email": "ada@example.com"}]}',
        "status_code": 200,
        "response_headers": {"Content-Type": "application/json"},
        "response_body": '{"status": "success"}',
        "request_id": f"request-{next(_number)}",
        "state": ApiCall.State.SUCCEEDED,
        "record_count": 1,
        "duration_ms": 120,
    }
    return ApiCall.objects.create(**{**defaults, **fields})


def make_result(**fields: Any) -> RecordResult:
    """An accepted record. Makes its call too, unless it is given; of no customer unless one is given."""
    call = fields.pop("call", None) or make_call()
    number = next(_number)
    defaults = {
        "position": call.results.count(),
        "identifier": f"customer-{number}@example.com",
        "version": 1,
        "outcome": RecordResult.Outcome.ACCEPTED,
    }
    if fields.get("outcome") == RecordResult.Outcome.REJECTED:
        fields = {"error_cause": cause_of(fields.get("code", ""), fields.get("message", "")), **fields}
    return RecordResult.objects.create(call=call, **{**defaults, **fields})


def _with_claim(fields: dict[str, Any]) -> dict[str, Any]:
    """A record that is SENDING needs a claim, and one that is FAILED has a cause; no other may have one."""
    if fields.get("state") == SyncState.State.FAILED:
        return {
            **failure(fields.get("error_code", "rejected"), fields.get("error_message", ""), timezone.now()),
            **fields,
        }
    if fields.get("state") != SyncState.State.SENDING:
        return fields
    claim = {
        "claim_token": uuid.uuid4(),
        "claim_expires_at": timezone.now() + timedelta(minutes=5),
        "claimed_version": fields.get("version", 1),
    }
    return {**claim, **fields}
