"""What to do with each answer, as a table.

What happened to each record comes from the answer itself; this says what it means for the call, for the records that
were neither accepted nor rejected, for the list, and for the sending as a whole.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

from ..client import CallOutcome
from ..conf import app_settings
from ..models import ApiCall, CustomerList


class Isolate(Enum):
    """In what company the records of a call go next time."""

    NO = auto()
    HALVES = auto()
    ALONE = auto()


@dataclass(frozen=True)
class Policy:
    """What an answer means.

    `call_state` None: it depends on the records. `uses_attempt`: whether it counts against MAX_ATTEMPTS of the records
    that go again. `pause_seconds`: for how long, at least, nobody calls. `call_wide`: trouble that needn't have to do
    with the records; it counts against them only while other calls go well. `stops_sending`: until the key is good.
    """

    call_state: ApiCall.State | None
    uses_attempt: bool = True
    isolate: Isolate = Isolate.NO
    list_status: CustomerList.Status | None = None
    pause_seconds: float = 0
    call_wide: bool = False
    stops_sending: bool = False


FAILED = ApiCall.State.FAILED
UNKNOWN = ApiCall.State.UNKNOWN

POLICIES: dict[CallOutcome, Policy] = {
    CallOutcome.ANSWERED: Policy(None),
    CallOutcome.UNREADABLE: Policy(UNKNOWN, isolate=Isolate.ALONE),
    CallOutcome.NO_ANSWER: Policy(UNKNOWN, call_wide=True),
    CallOutcome.NOT_SENT: Policy(FAILED, uses_attempt=False, pause_seconds=1, call_wide=True),
    CallOutcome.SERVER_ERROR: Policy(FAILED, call_wide=True),
    CallOutcome.CONFLICT: Policy(FAILED),
    CallOutcome.RATE_LIMITED: Policy(FAILED, uses_attempt=False, pause_seconds=1),
    CallOutcome.BAD_REQUEST: Policy(FAILED, uses_attempt=False, isolate=Isolate.HALVES),
    CallOutcome.TOO_LARGE: Policy(FAILED, uses_attempt=False, isolate=Isolate.HALVES),
    CallOutcome.NOT_FOUND: Policy(FAILED, call_wide=True, list_status=CustomerList.Status.DELETED),
    CallOutcome.UNPROCESSABLE: Policy(
        FAILED, uses_attempt=False, isolate=Isolate.HALVES, list_status=CustomerList.Status.UNSUPPORTED
    ),
    CallOutcome.UNAUTHORIZED: Policy(FAILED, uses_attempt=False, stops_sending=True),
    CallOutcome.FORBIDDEN: Policy(FAILED, uses_attempt=False, stops_sending=True),
    CallOutcome.UNEXPECTED: Policy(FAILED, call_wide=True),
}

#: What is said of a list that Blueshift refuses as a whole.
LIST_TROUBLES = {
    CustomerList.Status.DELETED: ("list_deleted", "The list has been deleted in Blueshift."),
    CustomerList.Status.UNSUPPORTED: ("list_unsupported", "Blueshift doesn't support changing this old list."),
}
IDENTIFIER_DIFFERS = "identifier_differs"
LIST_NOT_CREATED = "list_not_created"
LIST_SOURCE_UNKNOWN = "list_source_unknown"
#: What is said of the members of a list that has stopped, by the code for which it has. The list itself says more.
LIST_STOPS = {
    **dict(LIST_TROUBLES.values()),
    IDENTIFIER_DIFFERS: "In Blueshift the list knows its customers by another identifier than here.",
    LIST_NOT_CREATED: "The list could not be created in Blueshift.",
    LIST_SOURCE_UNKNOWN: "Blueshift doesn't say by which identifier the list knows its customers.",
}
#: What is said of them where the code is none of these: a newer version of this program may have stopped the list.
STOPPED = "The list has stopped; its page says why."


def backoff_seconds(attempts: int) -> float:
    """How long to wait after so many failed attempts: doubling from the first delay to the cap, with full jitter."""
    first, cap = app_settings().BACKOFF_SECONDS
    ceiling = min(cap, first * 2.0 ** min(attempts - 1, 60))
    return random.uniform(0, ceiling)  # nosec B311  # noqa: S311 - no secret


def next_batch_limit(isolate: Isolate, batch_size: int) -> int | None:
    """With how many records, itself included, a record of this batch may go next time; None: as many as fit."""
    match isolate:
        case Isolate.ALONE:
            return 1
        case Isolate.HALVES:
            return max(1, batch_size // 2)
        case Isolate.NO:
            return None
