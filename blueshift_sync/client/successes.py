"""Reads the bodies of 2xx answers. Each reader raises `Unreadable` rather than guess."""

import json
import re
from typing import Any, Final

from .bodies import Unreadable, printable, storable, to_code, to_sentence
from .endpoints import Endpoint, Request
from .matching import match
from .outcomes import RecordAnswer, RecordOutcome

#: A record that failed with one of these may succeed later.
_TEMPORARY: Final = frozenset(map(str, (408, 409, 425, 429, *range(500, 600))))

#: What a read must hold, one of them at least, to be what was asked for.
_EVIDENCE: Final = {
    Endpoint.LIST_CREATE: {"id"},
    Endpoint.LIST_READ: {"filename", "source", "user_count"},
    Endpoint.CUSTOMER_FIND: {"users", "user"},
}

#: The code of a record that Blueshift has taken on, and will see to later.
ACCEPTED_FOR_PROCESSING: Final = "accepted_for_processing"

#: Errors of one record that are looked at; more say no more.
_ERRORS_READ: Final = 20


def read_customers(request: Request, body: Any) -> tuple[RecordAnswer, ...]:
    """One answer per customer of a `customers/bulk` call.

    Documented on the page "Bulk create/update customer": `{"customers": [], "errors": []}` when all were taken,
    else both lists hold the failed customers and their errors, in step by position; every other customer was taken.
    """
    echoes, errors = _list_of(body, "customers"), _list_of(body, "errors")
    if _contradicts(body):
        raise Unreadable("The answer says both success and failure, which proves nothing.")
    if errors and len(request.records) == 1:
        return (_failure(errors),)
    if len(echoes) != len(errors):
        raise Unreadable(
            f"Blueshift named {len(echoes)} failed customers but {len(errors)} errors: which is whose is unknown.",
            "unmatched_errors",
        )
    answers = _all_accepted(request)
    if errors:
        positions = match(_as_sent(request), echoes)
        if positions is None:
            raise Unreadable(
                "Blueshift reported errors that fit none, or more than one, of the customers sent.",
                "unmatched_errors",
            )
        for position, error in zip(positions, errors, strict=True):
            answers[position] = _failure([error])
    return tuple(answers)


def read_list_change(request: Request, body: Any) -> tuple[RecordAnswer, ...]:
    """One answer per identifier of a bulk call of a list.

    Documented on the page "Bulk add users to list": `{"status": "ok", "errors": []}`, in both modes. What the errors
    look like isn't, so they can't be told apart; only the error of a single record is surely that record's.
    """
    errors = _list_of(body, "errors")
    if errors and len(request.records) == 1:
        return (_failure(errors, body.get("status")),)
    if errors:
        raise Unreadable(
            "Blueshift reported errors without saying which of the records they are about.", "unmatched_errors"
        )
    if body.get("status") != "ok" or _contradicts(body):
        raise Unreadable("The answer doesn't say that the change of the list is ok, so it proves nothing.")
    return tuple(_all_accepted(request))


def read_removal(body: Any) -> RecordAnswer:
    """The answer about the customer of a delete or forget call.

    No page shows a body for either. Any object will do that says something, and nothing of an error.
    """
    if not isinstance(body, dict) or not body:
        raise Unreadable("The answer doesn't say that the removal was accepted, so it proves nothing.")
    errors = body.get("errors") or body.get("error")
    if errors:
        return _failure(errors if isinstance(errors, list) else [{"error": errors}], body.get("status"))
    if _contradicts({**body, "message": None}):  # a message needn't be a complaint here
        return _failure([body], body.get("status"))
    return RecordAnswer(RecordOutcome.ACCEPTED, ACCEPTED_FOR_PROCESSING)


def read_object(request: Request, body: Any) -> dict[str, Any]:
    """The object that a read asked for. It has been seen alone and as the only element of an array."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict) or not _EVIDENCE[request.endpoint].intersection(body):
        raise Unreadable("The answer isn't what was asked for.")
    stored: dict[str, Any] = storable(body)
    return stored


def read_created_list(request: Request, body: Any) -> dict[str, Any]:
    """The list that was created, with its number under `id`."""
    created = read_object(request, body)
    number = str(created["id"])
    if not re.fullmatch("[0-9]{1,18}", number) or not int(number):
        raise Unreadable("The answer doesn't give the number of the list that was created.")
    return {**created, "id": int(number)}


def _list_of(body: Any, key: str) -> list[Any]:
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, list):
        raise Unreadable("The answer doesn't have the documented shape, so it proves nothing.")
    return value


def _contradicts(body: dict[str, Any]) -> bool:
    """Whether anything beside the documented lists says that the call failed."""
    status = str(body.get("status", "ok"))
    fine = status in {"ok", "success"} or re.fullmatch("2[0-9][0-9]", status)
    return bool(body.get("error") or body.get("message")) or body.get("success", True) is not True or not fine


def _all_accepted(request: Request) -> list[RecordAnswer]:
    code = ACCEPTED_FOR_PROCESSING if "async" in request.query else ""
    return [RecordAnswer(RecordOutcome.ACCEPTED, code)] * len(request.records)


def _as_sent(request: Request) -> list[Any]:
    """The customers as Blueshift saw them, so that tuples are lists and keys are texts."""
    customers: list[Any] = json.loads(request.body or b"{}")["customers"]
    return customers


def _failure(errors: list[Any], default_status: Any = None) -> RecordAnswer:
    """The answer about a record with these errors. Raises Unreadable if one of them says nothing."""
    errors = errors[:_ERRORS_READ]
    told = [_read_error(error) for error in errors]
    temporary = all(_is_temporary(error, default_status) for error in errors)
    details = errors[0] if len(errors) == 1 and isinstance(errors[0], dict) else {"errors": errors}
    return RecordAnswer(
        RecordOutcome.RETRY if temporary else RecordOutcome.REJECTED,
        code=told[0][0],
        message=printable("; ".join(message for _, message in told)),
        details=storable(details),
    )


def _read_error(error: Any) -> tuple[str, str]:
    """Code and message of `{"status": int, "error_data": {NAME: [messages]}}`, or of any other shape with a text."""
    by_name = error.get("error_data") if isinstance(error, dict) else None
    if isinstance(by_name, dict) and by_name:
        name = next(iter(by_name))
        code, message = to_code(name, "rejected"), to_sentence(list(by_name.values())) or printable(name)
    else:
        code, message = "rejected", to_sentence(error)
    if not message:
        raise Unreadable("Blueshift reported an error that says nothing.", "unmatched_errors")
    return code, message


def _is_temporary(error: Any, default_status: Any) -> bool:
    status = error.get("status", default_status) if isinstance(error, dict) else default_status
    return isinstance(status, int | str) and str(status) in _TEMPORARY
