"""What went wrong, each cause once; and sending again what failed for one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..delivery.causes import Group, Groups, groups_of, of_cause, told_by
from ..delivery.runs import SentModel
from ..models import Customer, CustomerRemoval, FailuresByCause, ListMembership, RecordResult, SyncRun, SyncState
from ..permissions import PUSH_PERMISSIONS
from ..services import Selection
from .actions import tell_sending, telling_errors
from .bulk import calls_for, confirmation, duration_text, rows_of
from .display import (
    Table,
    cause_cell,
    customers_are_named,
    link,
    link_to,
    list_link,
    moment,
    said_of,
    said_of_one,
    shown_to,
)
from .history import note_in_history
from .pages import PageAdmin
from .permissions import may_view
from .standstill import standstill

SEND = "blueshift_sync_failuresbycause_send"
#: What may be sent again, by the name in the address, and the permission that it takes.
SENT_AGAIN: dict[str, tuple[SentModel, str]] = {
    str(model._meta.model_name): (model, permission) for model, permission in PUSH_PERMISSIONS.items()
}


@admin.register(FailuresByCause)
class FailuresByCauseAdmin(PageAdmin):
    title = gettext_lazy("Failures by cause")
    template = "blueshift_sync/admin/failures.html"
    shows = (Customer, ListMembership, CustomerRemoval, RecordResult)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.send_again)
        return [path("send/<str:kind>/<path:cause>/", view, name=SEND), *super().get_urls()]

    def page_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**standstill(request), "tables": list(_tables(request))}

    def send_again(self, request: HttpRequest, kind: str, cause: str) -> HttpResponse:
        """Asks with how many records there are; posted, it sends them."""
        model, permission = SENT_AGAIN.get(kind, (None, ""))
        if model is None or not re.fullmatch("[0-9a-f]+", cause):
            raise Http404
        if not (may_view(request, model) and request.user.has_perm(permission)):
            raise PermissionDenied
        shown_to(request)
        if request.method != "POST":
            return self._confirmation(request, model, cause)
        failed = of_cause(model._default_manager.all(), cause)
        code = failed.values_list("error_code", flat=True).first()
        with telling_errors(request):
            run = services.retry_cause(model, cause, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
            rows = _question(model, rows_of(run, Selection(model, Q(error_cause=cause, state=SyncState.State.FAILED))))
            note_in_history(request, run, f"{_('Send these records again')}: {rows} ({code or cause})")
            tell_sending(request, [run], removing=model is CustomerRemoval)
        return HttpResponseRedirect(_address())

    def _confirmation(self, request: HttpRequest, model: SentModel, cause: str) -> HttpResponse:
        rows = of_cause(model._default_manager.all(), cause).filter(state=SyncState.State.FAILED)
        example = rows.order_by("-failed_at", "-pk").first()
        count = rows.count()
        if example is None:
            messages.warning(request, _("Nothing fails for this cause any more: it was sent again, or put right."))
            return HttpResponseRedirect(_address())
        return confirmation(
            self,
            request,
            label=_send_label(count),
            question=_question(model, count),
            consequence=_consequence(model, example.error_code),
            problem=cause_cell(example.error_code, said_of(example)),
            duration=duration_text(calls_for(model, count)),
            address=request.get_full_path(),
            back=_address(),
        )


def _consequence(model: SentModel, code: str) -> str:
    """What is done before they are sent."""
    if model is CustomerRemoval:
        return ""
    text = _("Before they are sent they are read again from the site, so that Blueshift gets the newest values.")
    stays = _("Those that still can’t be sent as they are stay failed.")
    return f"{text} {stays}" if code in SyncState.UNSENDABLE_CODES else text


def _address() -> str:
    return reverse("admin:blueshift_sync_failuresbycause_changelist")


# The groups


def _tables(request: HttpRequest) -> Iterator[Table]:
    titles = {
        Customer: _("Customers that failed"),
        ListMembership: _("List memberships that failed"),
        CustomerRemoval: _("Customer removals that failed"),
    }
    for kind, (model, permission) in SENT_AGAIN.items():
        if may_view(request, model):
            yield _table(
                titles[model],
                model,
                groups_of(model, told_by(model)),
                kind=kind if request.user.has_perm(permission) else "",
            )
    if may_view(request, RecordResult):
        results = RecordResult.objects.select_related("call").only(
            "code", "message", "error_cause", "identifier", "call__started_at"
        )
        yield _table(_("Rejections on record, put right since or not"), RecordResult, groups_of(RecordResult, results))


def _table(title: str, model: type[Model], found: Groups, *, kind: str = "") -> Table:
    """`kind` where the user may send again what failed."""
    headings = [_("What went wrong"), _("Records"), _("First seen"), _("Last seen"), _("Example")]
    return Table(
        title=title,
        headings=[*headings, _("Put it right")] if kind else headings,
        rows=[_row(model, group, kind) for group in found.groups],
        empty=_("Nothing."),
        more=None if found.is_all else format_html("{}", _("There are more causes than these.")),
    )


def _row(model: type[Model], group: Group, kind: str) -> list[Any]:
    if model is RecordResult:
        code, message = group.last.code, said_of_one(group.last.message)
        first, last, example = group.first.call.started_at, group.last.call.started_at, group.last.identifier
        example = link_to(RecordResult, group.last.pk, example if customers_are_named() else "")
    else:
        code, message = group.last.error_code, said_of(group.last)
        first, last, example = group.first.failed_at, group.last.failed_at, link(group.last)
    cells = [
        cause_cell(code, message),
        list_link(_counted(group), model, error_cause__exact=group.cause),
        moment(first),
        moment(last),
        example,
    ]
    if kind:
        address = reverse(f"admin:{SEND}", args=[kind, group.cause])
        cells.append(
            format_html(
                '<a class="button bsync-button" href="{}">{}</a>',
                address,
                _send_label(group.count, is_more=group.is_more),
            )
        )
    return cells


def _send_label(count: int, *, is_more: bool = False) -> str:
    if is_more:
        return _("Send all of them again")
    text = ngettext("Send it again", "Send these %(count)s again", count)
    return text % {"count": _number(count)}


def _counted(group: Group) -> str:
    return _("more than %(number)s") % {"number": _number(group.count)} if group.is_more else _number(group.count)


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)


# Before it is sent


def _question(model: SentModel, count: int) -> str:
    texts = {
        Customer: ngettext("%(count)s customer", "%(count)s customers", count),
        ListMembership: ngettext("%(count)s list membership", "%(count)s list memberships", count),
        CustomerRemoval: ngettext("%(count)s customer removal", "%(count)s customer removals", count),
    }
    return texts[model] % {"count": number_format(count, force_grouping=True)}
