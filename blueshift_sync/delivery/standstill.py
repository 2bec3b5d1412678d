"""What keeps everything from being sent, if anything does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ..conf import app_settings
from ..models import SendingStop
from .stop import current_stop


@dataclass(frozen=True)
class Standstill:
    """Why nothing is sent: a code, sentences for people, and since when, where that is known.

    `can_be_checked`: a check of the key may end it.
    """

    code: str
    sentence: str
    since: datetime | None = None
    can_be_checked: bool = False


def current_standstill() -> Standstill | None:
    """What keeps everything from being sent now; None while nothing does."""
    settings = app_settings()
    if not settings.ENABLED:
        text = _("Nothing leaves for now: BLUESHIFT_SYNC[“ENABLED”] is False. It goes out once that is True.")
        return Standstill("switched_off", text)
    if not settings.has_key:
        text = _("Nothing leaves for now: BLUESHIFT_SYNC[“API_KEY”] is missing. It goes out once there is a key.")
        return Standstill("key_missing", text)
    stop = current_stop()
    return Standstill("key_refused", _stopped(stop), stop.stopped_at, can_be_checked=True) if stop else None


def _stopped(stop: SendingStop) -> str:
    text = _(
        "Sending is stopped since %(since)s, as Blueshift refuses the key: %(reason)s Nothing is lost. "
        "The key is checked again at %(next)s, and everything goes out once it is good or another one is set."
    )
    return text % {"since": _moment(stop.stopped_at), "reason": stop.reason, "next": _moment(stop.probe_at)}


def _moment(moment: datetime) -> str:
    return date_format(localtime(moment), "DATETIME_FORMAT")
