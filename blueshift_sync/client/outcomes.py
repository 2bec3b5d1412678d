"""The closed vocabulary of what can happen to a call and to a record in it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CallOutcome(StrEnum):
    """What happened to a call."""

    #: 2xx in the documented shape.
    ANSWERED = "ANSWERED"
    #: 2xx, but nothing in it proves anything: empty, HTML, cut, another shape, errors that fit no record.
    UNREADABLE = "UNREADABLE"
    #: No connection was made: nothing has reached Blueshift.
    NOT_SENT = "NOT_SENT"
    #: The request may have reached Blueshift, but no whole answer came back.
    NO_ANSWER = "NO_ANSWER"
    #: 400, and any 4xx that has no name of its own here.
    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    TOO_LARGE = "TOO_LARGE"
    UNPROCESSABLE = "UNPROCESSABLE"
    RATE_LIMITED = "RATE_LIMITED"
    #: 5xx; also 408 (request time-out) and 425 (too early), which mean "again later" just the same.
    SERVER_ERROR = "SERVER_ERROR"
    #: 1xx, 3xx and numbers that are no status at all.
    UNEXPECTED = "UNEXPECTED"


class RecordOutcome(StrEnum):
    """What happened to one record."""

    #: Blueshift says so.
    ACCEPTED = "ACCEPTED"
    #: Blueshift refuses this record; it would refuse it again.
    REJECTED = "REJECTED"
    #: Not taken, for a reason that may pass or that lies elsewhere.
    RETRY = "RETRY"
    #: Nobody can tell. Sending again is safe: upserts and set membership are repeatable.
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """The answer about one record.

    `code` is a machine's word of a-z, 0-9 and "_", at most 64 characters ("user_identifier_missing"). `message` is one
    printable line of at most 1000 characters. `details` is the error as received, fit for any database.
    """

    outcome: RecordOutcome
    code: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call.

    `records` has one entry per record of the request, in its order. `code` and `message` are as for a record, and empty
    when the call was answered as documented. `retry_after` is in seconds, None when Blueshift named no time.
    `request_id` is Blueshift's own. `data` is the object that was asked for by a read.
    """

    outcome: CallOutcome
    records: tuple[RecordAnswer, ...] = ()
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    request_id: str = ""
    data: Any = None
