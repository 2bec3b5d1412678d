"""One example of each parameter, body and answer, for the schema."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

MOMENT = "2026-11-22T06:00:00Z"

_STATE = {
    "state": "SYNCED",
    "version": 3,
    "synced_version": 3,
    "attempts": 0,
    "due_at": None,
    "waiting_since": None,
    "synced_at": MOMENT,
    "error_code": "",
    "error_message": "",
    "run": 7,
    "created_at": MOMENT,
}
_RUN = {
    "id": 7,
    "kind": "CUSTOMERS",
    "trigger": "API",
    "requested_by": 1,
    "requested_by_name": "ops",
    "retry_of": None,
    "scope": {"do": "send", "only_changed": False, "looked_at": 2, "changed": 0},
    "state": "QUEUED",
    "total": 2,
    "accepted": 0,
    "rejected": 0,
    "unknown": 0,
    "unchanged": 0,
    "calls_made": 0,
    "error": "",
    "created_at": MOMENT,
    "started_at": None,
    "heartbeat_at": MOMENT,
    "closed_at": MOMENT,
    "cancel_requested_at": None,
    "finished_at": None,
}
_CALL = {
    "id": 12,
    "run": 7,
    "customer_list": None,
    "endpoint": "CUSTOMERS_BULK",
    "method": "POST",
    "url": "https://api.getblueshift.com/api/v1/customers/bulk",
    "status_code": 200,
    "request_id": "6e1b",
    "state": "SUCCEEDED",
    "error_code": "",
    "error": "",
    "attempt": 1,
    "record_count": 2,
    "error_count": 0,
    "rejected_count": 0,
    "started_at": MOMENT,
    "duration_ms": 230,
    "job_id": "drain",
}
ROWS: dict[str, dict[str, Any]] = {
    "customers": {
        "id": 1,
        "customer_id": "1",
        "email": "ann@example.com",
        "uuid": "",
        "firstname": "Ann",
        "lastname": "Arbor",
        "attributes": {"plan": "gold"},
        "subscription_groups": [],
        "source_type": "people.person",
        "source_id": "1",
        **_STATE,
    },
    "lists": {
        "id": 3,
        "list_id": 35869,
        "name": "News",
        "description": "",
        "identifier_key": "email",
        "source": "email",
        "status": "ACTIVE",
        "mode": "",
        "is_ready": True,
        "stopped_at": None,
        "user_count": 2,
        "wanted_count": 2,
        "known_count": 2,
        "read_at": MOMENT,
        "error_code": "",
        "error_message": "",
        "created_at": MOMENT,
    },
    "memberships": {
        "id": 5,
        "customer_list": 3,
        "customer": 1,
        "is_member": True,
        "synced_is_member": True,
        "synced_identifier": "ann@example.com",
        "synced_asynchronously": True,
        "source_type": None,
        "source_id": None,
        **_STATE,
    },
    "runs": _RUN,
    "calls": _CALL,
    "results": {
        "id": 40,
        "call": 12,
        "customer": 1,
        "membership": None,
        "position": 0,
        "identifier": "1",
        "version": 3,
        "outcome": "ACCEPTED",
        "code": "",
        "message": "",
        "details": {},
    },
}
_HEADERS = {"Content-Type": "application/json"}
_CALL_IN_FULL = {
    **_CALL,
    "request_headers": _HEADERS,
    "request_body": '{"customers":[{"customer_id":"1"},{"customer_id":"2"}]}',
    "response_headers": _HEADERS,
    "response_body": '{"customers":[],"errors":[]}',
    "bodies_emptied_at": None,
    "bodies_note": None,
}
_REHEARSAL = {
    "calls": [
        {
            "endpoint": "CUSTOMERS_BULK",
            "method": "POST",
            "url": "https://api.getblueshift.com/api/v1/customers/bulk",
            "record_count": 1,
            "records": [{"customer": 1, "membership": None}],
            "request_body": '{"customers":[{"customer_id":"1","email":"ann@example.com"}]}',
        }
    ],
    "left_out": [{"customer": 2, "membership": None, "reason": "The source leaves it out."}],
    "bodies_note": None,
    "next": None,
}


def _number(value: int) -> dict[str, Any]:
    return {"number": value, "is_exact": True, "counted_at": None}


_STATUS = {
    "in_step": 2000,
    "waiting": 12,
    "parked": 0,
    "being_sent": 50,
    "failed": 3,
    "excluded": 1,
    "is_exact": True,
    "oldest_waiting_seconds": 4.2,
    "sweep_age_seconds": 7.5,
    "taken_at": MOMENT,
    "ok": True,
    "problems": [],
    "summary": ["3 customers failed."],
    "records": {
        "customer": {
            "in_step": _number(2000),
            "waiting": _number(12),
            "parked": _number(0),
            "sending": _number(50),
            "failed": _number(3),
            "excluded": _number(1),
            "oldest_waits_since": MOMENT,
        }
    },
    "removals_for_approval": _number(0),
    "sending": {"state": "on", "since": None, "reason": None},
    "workers": {"alive": 1, "busy": 1, "are_suspended": False, "paused_seconds": 0.0, "failures": 0},
    "swept_at": MOMENT,
    "calls": {"last_minute": 40, "allowed_per_minute": 300.0},
}
_METRICS = 'blueshift_sync_records{kind="customer",state="failed"} 3.0\n'

_OTHERS: dict[str, Any] = {
    "status": _STATUS,
    "metrics": _METRICS,
    "schema": {"openapi": "3.1.1"},
    "calls_retrieve": _CALL_IN_FULL,
}

_SENTENCES = {
    400: ("invalid", "state: “BROKEN” isn't possible here. Use one of: PENDING, SENDING, SYNCED, FAILED, EXCLUDED."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "Your user needs the permission blueshift_sync.view_customer for this."),
    404: ("not_found", "There is nothing at this address."),
    409: ("idempotency_key_reused", "This idempotency key was used for another request."),
    413: ("too_large", "The body is longer than 1,048,576 bytes. Choose rows by a filter instead."),
    415: ("unsupported_media_type", "Unsupported media type “text/plain” in request."),
    429: ("throttled", "Request was throttled. Expected available in 20 seconds."),
    500: ("error", "Something went wrong on the server. It has been logged there."),
    501: ("not_installed", "This endpoint needs a package that isn't installed."),
    503: ("unavailable", "The database can't be used at the moment. The server's log says why; try again in a while."),
}
_BEYOND = ("beyond_threshold", "3 records failed, more than 0.")


_VALUES = {"boolean": True, "integer": 1, "date-time": MOMENT, "uuid": "0b9e5b7e-5d3c-4a53-9d3e-2f6c1a7e8d90"}


def of_parameter(parameter: dict[str, Any]) -> Any:
    """A value that the parameter takes."""
    schema = parameter["schema"]
    if "enum" in schema:
        return schema["enum"][0]
    text = "ann@example.com" if "email" in parameter["name"] else "1"
    return _VALUES.get(schema.get("format", schema["type"]), text)


def of_body(operation: str) -> dict[str, Any]:
    """A body that the operation takes."""
    if operation == "lists_create":
        return {"name": "Spring sale", "identifier_key": "email"}
    return {"customers": [1, 2]} if operation.startswith("lists_") else {"ids": [1, 2]}


def of_response(operation: str, code: int, media_type: str) -> Any:
    """An answer of the operation."""
    if (operation, code) == ("status", HTTPStatus.SERVICE_UNAVAILABLE):
        return {**_problem(code, *_BEYOND), "errors": {"max_failed": [_BEYOND[1]]}, **_STATUS}
    if code in _SENTENCES:
        return _problem(code, *_SENTENCES[code])
    if operation in _OTHERS:
        return _OTHERS[operation]
    name, _, action = operation.partition("_")
    if code == HTTPStatus.CREATED or action == "try_again":
        return ROWS[name]
    if action in {"list", "retrieve"}:
        return ROWS[name] if action == "retrieve" else {"next": None, "results": [ROWS[name]]}
    return _RUN if code == HTTPStatus.ACCEPTED else _REHEARSAL


def _problem(code: int, name: str, sentence: str) -> dict[str, Any]:
    problem = {"type": "about:blank", "title": HTTPStatus(code).phrase, "status": code, "code": name}
    return {**problem, "detail": sentence}
