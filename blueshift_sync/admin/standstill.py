"""Why nothing is being sent, said on every list, and having a refused key checked again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import services
from ..conf import app_settings
from ..delivery.standstill import Standstill, current_standstill
from ..exceptions import BlueshiftSyncError
from ..models import ApiCall, Customer, ListMembership
from ..permissions import PUSH_PERMISSIONS, RESEND
from .changelists import ModelAdmin
from .history import note_in_history

SENDING_PERMISSIONS = (PUSH_PERMISSIONS[Customer], PUSH_PERMISSIONS[ListMembership], RESEND)
CHECK_KEY = "blueshift_sync_check_key"


def why_nothing_is_sent() -> str:
    """What keeps everything from being sent, in a sentence or two; empty while nothing does."""
    found = current_standstill()
    return found.sentence if found else ""


def why_no_calls() -> list[str]:
    """What may be the reason that there is no call on the record, in sentences that name the settings."""
    sentences = [held_up] if (held_up := why_nothing_is_sent()) else []
    days = app_settings().CALL_RETENTION_DAYS
    if days is not None:
        text = _("Calls are kept for %(days)s days: BLUESHIFT_SYNC[“CALL_RETENTION_DAYS”].")
        sentences.append(text % {"days": number_format(days)})
    return sentences


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
    found = current_standstill()
    return {"standstill": found.sentence if found else "", "check_key_url": check_key_url(request, found)}


def check_key_url(request: HttpRequest, found: Standstill | None) -> str:
    """Where to have the key checked, if that may end the standstill and the user may ask for it; else empty."""
    return reverse(f"admin:{CHECK_KEY}") if found and found.can_be_checked and may_send(request) else ""


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
        note_in_history(request, ApiCall, _("Check the key now"))
        page = "overview" if "from_overview" in request.POST else "apicall"
        return HttpResponseRedirect(reverse(f"admin:blueshift_sync_{page}_changelist"))
