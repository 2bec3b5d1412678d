"""The audit of what was asked for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..delivery.runs import waiting_by_model
from ..models import ApiCall, RecordResult, SyncRun
from .actions import RetryAdmin, links_to
from .changelists import LargeListAdmin
from .display import (
    Table,
    facts,
    indented_json,
    list_link,
    moment,
    numbered_link,
    preformatted,
    problem,
    state_badge,
)
from .export import ExportAdmin
from .mixins import ObjectPageAdmin, ReadOnlyAdmin
from .standstill import StandstillNotice

#: The later runs that a run's page names as its retries.
RETRIES_SHOWN = 20


@admin.register(SyncRun)
class SyncRunAdmin(StandstillNotice, ExportAdmin, RetryAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/page.html"
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
    actions = (*RetryAdmin.actions, "export")
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
        retry = ("retry",) if row.rejected else ()
        cancel = ("cancel",) if row.state in SyncRun.OPEN_STATES and row.cancel_requested_at is None else ()
        return retry + cancel

    def page_context(self, request: HttpRequest, obj: SyncRun) -> dict[str, Any]:
        retries = obj.retries.order_by("-id")[:RETRIES_SHOWN]
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": obj.error,
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
                (_("Found in step already"), obj.unchanged or None),
                (_("Scope"), preformatted(indented_json(obj.scope)) if obj.scope else ""),
            ),
            "tables": [_totals(obj)],
        }


def _totals(run: SyncRun) -> Table:
    """What became of the run's records; the parts add up to the whole."""
    unfinished = max(0, run.total - run.accepted - run.rejected)
    waiting_of = {model: count for model, count in waiting_by_model(run).items() if count}
    # Not more than that: the run was read a moment before its records are counted.
    waiting = min(sum(waiting_of.values()), unfinished)
    links = format_html_join(
        ", ",
        "{}",
        ((list_link(min(count, waiting), model, run__id__exact=run.pk),) for model, count in waiting_of.items()),
    )
    rejected = list_link(
        run.rejected, RecordResult, call__run__id__exact=run.pk, outcome__exact=RecordResult.Outcome.REJECTED
    )
    return Table(
        title=_("Records"),
        headings=[_("What became of them"), _("Records")],
        rows=[
            [_("Accepted"), run.accepted],
            [_("Rejected"), rejected if run.rejected else 0],
            [_("Waiting or being sent"), links if waiting else 0],
            [_("Sent by a newer run, or no longer to be sent"), unfinished - waiting],
            [_("All"), run.total],
        ],
        empty="",
    )
