"""Why a record isn't in Blueshift yet, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timeuntil
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..conf import app_settings
from ..delivery.parking import why_waiting
from ..delivery.workers import workers
from ..exceptions import RedisUnavailable
from ..models import ListMembership, SyncState
from .display import said_of
from .explanations import in_words
from .standstill import why_nothing_is_sent

State = SyncState.State


def why_is_it_waiting(record: Any) -> list[str]:
    """What keeps a customer or a membership from being in step, what most matters first; empty where it is in step."""
    match record.state:
        case State.PENDING:
            return list(_why_pending(record))
        case State.SENDING:
            return [_why_sending(record)]
        case State.FAILED:
            return list(_why_failed(record))
        case State.EXCLUDED:
            return [_why_excluded(record)]
        case _:
            return []


def _why_pending(record: Any) -> Iterator[str]:
    waits_for = why_waiting(record) if isinstance(record, ListMembership) else None
    if waits_for is not None:
        yield in_words(*waits_for)
    elif record.due_at is None:
        yield _said(record) or _("It waits for something else; the sweep looks every 15 seconds.")
    else:
        yield _when_due(record, record.due_at)
    if record.batch_limit == 1:
        yield _("It is sent alone, after a call that carried others too was refused.")
    elif record.batch_limit:
        yield _("It is sent with few others, after a call that carried more was refused.")
    if held_up := why_nothing_is_sent():
        yield held_up
    elif trouble := _trouble_with_workers():
        yield trouble


def _when_due(record: Any, due_at: datetime) -> str:
    if due_at <= timezone.now():
        return _("It is due. A worker takes what has been due for longest first.")
    seconds = math.ceil((due_at - timezone.now()).total_seconds())
    if record.attempts:
        text = ngettext(
            "%(count)s attempt failed: %(message)s It is tried again in %(time)s (%(moment)s).",
            "%(count)s attempts failed: %(message)s It is tried again in %(time)s (%(moment)s).",
            record.attempts,
        )
        return text % {
            "count": record.attempts,
            "message": _said(record) or _("No reason is known."),
            "time": _duration(seconds, due_at),
            "moment": _moment(due_at),
        }
    text = _("It is due in %(time)s: a change waits a little for others that may follow (DEBOUNCE_SECONDS).")
    return text % {"time": _duration(seconds, due_at)}


def _said(record: Any) -> str:
    """What is wrong with it, as far as it says so."""
    return in_words(record.error_code, said_of(record))


def _duration(seconds: int, until: datetime) -> str:
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": seconds}
    return timeuntil(until)


def _trouble_with_workers() -> str:
    try:
        found = workers()
    except RedisUnavailable as error:
        return _("%(error)s Nothing is sent without Redis; it goes out once that is back.") % {"error": error}
    if not found.alive:
        text = _("No worker is running for the queue “%(queue)s”: start one with “manage.py rqworker %(queue)s”.")
        return text % {"queue": app_settings().QUEUE}
    if found.are_suspended:
        return _("The workers are suspended: “rq resume” has them go on.")
    if found.paused_seconds:
        text = _("All sending pauses for another %(seconds)s s, as Blueshift asked for it or is in trouble.")
        return text % {"seconds": math.ceil(found.paused_seconds)}
    return ""


def _why_sending(record: Any) -> str:
    text = _("A worker is sending it now. Should that worker have died, it goes again after %(moment)s.")
    return text % {"moment": _moment(record.claim_expires_at)}


def _why_failed(record: Any) -> Iterator[str]:
    if record.error_code == "cancelled":
        if record.run_id:
            yield _("Run #%(number)s was cancelled before this was sent.") % {"number": record.run_id}
        else:
            yield _("Its run was cancelled before this was sent.")
        yield _("It is sent with its next change, or when somebody sends it.")
    elif record.error_code in SyncState.UNSENDABLE_CODES:
        yield _said(record)
        yield _("It can't be sent as it is: it is tried again once that has changed on the site.")
    else:
        # Blueshift's code is often the field that its message is about.
        said = ": ".join(part for part in (record.error_code, _said(record)) if part)
        yield said or _("Blueshift refused it.")
        yield _("It is tried again with its next change, or when somebody sends it.")


def _why_excluded(record: Any) -> str:
    if record.is_excluded_by_operator:
        return _("Somebody excluded it here: it isn't sent until somebody includes it again.")
    if record.error_code == "source_deleted":
        return _("Its object was deleted on the site: it is never sent again.")
    return _("The source's include() says that it doesn't belong in Blueshift. What Blueshift has of it, it keeps.")


def _moment(moment: datetime | None) -> str:
    return date_format(localtime(moment), "DATETIME_FORMAT") if moment else ""
