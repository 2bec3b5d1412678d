"""Noticing when something begins to be wrong, and when it is over, so that operators are told once of each.

Each sweep looks, if anybody is to be told. How it stands is kept in the database, and changes there by statements that
only one of several sweeps can win. A change counts when it has lasted for a while, and the end of it for longer, so
what comes and goes is one alert. A number must fall to half of its bound before it is well again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from ..conf import app_settings
from ..models import Alert
from .alert_mails import send_due_mails
from .claim import mirror
from .status import Status, take_status, time_text
from .status_totals import totals_of

logger = logging.getLogger(__name__)

#: For so long something must be wrong before anybody is told, and be well again before they hear that it is over.
MUST_LAST = timedelta(minutes=1)
MUST_BE_OVER = timedelta(minutes=5)

Alerts = Mapping[str, Alert]


def tell_operators() -> None:
    """Looks how everything stands, and sends a mail for each change. Nothing at all where nobody is to be told."""
    if not app_settings().ALERT_EMAILS:
        return
    with translation.override(settings.LANGUAGE_CODE):
        note_changes(take_status())
        send_due_mails()


def note_changes(status: Status) -> None:
    """Writes down what has begun or ended, by this status."""
    alerts = _alerts()
    for kind, judge in JUDGES.items():
        reason = judge(status, alerts)
        if reason is not None:
            _note(alerts[kind], reason, status.taken_at)


def _alerts() -> Alerts:
    """One of each kind, made where it is missing."""
    rows = Alert.objects.using(mirror())
    found = {alert.kind: alert for alert in rows.all()}
    if missing := [Alert(kind=kind) for kind in JUDGES if kind not in found]:
        rows.bulk_create(missing, ignore_conflicts=True)
        found = {alert.kind: alert for alert in rows.all()}
    return found


def _note(alert: Alert, reason: str, now: datetime) -> None:
    """`reason`: what is wrong, or empty. Whoever wrote first has changed the row, and nobody else does."""
    is_wrong = bool(reason)
    as_read = Alert.objects.using(mirror()).filter(pk=alert.pk, is_on=alert.is_on, differs_since=alert.differs_since)
    if is_wrong == alert.is_on:
        if alert.differs_since is not None:
            as_read.update(differs_since=None)
    elif alert.differs_since is None or alert.differs_since > now:  # or somebody has set the clock back
        as_read.update(differs_since=now)
    elif now - alert.differs_since >= (MUST_LAST if is_wrong else MUST_BE_OVER):
        since = alert.differs_since
        columns: dict[str, Any] = (
            {"began_at": since, "ended_at": None, "reason": reason} if is_wrong else {"ended_at": since}
        )
        if as_read.update(is_on=is_wrong, differs_since=None, mail_due_at=now, mail_attempts=0, **columns):
            logger.warning(
                "Operators are told: “%s” %s.",
                alert.kind,
                "has begun" if is_wrong else "is over",
                extra={"event": "alert_began" if is_wrong else "alert_ended", "alert": str(alert.kind)},
            )


# What is wrong: a sentence, or an empty text where nothing is. None: it can't be told as things stand.


def _stopped(status: Status, _alerts: Alerts) -> str:
    fault = next(iter(status.faults), None)
    if fault is None:
        return ""
    # What Blueshift says of the key isn't repeated: nobody knows what stands in it.
    return _("Blueshift refuses the key.") if fault.code == "key_refused" else fault.sentence


def _failed(status: Status, alerts: Alerts) -> str:
    bound = app_settings().ALERT_FAILED_RECORDS
    failed = totals_of(status).failed
    if bound is None or failed <= _bound_now(bound, alerts[Alert.Kind.FAILED]):
        return ""
    return _("%(number)s records have failed.") % {"number": number_format(failed, force_grouping=True)}


def _waiting(status: Status, alerts: Alerts) -> str | None:
    """Not asked while nothing is sent: then it is no news. Afterwards the wait counts from the end of that."""
    bound = app_settings().ALERT_WAITING_SECONDS
    stopped = alerts[Alert.Kind.STOPPED]
    if bound is None:
        return ""
    if stopped.is_on or status.problems:
        return None
    since = [numbers.oldest for numbers in status.records if numbers.oldest is not None]
    if not since:
        return ""
    oldest = max(min(since), stopped.ended_at) if stopped.ended_at else min(since)
    if (status.taken_at - oldest).total_seconds() <= _bound_now(bound, alerts[Alert.Kind.WAITING]):
        return ""
    return _("The record that waits the longest has waited for %(time)s.") % {
        "time": time_text(oldest, status.taken_at)
    }


def _bound_now(bound: float, alert: Alert) -> float:
    return bound / 2 if alert.is_on else bound


JUDGES: dict[str, Callable[[Status, Alerts], str | None]] = {
    Alert.Kind.STOPPED: _stopped,
    Alert.Kind.FAILED: _failed,
    Alert.Kind.WAITING: _waiting,
}
