"""What is done to many rows at once: asked for once more where it is much, and noted in the history of the admin."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet, Sum
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
from ..delivery.memberships import mode_of
from ..delivery.runs import GATHERING, MODELS
from ..models import ApiCall, Customer, CustomerList, CustomerRemoval, ListMembership, SyncRun
from ..services import AnySelection, Selection
from .actions import PageActionsAdmin, bare, is_across, links_to
from .display import name_of
from .django_actions import label_of
from .history import note_in_history

#: Rows that a confirmation shows by name.
EXAMPLES = 10


class Asking:
    """What the actions of a list share: what they are about, the question before, and the note afterwards."""

    model: type[Any]
    opts: Any
    admin_site: Any
    media: Any

    @abstractmethod
    def selection(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """What the action was asked for: the rows that were ticked, or what the filter finds."""

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
        nothing_to_fill_in = forms.Form({})
        nothing_to_fill_in.full_clean()
        return nothing_to_fill_in

    def ask(
        self,
        request: HttpRequest,
        selection: AnySelection,
        *,
        action: str,
        label: str = "",
        question: str = "",
        consequence: Any = "",
        form_class: type[forms.Form] | None = None,
        duration: Callable[[AnySelection, int], str] | None = None,
    ) -> TemplateResponse:
        """Asks once more, with how many rows they are, by which filter, and how long sending them takes.

        `question` says how much it is, where that isn't the number of rows.
        """
        count = selection.rows.count()
        form = None
        if form_class is not None:
            form = form_class(request.POST if "confirmed" in request.POST else None)
        hidden = [("action", action), ("index", 0), ("confirmed", 1)]
        hidden += [("select_across", request.POST.get("select_across", "0"))]
        hidden += [("_from_page", 1)] if "_from_page" in request.POST else []
        hidden += [(ACTION_CHECKBOX_NAME, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        return confirmation(
            self,
            request,
            label=label or self.label_of(request, action),
            question=question or self.counted(count),
            consequence=consequence,
            conditions=self.conditions(request),
            duration=duration(selection, count) if duration else "",
            form=form,
            examples=[self.named(row) for row in selection.rows.order_by("pk")[:EXAMPLES]],
            more=max(0, count - EXAMPLES),
            hidden=hidden,
            address=request.get_full_path(),
        )

    @abstractmethod
    def label_of(self, request: HttpRequest, action: str) -> str:
        """What the action is called in the list."""

    def counted(self, count: int) -> str:
        """So many of the list's rows, as "1,203 customers"."""
        name = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
        return f"{number_format(count, use_l10n=True, force_grouping=True)} {name}"

    def named(self, row: Any) -> str:
        """A row as the confirmation names it."""
        return name_of(row)

    @abstractmethod
    def conditions(self, request: HttpRequest, *, naming_nobody: bool = False) -> list[tuple[str, str]]:
        """By what all rows are found that were selected with one click: titles and values for people."""

    # The history

    def note(
        self, request: HttpRequest, selection: AnySelection, action: str, runs: Sequence[SyncRun] = (), to: Any = ""
    ) -> None:
        """Writes down who did what: in the history of the row, or of the run where there were several.

        `to` names what else it was done with, as a list. What makes no run, as an export, is noted without an object.
        """
        label = f"{self.label_of(request, action)} {to}".rstrip()
        if row := self._only_row(request):
            note_in_history(request, row, label)
            return
        conditions = ", ".join(f"{title}: {value}" for title, value in self.conditions(request, naming_nobody=True))
        text = _("%(action)s: %(rows)s") % {"action": label, "rows": self.counted(_acted_on(selection, runs))}
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

    @abstractmethod
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that this user may see."""


class BulkAdmin(PageActionsAdmin, Asking):
    """Actions on what was ticked, or on all that the list's filter finds, however much that is."""

    def selection(self, request: HttpRequest, queryset: QuerySet[Any]) -> Selection:
        if is_across(request):
            changelist: Any = self.get_changelist_instance(request)
            return Selection(self.model, changelist.condition(request))
        return Selection(self.model, Q(pk__in=list(bare(queryset).values_list("pk", flat=True))))

    def label_of(self, request: HttpRequest, action: str) -> str:
        return label_of(self.get_action(action))

    def conditions(self, request: HttpRequest, *, naming_nobody: bool = False) -> list[tuple[str, str]]:
        if not is_across(request):
            return []
        changelist: Any = self.get_changelist_instance(request)
        return list(changelist.conditions(naming_nobody=naming_nobody))


def confirmation(asking: Any, request: HttpRequest, **context: Any) -> TemplateResponse:
    """The page that asks once more. `asking` is of an admin; what it says is in the template's own words."""
    request.current_app = asking.admin_site.name
    shared = {
        **asking.admin_site.each_context(request),
        "opts": asking.opts,
        "title": _("Are you sure?"),
        "media": asking.media + forms.Media(css={"all": ["blueshift_sync/admin.css"]}),
    }
    return TemplateResponse(request, "blueshift_sync/admin/confirm.html", {**shared, **context})


def _acted_on(selection: AnySelection, runs: Sequence[SyncRun]) -> int:
    """How many rows it was about. Records may not be what was asked for any more: their runs know the number."""
    if runs and selection.model in MODELS:
        return max(rows_of(run, selection) for run in runs)
    return selection.rows.count()


def rows_of(run: SyncRun, selection: AnySelection) -> int:
    """How many rows of the selection the run has dealt with, or is still to deal with."""
    if "looked_at" not in run.scope:
        return run.total
    to_come = run.scope.get(GATHERING, ())
    looked_at: int = run.scope["looked_at"]
    return looked_at + sum(selection.part_of(part).count() for part in to_come)


def duration_of_rows(selection: AnySelection, count: int) -> str:
    """How long it takes to send so many of these rows at the limit."""
    return duration_text(calls_for(selection.model, count))


def records_in(selection: AnySelection, count: int) -> int:
    """About how many records so many rows lead to."""
    columns = {ApiCall: "record_count", SyncRun: "total"}
    if selection.model not in columns:
        return count
    return selection.rows.aggregate(records=Sum(columns[selection.model]))["records"] or 0


def calls_for(model: type[Model], count: int) -> int:
    """How many calls send so many rows of `model`; of memberships, if they are of one list."""
    settings = app_settings()
    records_per_call = {
        Customer: settings.CUSTOMERS_PER_CALL,
        ListMembership: LIST_MEMBERS_PER_CALL[settings.LIST_MODE],
        CustomerRemoval: 1,
    }
    return math.ceil(count / records_per_call[model])


def calls_of_list(customer_list: CustomerList, count: int) -> int:
    """How many calls send so many memberships of this list, in its own mode."""
    return math.ceil(count / LIST_MEMBERS_PER_CALL[mode_of(customer_list)])


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


def tell_changed(request: HttpRequest, runs: Sequence[SyncRun], text: str) -> None:
    """Says how many records runs changed that need not send anything. `text` has a place for `count` and `run`."""
    if going_on := [run for run in runs if GATHERING in run.scope]:
        tell_gathering(request, going_on)
        return
    changed = [run for run in runs if run.scope["changed"]]
    for run in changed:
        messages.success(request, format_html(text, count=run.scope["changed"], run=links_to([run])))
    if not changed:
        messages.warning(request, _("There was nothing to do: none of these records needs that."))


def tell_gathering(request: HttpRequest, runs: Sequence[SyncRun]) -> None:
    """Says that a job goes on with what is too much for a request."""
    text = _("There are many: a worker goes on with it. Progress: {runs}")
    messages.success(request, format_html(text, runs=links_to(runs)))
