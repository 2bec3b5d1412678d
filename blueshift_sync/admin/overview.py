"""How everything stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.forms import Script
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..delivery.call_sums import call_history
from ..delivery.runs import MODELS
from ..delivery.state_counts import StateNumbers
from ..delivery.status import Status, quantity, take_status, time_text
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, Overview, SyncRun, SyncState
from ..sources.registry import all_sources
from .changelists import WaitsFor
from .charts import charts_of
from .display import Table, badge, facts, list_link, moment, numbered_link, state_badge
from .pages import PageAdmin
from .permissions import may_view
from .standstill import check_key_url

#: Seconds between two looks at the server, while somebody looks at the page.
REFRESHED_EVERY = 5
#: So many running and so many recent runs are shown.
RUNS_SHOWN = 10

State = SyncState.State
#: The rows that each number of the records is about, as filters of their list.
FILTERS: dict[str, dict[str, Any]] = {
    "in_step": {"state__exact": State.SYNCED.value},
    "waiting": {WaitsFor.parameter_name: WaitsFor.ITS_TURN},
    "parked": {WaitsFor.parameter_name: WaitsFor.SOMETHING_ELSE},
    "sending": {"state__exact": State.SENDING.value},
    "failed": {"state__exact": State.FAILED.value},
    "excluded": {"state__exact": State.EXCLUDED.value},
}


@admin.register(Overview)
class OverviewAdmin(PageAdmin):
    title = gettext_lazy("Overview")
    template = "blueshift_sync/admin/overview.html"
    shows = (Customer, ListMembership, CustomerRemoval, SyncRun, ApiCall)

    class Media:
        js = [Script("blueshift_sync/refresh.js", defer=True)]

    def page_context(self, request: HttpRequest) -> dict[str, Any]:
        status = take_status([model for model in MODELS if may_view(request, model)])
        sees_calls = may_view(request, ApiCall)
        return {
            "refreshed_every": REFRESHED_EVERY,
            "headline": _headline(status),
            "problems": status.problems,
            "check_key_url": check_key_url(request, status.standstill),
            "summary": status.summary,
            "next_steps": _next_steps() if status.records and status.is_empty else [],
            "facts": facts(*status.machinery, *([status.calls] if sees_calls else [])),
            "tables": [_records(status)] if status.records and not status.is_empty else [],
            "runs": _runs() if may_view(request, SyncRun) else None,
            **(_charts() if sees_calls else {}),
        }


def _headline(status: Status) -> SafeString:
    """The whole of it in a word or two."""
    states = {name for numbers in status.records for name, number in numbers.numbers.items() if number.value}
    if status.faults:
        return badge("FAILED", _("Needs attention"))
    if status.problems:
        return badge("CANCELLED", _("Switched off"))
    if "failed" in states:
        return badge("PARTIAL", _("Working; some records failed"))
    if states & {"waiting", "sending"}:
        return badge("RUNNING", _("Working"))
    return badge("SYNCED", _("All is well"))


def _next_steps() -> list[str]:
    """What to do where nothing is mirrored yet."""
    if not any(all_sources()):
        return [
            _("Write a blueshift.py in one of your apps: it says which of your objects Blueshift should know."),
            _("Then run “manage.py blueshift_backfill”: it mirrors the objects that you already have."),
        ]
    return [
        _("Run “manage.py blueshift_backfill”: it mirrors the objects that you already have."),
        _("What is saved on the site from now on is noticed by itself."),
    ]


def _records(status: Status) -> Table:
    return Table(
        title=_("Records"),
        headings=[
            "",
            _("In step"),
            _("Waiting"),
            _("Waiting for something else"),
            _("Being sent"),
            _("Failed"),
            _("Excluded"),
        ],
        rows=[
            [_all_of(numbers), *(_number(status, numbers, name) for name in FILTERS)]
            for numbers in status.records
            if not numbers.is_empty
        ],
        empty="",
    )


def _all_of(numbers: StateNumbers) -> SafeString:
    return list_link(capfirst(str(numbers.model._meta.verbose_name_plural)), numbers.model)


def _number(status: Status, numbers: StateNumbers, name: str) -> SafeString | str:
    """How many, with a link to them; below it, since when they wait, or when they were counted."""
    number = numbers.numbers[name]
    text = quantity(number)
    if not number.value:
        return text
    notes = []
    if name == "waiting" and numbers.oldest:
        notes.append(_("the oldest for %(time)s") % {"time": time_text(numbers.oldest, status.taken_at)})
    if number.counted_at:
        notes.append(_("counted %(time)s ago") % {"time": time_text(number.counted_at, status.taken_at)})
    if name == "parked" and numbers.model is CustomerRemoval and status.for_approval.value:
        notes.append(_("%(number)s for somebody to approve") % {"number": quantity(status.for_approval)})
    return _with_notes(list_link(text, numbers.model, **FILTERS[name]), notes)


def _with_notes(text: SafeString, notes: Iterable[str]) -> SafeString:
    for note in notes:
        text = format_html('{}<span class="bsync-second">{}</span>', text, note)
    return text


def _charts() -> dict[str, Any]:
    zone = timezone.get_current_timezone()
    history = call_history(timezone.now(), zone)
    return {
        "charts": charts_of(history),
        "missing_since": moment(history.missing_since),
        "time_zone": timezone.get_current_timezone_name(),
    }


def _runs() -> Table:
    """Those that are running, and the latest."""
    running = SyncRun.objects.filter(state__in=SyncRun.OPEN_STATES).order_by("state", "heartbeat_at")[:RUNS_SHOWN]
    latest = SyncRun.objects.order_by("-created_at", "-id")[:RUNS_SHOWN]
    runs = {run.pk: run for run in [*running.defer("scope"), *latest.defer("scope")]}
    return Table(
        title=_("Running and recent runs"),
        headings=[
            _("Run"),
            _("State"),
            _("Kind"),
            _("Asked for by"),
            _("Records"),
            _("Accepted"),
            _("Rejected"),
            _("Calls"),
            _("Created"),
            _("Finished"),
        ],
        rows=[
            [
                numbered_link(run),
                state_badge(run),
                run.get_kind_display(),
                run.get_trigger_display(),
                run.total,
                run.accepted,
                run.rejected,
                run.calls_made,
                moment(run.created_at),
                moment(run.finished_at),
            ]
            for run in runs.values()
        ],
        empty=_("Nothing has been sent yet."),
        more=list_link(_("All runs"), SyncRun),
    )
