"""The audit of what was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple, Self

from django.contrib import admin
from django.forms import Script
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..delivery.causes import COUNTED, OF_A_RUN, failed_in_run
from ..delivery.runs import SentModel, models_of, pace_of, waiting_by_model
from ..models import ApiCall, RecordResult, SyncRun
from .actions import links_to
from .asked import what_was_asked_for
from .changelists import LargeListAdmin
from .display import (
    Table,
    call_badge,
    cause_cell,
    facts,
    link,
    list_link,
    milliseconds,
    moment,
    numbered_link,
    problem,
    said_of,
    said_of_many,
    state_badge,
)
from .mixins import CALL_BODIES, ObjectPageAdmin, ReadOnlyAdmin
from .permissions import may_view
from .run_actions import RunActionsAdmin
from .standstill import StandstillNotice, why_nothing_is_sent

#: The later runs that a run's page names as its retries.
RETRIES_SHOWN = 20
#: Of its calls the page shows the latest; the rest are a link away.
CALLS_SHOWN = 10
#: Seconds between two looks of an open page at a run that goes on.
REFRESHED_EVERY = 3
#: From so many seconds on, a time that is left is told in words.
SECONDS_IN_WORDS = 90


@admin.register(SyncRun)
class SyncRunAdmin(StandstillNotice, RunActionsAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/live.html"
    list_display = (
        "number",
        "state_badge",
        "error_start",
        "kind",
        "trigger",
        "total",
        "accepted",
        "rejected",
        "calls",
        "created",
        "finished",
        "requested_by",
    )
    list_display_links = ("number",)
    export_columns = (
        *("id", "kind", "trigger", "requested_by__username", "retry_of_id", "state", "total", "accepted", "rejected"),
        *("unchanged", "calls_made", "error", "created_at", "started_at", "finished_at"),
    )
    list_select_related = ("requested_by",)
    list_defer = ("scope",)
    list_filter = ("state", "kind", "trigger")
    sortable_by = ("number", "created")
    search_fields = ("id",)
    search_help_text = gettext_lazy("A run's number.")

    class Media:
        js = [Script("blueshift_sync/refresh.js", defer=True)]

    @admin.display(description=gettext_lazy("run"), ordering="id")
    def number(self, row: SyncRun) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("created at"), ordering="created_at")
    def created(self, row: SyncRun) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("finished at"))
    def finished(self, row: SyncRun) -> SafeString | str:
        return moment(row.finished_at)

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, row: SyncRun) -> SafeString:
        return state_badge(row)

    @admin.display(description=gettext_lazy("calls"))
    def calls(self, row: SyncRun) -> SafeString:
        return list_link(row.calls_made, ApiCall, run__id__exact=row.pk)

    @admin.display(description=gettext_lazy("error"))
    def error_start(self, row: SyncRun) -> SafeString | str:
        return problem("", row.error)

    def page_action_names(self, row: SyncRun) -> tuple[str, ...]:
        retry = ("retry",) if may_have_failed(row) else ()
        cancel = ("cancel",) if row.state in SyncRun.OPEN_STATES and row.cancel_requested_at is None else ()
        return retry + cancel

    def page_context(self, request: HttpRequest, obj: SyncRun) -> dict[str, Any]:
        retries = obj.retries.order_by("-id")[:RETRIES_SHOWN]
        books = Books.of(obj)
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": obj.error,
            "refreshed_every": REFRESHED_EVERY if obj.state in SyncRun.OPEN_STATES else 0,
            "progress": _progress(obj, books),
            "facts": facts(
                (_("State"), state_badge(obj)),
                (_("Kind"), obj.get_kind_display()),
                (_("Asked for by"), obj.get_trigger_display()),
                (_("User"), obj.requested_by),
                (_("Retry of"), numbered_link(obj.retry_of)),
                (_("Retried by"), links_to(retries)),
                (_("Idempotency key"), obj.idempotency_key),
                (_("Created"), moment(obj.created_at)),
                (_("Started"), moment(obj.started_at)),
                (_("Last progress"), moment(obj.heartbeat_at)),
                (_("Cancelling since"), moment(obj.cancel_requested_at)),
                (_("Finished"), moment(obj.finished_at)),
                (_("Calls"), list_link(obj.calls_made, ApiCall, run__id__exact=obj.pk)),
                (_("What was asked for"), what_was_asked_for(obj)),
            ),
            "tables": [_totals(obj, books), *_failures(request, obj), *_calls(request, obj)],
        }


def may_have_failed(run: SyncRun) -> bool:
    """Whether records of the run may be failed: rejected, or taken back when it was cancelled."""
    return bool(run.rejected) or run.cancel_requested_at is not None


# How far it is


class Books(NamedTuple):
    """What became of the run's records. `waiting` is None where more wait than are counted."""

    waiting_of: dict[SentModel, int]
    unfinished: int
    waiting: int | None

    @classmethod
    def of(cls, run: SyncRun) -> Self:
        waiting_of = {model: count for model, count in waiting_by_model(run, at_most=COUNTED + 1).items() if count}
        unfinished = max(0, run.total - run.accepted - run.rejected)
        if any(count > COUNTED for count in waiting_of.values()):
            return cls(waiting_of, unfinished, None)
        # Not more than that: the run was read a moment before its records are counted.
        return cls(waiting_of, unfinished, min(sum(waiting_of.values()), unfinished))


class Progress(NamedTuple):
    """How far an open run is: for the bar, and in words."""

    value: int
    total: int
    sentences: list[str]


def _progress(run: SyncRun, books: Books) -> Progress | None:
    if run.state not in SyncRun.OPEN_STATES:
        return None
    ended = run.total - books.unfinished
    left = books.unfinished if books.waiting is None else books.waiting
    text = _("%(ended)s of %(total)s records have been dealt with (%(percent)s %%).")
    numbers = {"ended": _number(ended), "total": _number(run.total), "percent": 100 * ended // max(run.total, 1)}
    sentences = [text % numbers]
    if run.closed_at is None:
        sentences.append(_("More records are still being added."))
    return Progress(ended, run.total, [*sentences, *_outlook(run, left)])


def _outlook(run: SyncRun, left: int) -> list[str]:
    """When it ends at the present pace, or why it doesn't go on."""
    pace = pace_of(run)
    if run.cancel_requested_at is not None:
        return [_("It is being cancelled: it ends with the calls that are on their way.")]
    if not pace or not left:
        held_up = why_nothing_is_sent() if left else ""
        return [held_up or _("Nothing was sent for it in the last two minutes.")] if left else []
    finish = timezone.localtime(timezone.now() + timedelta(seconds=left / pace))
    text = _("%(pace)s records a second at the moment; at this pace it ends at %(time)s, in about %(duration)s.")
    duration = timeuntil(finish) if left / pace >= SECONDS_IN_WORDS else _("a minute")
    pace_shown = number_format(pace, decimal_pos=0 if pace >= 10 else 1, force_grouping=True)
    return [text % {"pace": pace_shown, "time": f"{finish:%Y-%m-%d %H:%M:%S}", "duration": duration}]


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)


def _totals(run: SyncRun, books: Books) -> Table:
    """What became of the records; the parts add up to the whole."""
    rejected = max(0, run.rejected - run.unknown)
    link = list_link(
        _number(rejected), RecordResult, call__run__id__exact=run.pk, outcome__exact=RecordResult.Outcome.REJECTED
    )
    return Table(
        title=_("Records"),
        headings=[_("What became of them"), _("Records")],
        rows=[
            [_("Accepted"), _number(run.accepted)],
            [_("Rejected"), link if rejected else 0],
            [_("Unknown: given up, as no answer said what became of them"), _number(min(run.unknown, run.rejected))],
            *_unfinished(run, books),
            [_("In step already, and not sent"), _number(run.unchanged)],
            [_("All"), _number(run.total + run.unchanged)],
        ],
        empty="",
    )


def _unfinished(run: SyncRun, books: Books) -> list[list[Any]]:
    if books.waiting is None:
        return [[_("Waiting or being sent, or sent by a newer run"), _number(books.unfinished)]]
    counts = ((min(count, books.waiting), model) for model, count in books.waiting_of.items())
    links = format_html_join(
        ", ", "{}", ((list_link(_number(count), model, run__id__exact=run.pk),) for count, model in counts)
    )
    overtaken = _("Sent by a newer run, or no longer to be sent")
    if run.cancel_requested_at is not None:
        overtaken = _("Taken back, sent by a newer run, or no longer to be sent")
    return [
        [_("Waiting or being sent"), links if books.waiting else 0],
        [overtaken, _number(books.unfinished - books.waiting)],
    ]


# What went wrong, and its calls


def _failures(request: HttpRequest, run: SyncRun) -> list[Table]:
    models = [model for model in models_of(run) if may_view(request, model)]
    if not models or not may_have_failed(run):
        return []
    found, is_all = failed_in_run(run, models)
    note = _("Only %(number)s of the records that failed were looked at.") % {"number": _number(OF_A_RUN)}
    return [
        Table(
            title=_("What failed, and hasn't been sent again since"),
            headings=[_("What went wrong"), _("Records"), _("Example")],
            rows=[
                [
                    cause_cell(each.example.error_code, said_of(each.example)),
                    list_link(_number(each.count), each.model, run__id__exact=run.pk, error_cause__exact=each.cause),
                    link(each.example),
                ]
                for each in found
            ],
            empty=_("Nothing: all of it was sent again, or has changed since."),
            more=None if is_all else format_html("{}", note),
        )
    ]


def _calls(request: HttpRequest, run: SyncRun) -> list[Table]:
    if not may_view(request, ApiCall):
        return []
    return [
        Table(
            title=_("Its latest calls"),
            headings=[_("Call"), _("State"), _("Started"), _("Records"), _("Duration"), _("Error")],
            rows=[
                [
                    numbered_link(call),
                    call_badge(call),
                    moment(call.started_at),
                    call.record_count,
                    milliseconds(call.duration_ms),
                    problem(call.error_code, said_of_many(call.error)),
                ]
                for call in run.calls.defer(*CALL_BODIES).order_by("-id")[:CALLS_SHOWN]
            ],
            empty=_("No call was made for it yet."),
            more=list_link(_("All of its calls"), ApiCall, run__id__exact=run.pk)
            if run.calls_made > CALLS_SHOWN
            else None,
        )
    ]
