"""What can be done to runs, and to the records that their calls carried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..delivery.push import kind_of
from ..delivery.runs import SentModel
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncRun
from ..permissions import PUSH_PERMISSIONS
from ..services import Selection
from .actions import links_to, tell_sending, telling_errors
from .bulk import BulkAdmin, calls_for, duration_text
from .bulk_actions import LISTS, Kind, RecordActions
from .export import ExportAdmin
from .permissions import may_push

#: Runs that a message names.
NAMED = 20


class RunActionsAdmin(RecordActions, ExportAdmin, BulkAdmin):
    """For runs. To send what a run sends, or to stop it, takes the permission for that."""

    actions: tuple[str, ...] = ("retry", "cancel", "resend", "preview", *LISTS, "export")
    #: A few runs may be of very many records.
    always_asks = True

    def kinds(self) -> Sequence[Kind]:
        return (ListMembership, Customer)

    def carriers(self, rows: Any) -> Any:
        return rows.leading_here(ApiCall, "run")

    def check_rows(self, request: HttpRequest, rows: Any) -> None:
        """Nobody sends or stops what he may not send."""
        refused = [kind for kind in self.kinds() if not may_push(request, kind)]
        of_refused_kind = rows.only(Q(kind__in=[kind_of(kind) for kind in refused]))
        if refused and of_refused_kind.rows.exists():
            raise PermissionDenied
        if not may_push(request, CustomerRemoval) and rows.leading_here(CustomerRemoval, "run").rows.exists():
            raise PermissionDenied

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return any(may_push(request, model) for model in PUSH_PERMISSIONS)

    @admin.action(permissions=["retry"], description=gettext_lazy("Retry failed records"))
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncRun]) -> HttpResponse | None:
        self.check_permission(request, "retry")
        runs = self.selection(request, queryset)
        self.check_rows(request, runs)
        if self.answered(request, always=True) is None:
            text = _("Only those that are failed are sent, with their newest values.")
            return self.ask(request, runs, action="retry", consequence=text, duration=_duration_of_retry)
        with telling_errors(request):
            new = services.retry_many(runs, request.user, kinds=_kinds_to_push(request))
            self.note(request, runs, "retry", new)
            tell_sending(request, new)
        return None

    @admin.action(permissions=["retry"], description=gettext_lazy("Cancel what hasn't been sent"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncRun]) -> HttpResponse | None:
        self.check_permission(request, "retry")
        runs = self.selection(request, queryset)
        self.check_rows(request, runs)
        going_on = runs.only(Q(state__in=[str(state) for state in SyncRun.OPEN_STATES], cancel_requested_at=None))
        if not going_on.rows.exists():
            messages.warning(request, _("There is nothing to cancel: these runs have ended."))
            return None
        if self.answered(request, always=True) is None:
            text = _("What hasn't been sent isn't sent any more. Calls that are on their way are finished.")
            return self.ask(request, going_on, action="cancel", consequence=text)
        self.note(request, going_on, "cancel")
        _tell_cancelled(request, services.cancel_many(going_on))
        return None


def _kinds_to_push(request: HttpRequest) -> list[SentModel]:
    return [model for model in PUSH_PERMISSIONS if may_push(request, model)]


def _duration_of_retry(runs: Any, count: int) -> str:
    records: int = runs.rows.aggregate(records=Sum("rejected"))["records"] or 0
    return duration_text(calls_for(Customer, records))


def _tell_cancelled(request: HttpRequest, cancelled: Sequence[int]) -> None:
    if len(cancelled) > NAMED:
        text = ngettext(
            "Cancelled: %(count)s run. Calls that are on their way are finished.",
            "Cancelled: %(count)s runs. Calls that are on their way are finished.",
            len(cancelled),
        )
        messages.success(request, text % {"count": number_format(len(cancelled), force_grouping=True)})
        return
    runs = Selection(SyncRun, Q(pk__in=list(cancelled))).rows.order_by("pk")
    text = _("Cancelled: {}. Calls that are on their way are finished.")
    messages.success(request, format_html(text, links_to(runs)))
