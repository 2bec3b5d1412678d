"""What an operator can set going, and how its outcome is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..delivery.runs import GATHERING
from ..exceptions import BlueshiftSyncError
from ..models import SyncRun
from .changelists import ViewedAdmin
from .display import admin_url, link
from .django_actions import label_of
from .standstill import why_nothing_is_sent


class PageActionsAdmin(ViewedAdmin):
    """Offers list actions as buttons on an object's page too, and comes back to that page afterwards."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Refuses actions that this user may not take: Django shows the list as if nothing had been asked."""
        asked = {name for name in request.POST.getlist("action") if name}
        if asked - self.get_actions(request).keys():
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def page_actions(self, request: HttpRequest, row: Any) -> list[dict[str, Any]]:
        """The actions for this one row: name and label."""
        allowed: dict[str, Any] = self.get_actions(request)
        return [
            {"name": name, "label": label_of(allowed[name])} for name in self.page_action_names(row) if name in allowed
        ]

    def page_action_names(self, row: Any) -> tuple[str, ...]:
        """Which actions make sense for this row."""
        return ()

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        if not is_across(request):
            # What was ticked is meant, though it may not be what the list's filter finds any more.
            queryset = self.get_queryset(request)
        if not all(re.fullmatch("[0-9]{1,18}", key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("Rows are selected by their numbers.")
        response = super().response_action(request, queryset, *args, **kwargs)
        if isinstance(response, HttpResponseRedirect) and "_from_page" in request.POST:
            row = queryset.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME)).first()
            return HttpResponseRedirect(admin_url(row)) if row else response
        return response


def is_across(request: HttpRequest) -> bool:
    """Whether all rows were selected that the filter finds, on every page."""
    return request.POST.get("select_across", "0") != "0"


def bare(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """The same rows, without what the list added for its own display."""
    return queryset.select_related(None).defer(None).order_by()


@contextmanager
def telling_errors(request: HttpRequest) -> Iterator[None]:
    """Turns an error of this package into a message on the page."""
    try:
        yield
    except BlueshiftSyncError as error:
        messages.error(request, str(error))


def tell_sending(request: HttpRequest, runs: Sequence[SyncRun], *, removing: bool = False) -> None:
    """Says how many records the runs send, with a link to each, and whether something holds them up.

    `removing`: they are removals of customers, and nothing else.
    """
    if gathering := [run for run in runs if GATHERING in run.scope]:
        text = _("These are many: a worker brings the rest of them into the run and sends them. Progress: {runs}")
        messages.success(request, format_html(text, runs=links_to(gathering)))
        _tell_what_holds_up(request)
        return
    total = sum(run.total for run in runs)
    if not total and (unchanged := sum(run.unchanged for run in runs)):
        text = ngettext(
            "There is nothing to send: %(count)s record is in step already.",
            "There is nothing to send: %(count)s records are in step already.",
            unchanged,
        )
        messages.success(request, text % {"count": unchanged})
        return
    if not total:
        text = _("There is nothing to send: records that are excluded or can't be sent as they are were left out.")
        messages.warning(request, text)
        return
    sentence = ngettext("Sending {count} record: {runs}", "Sending {count} records: {runs}", total)
    kinds = {run.kind for run in runs}
    if removing:
        sentence = ngettext(
            "Removing {count} customer from Blueshift: {runs}",
            "Removing {count} customers from Blueshift: {runs}",
            total,
        )
    elif kinds == {SyncRun.Kind.CUSTOMERS}:
        sentence = ngettext("Sending {count} customer: {runs}", "Sending {count} customers: {runs}", total)
    elif kinds == {SyncRun.Kind.LISTS}:
        sentence = ngettext(
            "Sending {count} list membership: {runs}", "Sending {count} list memberships: {runs}", total
        )
    messages.success(request, format_html(sentence, count=total, runs=links_to(runs)))
    _tell_what_holds_up(request)


def _tell_what_holds_up(request: HttpRequest) -> None:
    if held_up := why_nothing_is_sent():
        messages.warning(request, held_up)


def links_to(runs: Iterable[SyncRun]) -> SafeString:
    return format_html_join(", ", "{}", ((link(run, _("run #%(number)s") % {"number": run.pk}),) for run in runs))
