"""Mistakes in the site's own code: which ones concern one object alone, and how they are told."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import DatabaseError
from rq.timeouts import BaseTimeoutException

#: How much of an error's own text is kept.
LONGEST_TEXT = 500


def is_mistake(error: BaseException | None) -> bool:
    """Whether `error` concerns the one object that was read.

    A database error breaks the transaction for all, and a job's time-out must end the job.
    """
    return isinstance(error, Exception) and not isinstance(error, DatabaseError | BaseTimeoutException)


def text_of(error: BaseException) -> str:
    """What the error says, such as every database can hold it."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - even that is the site's code
        text = "(no text)"
    return text.encode(errors="replace").decode().replace("\0", "")[:LONGEST_TEXT]


def describe(error: BaseException) -> str:
    """The error's type and what it says."""
    return f"{type(error).__name__}: {text_of(error)}"


def loggable_key(key: Any) -> str:
    """A primary key for the log: a number or a UUID. Any other may be an e-mail address or a name."""
    return str(key) if isinstance(key, int | uuid.UUID) else "with a key that isn't shown here"
