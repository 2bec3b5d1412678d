"""Why nothing is being sent, said on every list, and having a refused key checked again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import services
from ..conf import app_settings
from ..delivery.stop import current_stop
from ..exceptions import BlueshiftSyncError
from ..models import SendingStop
from .changelists import ModelAdmin

SENDING_PERMISSIONS = (
    "blueshift_sync.push_customer",
    "blueshift_sync.push_listmembership",
    "blueshift_sync.resend_apicall",
)
CHECK_KEY = "blueshift_sync_check_key"


def why_nothing_is_sent() -> str:
    """What keeps everything from being sent, in a sentence or two; empty while nothing does."""
    settings = app_settings()
    if not settings.ENABLED:
        return _("Nothing leaves for now: BLUESHIFT_SYNC[“ENABLED”] is False. It goes out once that is True.")
    if not settings.API_KEY:
        return _("Nothing leaves for now: BLUESHIFT_SYNC[“API_KEY”] is missing. It goes out once there is a key.")
    stop = current_stop()
    return _stopped(stop) if stop else ""


def _stopped(stop: SendingStop) -> str:
    text = _(
        "Sending is stopped since %(since)s, as Blueshift refuses the key: %(reason)s Nothing is lost. "
        "The key is checked again at %(next)s, and everything goes out once it is good or another one is set."
    )
    return text % {"since": _moment(stop.stopped_at), "reason": stop.reason, "next": _moment(stop.probe_at)}


def _moment(moment: Any) -> str:
    return date_format(localtime(moment), "DATETIME_FORMAT")


def may_send(request: HttpRequest) -> bool:
    """Whether the user may send anything at all."""
    return any(request.user.has_perm(permission) for permission in SENDING_PERMISSIONS)


class StandstillNotice(ModelAdmin):
    """Says on top of the list why nothing is being sent."""

    change_list_template = "blueshift_sync/admin/change_list.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {**standstill(request), **(extra_context or {})})


def standstill(request: HttpRequest) -> dict[str, Any]:
    """The notice's text, and where to have the key checked for who may."""
    can_check = app_settings().can_send and may_send(request) and current_stop() is not None
    return {"standstill": why_nothing_is_sent(), "check_key_url": reverse(f"admin:{CHECK_KEY}") if can_check else ""}


class KeyCheckAdmin(ModelAdmin):
    """Adds the address to which "Check the key now" posts."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.check_key))
        # The call must be on the record before it leaves, whatever ATOMIC_REQUESTS says.
        return [path("check-key/", transaction.non_atomic_requests(view), name=CHECK_KEY), *super().get_urls()]

    def check_key(self, request: HttpRequest) -> HttpResponse:
        if not may_send(request):
            raise PermissionDenied
        try:
            services.check_key()
        except BlueshiftSyncError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Blueshift takes the key. Sending goes on."))
        return HttpResponseRedirect(reverse("admin:blueshift_sync_apicall_changelist"))
