"""Reads what came back: from an `Exchange` to an `Answer` in the words of `outcomes`.

A record is accepted only on positive evidence; whatever proves nothing makes it UNKNOWN.
"""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from .bodies import Unreadable, printable, read_json, read_message
from .endpoints import REMOVALS, Endpoint, Request
from .http import Exchange, TransportFailure
from .outcomes import Answer, CallOutcome, RecordAnswer, RecordOutcome
from .successes import (
    ACCEPTED_FOR_PROCESSING,
    read_created_list,
    read_customers,
    read_list_change,
    read_object,
    read_removal,
)

#: Seconds: a longer Retry-After is taken for a mistake and cut to this.
MAX_RETRY_AFTER: Final = 86_400.0

#: Characters that are kept of Blueshift's request ID.
REQUEST_ID_LENGTH: Final = 255

_STATUSES: Final = {
    400: CallOutcome.BAD_REQUEST,
    401: CallOutcome.UNAUTHORIZED,
    403: CallOutcome.FORBIDDEN,
    404: CallOutcome.NOT_FOUND,
    408: CallOutcome.SERVER_ERROR,
    409: CallOutcome.CONFLICT,
    413: CallOutcome.TOO_LARGE,
    422: CallOutcome.UNPROCESSABLE,
    425: CallOutcome.SERVER_ERROR,
    429: CallOutcome.RATE_LIMITED,
}
_STATUS_CLASSES: Final = {
    2: CallOutcome.ANSWERED,
    4: CallOutcome.BAD_REQUEST,
    5: CallOutcome.SERVER_ERROR,
}

#: "Accepted" and "no content": they say all there is to say.
_SAID_WITHOUT_A_BODY: Final = frozenset({202, 204})

_ADVICE: Final = {
    CallOutcome.UNAUTHORIZED: " Check the User API key and the region.",
    CallOutcome.FORBIDDEN: " Check what the User API key is allowed to do.",
}


class _Fate(NamedTuple):
    """What becomes of a record; with no code of its own it has the call's."""

    outcome: RecordOutcome
    code: str = ""


_REJECTED: Final = _Fate(RecordOutcome.REJECTED)
_RETRY: Final = _Fate(RecordOutcome.RETRY)
_UNKNOWN: Final = _Fate(RecordOutcome.UNKNOWN)
#: One of the batch may be at fault: the caller sends it in parts.
_SPLIT: Final = _Fate(RecordOutcome.RETRY, "batch_refused")


class _Fates(NamedTuple):
    """What becomes of the records of a call, by what they are and whether there is more than one.

    A removal fares as one customer does.
    """

    one_customer: _Fate
    customers: _Fate
    one_member: _Fate
    members: _Fate


#: On list calls 404 and 422 are the list's fault, and a single identifier can't be too large.
_FATES: Final = {
    #                                   one customer, customers, one member, members
    CallOutcome.BAD_REQUEST: _Fates(_REJECTED, _SPLIT, _REJECTED, _SPLIT),
    CallOutcome.TOO_LARGE: _Fates(_REJECTED, _SPLIT, _RETRY, _SPLIT),
    CallOutcome.UNPROCESSABLE: _Fates(_REJECTED, _SPLIT, _RETRY, _RETRY),
    CallOutcome.NOT_FOUND: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.UNAUTHORIZED: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.FORBIDDEN: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.CONFLICT: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.RATE_LIMITED: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.SERVER_ERROR: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.UNEXPECTED: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.NOT_SENT: _Fates(_RETRY, _RETRY, _RETRY, _RETRY),
    CallOutcome.NO_ANSWER: _Fates(_UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN),
    CallOutcome.UNREADABLE: _Fates(_UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN),
}


def read_answer(request: Request, exchange: Exchange) -> Answer:
    """Say what `exchange` means for `request` and each of its records. Never raises, whatever was received.

    A status other than 2xx counts even when its body was cut short, for the refusal is clear by then.
    """
    retry_after = _retry_after(_header(exchange, "retry-after"))
    request_id = printable(_header(exchange, "x-request-id"), REQUEST_ID_LENGTH)
    outcome = _call_outcome(exchange)
    if outcome is CallOutcome.NOT_FOUND and request.endpoint in REMOVALS and is_from_the_api(exchange):
        gone = RecordAnswer(RecordOutcome.ACCEPTED, outcome.lower(), _message(outcome, exchange))
        return Answer(CallOutcome.ANSWERED, (gone,), retry_after=retry_after, request_id=request_id)
    if outcome is CallOutcome.ANSWERED:
        try:
            records, data = _read_success(request, exchange)
        except Unreadable as finding:
            outcome, code, message = CallOutcome.UNREADABLE, finding.code, str(finding)
        else:
            return Answer(outcome, records, retry_after=retry_after, request_id=request_id, data=data)
    else:
        code, message = _code(outcome, exchange), _message(outcome, exchange)
    records = _same_for_all(request, outcome, code, message)
    return Answer(outcome, records, code, message, retry_after, request_id)


def is_from_the_api(exchange: Exchange) -> bool:
    """Whether an answer has the form of Blueshift's own: a 404 of a gateway, or of a wrong address, has not."""
    try:
        return isinstance(read_json(exchange.body), dict)
    except Unreadable:
        return False


def _call_outcome(exchange: Exchange) -> CallOutcome:
    if exchange.failure is TransportFailure.NOT_SENT:
        return CallOutcome.NOT_SENT
    if exchange.status is None:
        return CallOutcome.NO_ANSWER
    default = _STATUS_CLASSES.get(exchange.status // 100, CallOutcome.UNEXPECTED)
    outcome = _STATUSES.get(exchange.status, default)
    if outcome is CallOutcome.ANSWERED and exchange.failure is not None:
        return CallOutcome.NO_ANSWER
    return outcome


def _read_success(request: Request, exchange: Exchange) -> tuple[tuple[RecordAnswer, ...], Any]:
    if exchange.error:
        raise Unreadable(exchange.error, exchange.code or "unreadable_answer")
    if request.endpoint in REMOVALS and exchange.status in _SAID_WITHOUT_A_BODY and not exchange.body.strip():
        return (RecordAnswer(RecordOutcome.ACCEPTED, ACCEPTED_FOR_PROCESSING),), None
    body = read_json(exchange.body)
    try:
        match request.endpoint:
            case Endpoint.CUSTOMERS_BULK:
                return read_customers(request, body), None
            case Endpoint.LIST_ADD | Endpoint.LIST_REMOVE:
                return read_list_change(request, body), None
            case Endpoint.CUSTOMER_DELETE | Endpoint.CUSTOMER_FORGET:
                return (read_removal(body),), None
            case Endpoint.LIST_CREATE:
                return (), read_created_list(request, body)
            case _:
                return (), read_object(request, body)
    except RecursionError:
        raise Unreadable("The answer is nested too deeply, so it proves nothing.") from None


def _same_for_all(request: Request, outcome: CallOutcome, code: str, message: str) -> tuple[RecordAnswer, ...]:
    fates = _FATES[outcome]
    alone = len(request.records) == 1
    if request.endpoint in {Endpoint.LIST_ADD, Endpoint.LIST_REMOVE}:
        fate = fates.one_member if alone else fates.members
    else:
        fate = fates.one_customer if alone else fates.customers
    return (RecordAnswer(fate.outcome, fate.code or code, message),) * len(request.records)


def _code(outcome: CallOutcome, exchange: Exchange) -> str:
    if outcome in {CallOutcome.NOT_SENT, CallOutcome.NO_ANSWER}:
        return exchange.code or outcome.lower()
    named = exchange.status in _STATUSES and outcome is not CallOutcome.SERVER_ERROR
    return outcome.lower() if named else f"http_{exchange.status}"


def _message(outcome: CallOutcome, exchange: Exchange) -> str:
    if outcome in {CallOutcome.NOT_SENT, CallOutcome.NO_ANSWER}:
        return exchange.error or "No answer came from Blueshift."
    said = read_message(exchange.body).rstrip(".")
    reason = f"Blueshift answered {exchange.status}: {said}." if said else f"Blueshift answered {exchange.status}."
    return printable(reason + _ADVICE.get(outcome, ""))


def _header(exchange: Exchange, name: str) -> str:
    return next((value for key, value in exchange.headers.items() if key.lower() == name), "")


def _retry_after(value: str) -> float | None:
    """Seconds from now, 0 to `MAX_RETRY_AFTER`, of a Retry-After header in either form; None if it is neither."""
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value[:64]).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
