"""The mails to operators: what has begun to be wrong, and that it is over. They hold no personal data.

That a mail is due stands in the database. Of several sweeps one takes it, sends it, and says so. Where that fails it is
due again, later and later. If the alert changes before its mail went out, only the newer one goes, and tells of both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from threading import Thread
from urllib.parse import urljoin, urlsplit

from django.core.mail import EmailMessage
from django.db import connections
from django.db.models import F
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from rq.timeouts import BaseTimeoutException

from ..conf import app_settings
from ..models import Alert
from .claim import mirror

logger = logging.getLogger(__name__)

#: A mail server that takes longer than so many seconds counts as away, whatever the mail backend's own patience.
PATIENCE = 10.0
#: Until the next try, at first, doubled after each, and at most. Longer than PATIENCE: nobody else sends it meanwhile.
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)

#: The page of the admin that each alert leads to.
PAGES = {
    Alert.Kind.STOPPED: "admin:blueshift_sync_overview_changelist",
    Alert.Kind.FAILED: "admin:blueshift_sync_failuresbycause_changelist",
    Alert.Kind.WAITING: "admin:blueshift_sync_overview_changelist",
}


def send_due_mails() -> None:
    """Sends the mails that are due. Trouble with the mail server is logged and goes no further."""
    now = timezone.now()
    alerts = Alert.objects.using(mirror())
    for alert in alerts.filter(mail_due_at__lte=now):
        next_try = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(alert.mail_attempts, 10))
        this_one = alerts.filter(pk=alert.pk, mail_due_at=alert.mail_due_at)
        taken = this_one.update(mail_due_at=next_try, mail_attempts=F("mail_attempts") + 1)
        if taken and _is_sent(alert):
            # Unless it has changed meanwhile: then another mail is due.
            alerts.filter(pk=alert.pk, mail_due_at=next_try).update(mail_due_at=None)


def _is_sent(alert: Alert) -> bool:
    try:
        mail = mail_of(alert)
        _within(PATIENCE, mail.send)
    except BaseTimeoutException:
        raise
    except Exception as error:  # noqa: BLE001 - mail backends raise what they like
        # Not the error itself: that of a mail server may name addresses.
        logger.warning(
            "A mail to operators could not be sent (%s); it is tried again.",
            type(error).__name__,
            extra={"event": "alert_mail_failed", "alert": str(alert.kind), "error": type(error).__name__},
        )
        return False
    return True


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Does the work on a thread of its own, and waits no longer. What isn't done by then ends with the process."""
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)
        finally:
            connections.close_all()  # a mail backend may keep its mails in the database

    Thread(target=run, name="blueshift-mail", daemon=True).start()
    done.result(seconds)


def mail_of(alert: Alert) -> EmailMessage:
    """What operators are told of the alert's last change."""
    site = app_settings().SITE_URL
    # The host tells the mails of several sites apart.
    prefix = f"[{urlsplit(site).netloc}] " if site else ""
    lines = [*(_news_of_beginning if alert.is_on else _news_of_end)(alert)]
    if link := _link(alert):
        lines += ["", link]
    return EmailMessage(
        prefix + _subject(alert),
        "\n".join(lines) + "\n",
        to=list(app_settings().ALERT_EMAILS),
        headers={"Auto-Submitted": "auto-generated"},
    )


def _subject(alert: Alert) -> str:
    subjects = {
        (Alert.Kind.STOPPED, True): _("Blueshift: sending has stopped"),
        (Alert.Kind.STOPPED, False): _("Blueshift: sending goes on"),
        (Alert.Kind.FAILED, True): _("Blueshift: many records have failed"),
        (Alert.Kind.FAILED, False): _("Blueshift: most of the failed records are mended"),
        (Alert.Kind.WAITING, True): _("Blueshift: records wait for too long"),
        (Alert.Kind.WAITING, False): _("Blueshift: records are sent in time again"),
    }
    return subjects[Alert.Kind(alert.kind), alert.is_on]


def _news_of_beginning(alert: Alert) -> list[str]:
    advice = {
        Alert.Kind.STOPPED: _("Nothing is lost: changes are kept, and go out once this is mended."),
        Alert.Kind.FAILED: _("Look for what they have in common, mend it, and send them again."),
        Alert.Kind.WAITING: _("See whether workers run, whether they are busy, and whether Blueshift answers."),
    }
    return [
        _("Since %(begin)s: %(reason)s") % {"begin": _moment(alert.began_at), "reason": alert.reason},
        "",
        advice[Alert.Kind(alert.kind)],
        _("You will get one more mail, when it is over."),
    ]


def _news_of_end(alert: Alert) -> list[str]:
    return [
        _("From %(begin)s to %(end)s: %(reason)s")
        % {"begin": _moment(alert.began_at), "end": _moment(alert.ended_at), "reason": alert.reason},
        _("That is over."),
    ]


def _moment(moment: datetime | None) -> str:
    return date_format(localtime(moment), "DATETIME_FORMAT")


def _link(alert: Alert) -> str:
    """The address of the page that says more; empty where the site's address isn't known, or it has no such page."""
    site = app_settings().SITE_URL
    if not site:
        return ""
    try:
        return urljoin(site, reverse(PAGES[Alert.Kind(alert.kind)]))
    except NoReverseMatch:
        return ""
