"""What is done to many rows at once: asked for once more where it is much, and noted in the history of the admin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..client.limits import LIST_MEMBERS_PER_CALL
from ..conf import app_settings
from ..delivery.runs import GATHERING
from ..models import Customer, CustomerRemoval, ListMembership, SyncRun
from ..services import Selection
from .actions import PageActionsAdmin, bare, is_across, links_to
from .history import note_in_history

#: Rows that a confirmation shows by name.
EXAMPLES = 10


class BulkAdmin(PageActionsAdmin):
    """Actions on what was ticked, or on all that the list's filter finds, however much that is."""

    def selection(self, request: HttpRequest, queryset: QuerySet[Any]) -> Selection:
        """What the action was asked for: the rows that were ticked, or what the filter says."""
        if is_across(request):
            changelist: Any = self.get_changelist_instance(request)
            return Selection(self.model, changelist.condition(request))
        return Selection(self.model, Q(pk__in=list(bare(queryset).values_list("pk", flat=True))))

    def check_permission(self, request: HttpRequest, name: str) -> None:
        """Raises PermissionDenied without the permission that `has_<name>_permission` asks for."""
        if not getattr(self, f"has_{name}_permission")(request):
            raise PermissionDenied

    def answered(
        self, request: HttpRequest, form_class: type[forms.Form] | None = None, *, always: bool = False
    ) -> forms.Form | None:
        """What was answered to the question of `ask`; None where that is still to be asked.

        Rows that were ticked one by one need no question, unless there is a form to fill in or `always` says so. Nor
        does the button on an object's own page, but for the form.
        """
        form = (form_class or forms.Form)(request.POST if "confirmed" in request.POST else None)
        if form.is_bound:
            return form if form.is_valid() else None
        if form_class is not None or ((is_across(request) or always) and "_from_page" not in request.POST):
            return None
        return (form_class or forms.Form)({})  # there is nothing to ask

    def ask(
        self,
        request: HttpRequest,
        selection: Selection,
        *,
        action: str,
        label: str = "",
        consequence: Any = "",
        form_class: type[forms.Form] | None = None,
        duration: Callable[[Selection, int], str] | None = None,
    ) -> TemplateResponse:
        """Asks once more, with how many rows they are, by which filter, and how long sending them takes."""
        count = selection.rows.count()
        form = None
        if form_class is not None:
            form = form_class(request.POST if "confirmed" in request.POST else None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Are you sure?"),
            "media": self.media,
            "label": label or self.label_of(request, action),
            "question": self.counted(count),
            "conditions": self._conditions(request),
            "consequence": consequence,
            "duration": duration(selection, count) if duration else "",
            "form": form,
            "examples": [self.named(row) for row in selection.rows.order_by("pk")[:EXAMPLES]],
            "more": max(0, count - EXAMPLES),
            "action": action,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "address": request.get_full_path(),
            "is_from_page": "_from_page" in request.POST,
        }
        return TemplateResponse(request, "blueshift_sync/admin/confirm.html", context)

    def label_of(self, request: HttpRequest, action: str) -> str:
        """What the action is called in the list."""
        return str(self.get_action(action)[2])  # type: ignore[index]

    def counted(self, count: int) -> str:
        """So many of the list's rows, as "1,203 customers"."""
        name = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
        return f"{number_format(count, use_l10n=True, force_grouping=True)} {name}"

    def named(self, row: Any) -> str:
        """A row as the confirmation names it."""
        return str(row)

    def _conditions(self, request: HttpRequest, **options: bool) -> list[tuple[str, str]]:
        if not is_across(request):
            return []
        changelist: Any = self.get_changelist_instance(request)
        return list(changelist.conditions(**options))

    # The history

    def note(
        self, request: HttpRequest, selection: Selection, action: str, runs: Sequence[SyncRun] = (), to: Any = ""
    ) -> None:
        """Writes down who did what: in the history of the row, or of the run where there were several.

        `to` names what else it was done with, as a list. What makes no run, as an export, is noted without an object.
        """
        label = f"{self.label_of(request, action)} {to}".rstrip()
        if row := self._only_row(request):
            note_in_history(request, row, label)
            return
        conditions = ", ".join(f"{title}: {value}" for title, value in self._conditions(request, naming_nobody=True))
        count = max((rows_of(run, selection) for run in runs), default=None)
        counted = self.counted(selection.rows.count() if count is None else count)
        text = _("%(action)s: %(rows)s") % {"action": label, "rows": counted}
        if conditions:
            text = _("%(what)s, filtered by %(conditions)s") % {"what": text, "conditions": conditions}
        for run in runs:
            note_in_history(request, run, text)
        if not runs:
            note_in_history(request, self.model, text)

    def _only_row(self, request: HttpRequest) -> Any:
        """The row that was ticked, if it was but one: by what was asked for, which it may not be in any more."""
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if is_across(request) or len(ticked) != 1:
            return None
        return self.get_queryset(request).filter(pk=ticked[0]).first()


def rows_of(run: SyncRun, selection: Selection) -> int:
    """How many rows of the selection the run has dealt with, or is still to deal with."""
    if "looked_at" not in run.scope:
        return run.total
    to_come = run.scope.get(GATHERING, ())
    rows = (selection.rows.filter(pk__gt=part["after"], pk__lte=part["until"]).count() for part in to_come)
    looked_at: int = run.scope["looked_at"]
    return looked_at + sum(rows)


def duration_of_rows(selection: Selection, count: int) -> str:
    """How long it takes to send so many of these rows at the limit."""
    return duration_text(calls_for(selection.model, count))


def calls_for(model: type[Model], count: int) -> int:
    """How many calls send so many rows of `model`; of memberships, if they are of one list."""
    settings = app_settings()
    records_per_call = {
        Customer: settings.CUSTOMERS_PER_CALL,
        ListMembership: LIST_MEMBERS_PER_CALL[settings.LIST_MODE],
        CustomerRemoval: 1,
    }
    return math.ceil(count / records_per_call[model])


def duration_text(calls: int) -> str:
    """A sentence on how long so many calls take at CALLS_PER_SECOND."""
    rate = app_settings().CALLS_PER_SECOND
    counted = ngettext("%(count)s call", "%(count)s calls", calls) % {
        "count": number_format(calls, force_grouping=True)
    }
    if rate is None:
        return _("That is %(calls)s or more; CALLS_PER_SECOND sets no limit to them.") % {"calls": counted}
    seconds = calls / rate
    if seconds < 60:
        return _("That is %(calls)s or more: less than a minute at the limit of %(rate)s a second.") % {
            "calls": counted,
            "rate": number_format(rate),
        }
    now = timezone.now()
    return _("That is %(calls)s or more: about %(time)s at the limit of %(rate)s a second.") % {
        "calls": counted,
        "rate": number_format(rate),
        "time": timesince(now - timedelta(seconds=seconds), now),
    }


def tell_changed(request: HttpRequest, run: SyncRun, text: str) -> None:
    """Says how many records a run changed that need not send anything. `text` has a place for `count` and `run`."""
    if GATHERING in run.scope:
        tell_gathering(request, [run])
    elif run.scope["changed"]:
        messages.success(request, format_html(text, count=run.scope["changed"], run=links_to([run])))
    else:
        messages.warning(request, _("There was nothing to do: none of these records needs that."))


def tell_gathering(request: HttpRequest, runs: Sequence[SyncRun]) -> None:
    """Says that a job goes on with what is too much for a request."""
    text = _("There are many: a worker goes on with it. Progress: {runs}")
    messages.success(request, format_html(text, runs=links_to(runs)))
