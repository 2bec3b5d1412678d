"""The audit of what went over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..conf import app_settings
from ..delivery.attempts import Attempts, attempts_at, carried_by
from ..models import ApiCall, RecordResult, SyncRun
from ..permissions import READ_BODIES
from .bulk_actions import ResendAdmin
from .changelists import LargeListAdmin, LinkedFilter, by_number
from .display import (
    Table,
    badge,
    call_badge,
    error_facts,
    facts,
    is_asynchronous,
    link,
    link_to,
    list_link,
    milliseconds,
    moment,
    numbered_link,
    problem,
    said_of_many,
    said_of_one,
)
from .erasure import erased_in
from .mixins import CALL_BODIES, ObjectPageAdmin, ReadOnlyAdmin
from .permissions import may_view
from .results import details_of, linked_record, outcome_badge
from .standstill import KeyCheckAdmin, StandstillNotice
from .wire import BODY_FILE, Body, bodies_of, coloured, curl, masked

#: Records that a call's page shows: as many as Blueshift takes in one call.
RECORDS_SHOWN = 500
BODY = "blueshift_sync_apicall_body"
SIDES = ("request", "response")
#: What an operator looks for first stands first.
OUTCOME_ORDER = (
    RecordResult.Outcome.REJECTED,
    RecordResult.Outcome.UNKNOWN,
    RecordResult.Outcome.RETRY,
    RecordResult.Outcome.ACCEPTED,
)


@dataclass(frozen=True)
class Message:
    """One side of a call as its page shows it. `note` says why there is no body, `cut` that this isn't all of it."""

    name: str
    title: str
    headers: list[tuple[str, Any]]
    coloured: str = ""
    raw: str = ""
    note: str = ""
    cut: str = ""
    whole_url: str = ""


@admin.register(ApiCall)
class ApiCallAdmin(KeyCheckAdmin, StandstillNotice, ResendAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/call.html"
    list_display = (
        "number",
        "state_badge",
        "endpoint",
        "problem",
        "started",
        "status_code",
        "records",
        "duration",
        "attempt",
        "linked_run",
    )
    list_display_links = ("number",)
    list_defer = CALL_BODIES
    list_filter = (
        "state",
        "endpoint",
        ("run", LinkedFilter),
        ("customer_list", LinkedFilter),
        ("error_code", LinkedFilter),
    )
    sortable_by = ("number", "started")
    export_columns = (
        *("id", "run_id", "customer_list__list_id", "endpoint", "method", "url", "status_code", "request_id", "state"),
        *("error_code", "error", "attempt", "record_count", "error_count", "started_at", "duration_ms", "job_id"),
    )
    personal_columns = frozenset({"error"})
    search_fields = ("id", "request_id")
    search_help_text = gettext_lazy("A call's number, or Blueshift's request ID (x-request-id).")

    @admin.display(description=gettext_lazy("call"), ordering="id")
    def number(self, row: ApiCall) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("started at"), ordering="started_at")
    def started(self, row: ApiCall) -> SafeString | str:
        return moment(row.started_at)

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, row: ApiCall) -> SafeString:
        return call_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: ApiCall) -> SafeString | str:
        same = {"state__exact": row.state, "error_code__exact": row.error_code}
        return problem(row.error_code, said_of_many(row.error), **same)

    @admin.display(description=gettext_lazy("records"))
    def records(self, row: ApiCall) -> str:
        if not row.error_count:
            return str(row.record_count)
        errors = ngettext("%(count)s error", "%(count)s errors", row.error_count) % {"count": row.error_count}
        return f"{row.record_count}, {errors}"

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, row: ApiCall) -> str:
        return milliseconds(row.duration_ms)

    @admin.display(description=gettext_lazy("run"))
    def linked_run(self, row: ApiCall) -> SafeString | str:
        return link_to(SyncRun, row.run_id, "") if row.run_id else ""

    def search(self, term: str) -> Q:
        return by_number(term) | Q(request_id=term)

    class Media:
        js = [Script("blueshift_sync/copy.js", defer=True)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiCall]:
        """Without the bodies, which may be large, and are read for those only who may see them."""
        return super().get_queryset(request).defer("request_body", "response_body")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.body)
        return [path("<int:pk>/body/<str:side>/", view, name=BODY), *super().get_urls()]

    def body(self, request: HttpRequest, pk: int, side: str) -> HttpResponse:
        """The whole body of one side of a call, as text and nothing else."""
        if not (self.has_view_permission(request) and _may_read_bodies(request)):
            raise PermissionDenied
        if side not in SIDES:
            raise Http404
        text = get_object_or_404(ApiCall.objects.values_list(f"{side}_body", flat=True), pk=pk)
        name = f'inline; filename="call-{pk}-{side}.txt"'
        headers = {"Content-Disposition": name, "X-Content-Type-Options": "nosniff"}
        return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)

    def page_action_names(self, row: ApiCall) -> tuple[str, ...]:
        return ("resend",) if row.record_count else ()

    def page_context(self, request: HttpRequest, obj: ApiCall) -> dict[str, Any]:
        bodies = bodies_of(obj) if _may_read_bodies(request) else (None, None)
        attempts = _attempts(obj) if may_view(request, RecordResult) else None
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": _what_the_state_means(obj),
            "facts": facts(
                (_("State"), call_badge(obj)),
                (_("Endpoint"), obj.get_endpoint_display()),
                (_("Request"), f"{obj.method} {obj.url}"),
                (_("Status code"), obj.status_code),
                (_("Started"), moment(obj.started_at)),
                (_("Duration"), milliseconds(obj.duration_ms)),
                (_("Records"), self.records(obj) if obj.record_count else ""),
                (_("Attempt"), _attempt(obj, attempts)),
                (_("Request ID (x-request-id)"), obj.request_id),
                (_("Run"), numbered_link(obj.run)),
                (_("Customer list"), link(obj.customer_list)),
                (_("Job"), obj.job_id),
                (_("Erased"), erased_in(obj)),
            )
            + error_facts(obj.error_code, said_of_many(obj.error)),
            "messages_sent": [
                _message(obj, "request", _("Request"), bodies[0]),
                _message(obj, "response", _("Response"), bodies[1]),
            ],
            "curl": curl(obj, _body_to_send(obj, bodies[0])),
            "curl_note": _curl_note(obj, bodies[0]),
            "tables": [*_tables(request, obj, attempts)],
        }


def _what_the_state_means(call: ApiCall) -> str:
    if call.state == ApiCall.State.OPEN:
        return _(
            "This request was recorded before it left; its answer hasn't been recorded yet. Should its worker have "
            "died, the sweep marks it as unknown and its records are sent again."
        )
    if call.state == ApiCall.State.UNKNOWN:
        return _(
            "Whether Blueshift carried this out isn't known: no answer came that says so. Its records are sent "
            "again, which does no harm should they have arrived."
        )
    if call.state == ApiCall.State.SUCCEEDED and is_asynchronous(call):
        return _(
            "Blueshift accepted this for processing. It can take minutes, and Blueshift doesn't tell when it is done."
        )
    return ""


# Request and response


def _may_read_bodies(request: HttpRequest) -> bool:
    return request.user.has_perm(READ_BODIES)


def _message(call: ApiCall, side: str, title: str, body: Body | None) -> Message:
    """`body` None: the user may not read it."""
    headers = masked(getattr(call, f"{side}_headers"))
    note = _why_no_body(call, side, body)
    if body is None or note:
        return Message(side, title, headers, note=note)
    cut = ""
    if body.is_cut:
        text = _("These are the first %(shown)s of its %(length)s characters.")
        cut = text % {"shown": _number(len(body.text)), "length": _number(body.length)}
    address = reverse(f"admin:{BODY}", args=[call.pk, side])
    return Message(side, title, headers, coloured(body), body.text, cut=cut, whole_url=address)


def _why_no_body(call: ApiCall, side: str, body: Body | None) -> str:
    if side == "response" and call.status_code is None and not (body and body.length):
        return _("No answer has been recorded.")
    if body is None:
        return _("To read bodies you need the permission “Can read request and response bodies”.")
    if body.length:
        return ""
    if call.bodies_emptied_at is not None:
        text = _("The body was emptied on %(date)s: BLUESHIFT_SYNC[“BODY_RETENTION_DAYS”] says how long it is kept.")
        return text % {"date": f"{call.bodies_emptied_at:%Y-%m-%d}"}
    if side == "request" and not _has_a_body(call):
        return _("A request of this kind has no body.")
    return _("The body is empty.")


def _has_a_body(call: ApiCall) -> bool:
    return call.method != "GET"


def _body_to_send(call: ApiCall, body: Body | None) -> Body | None:
    """What the command is to send; None where that isn't there."""
    if not _has_a_body(call):
        return Body("", 0)
    return body if body and body.length else None


def _curl_note(call: ApiCall, body: Body | None) -> str:
    """What has to be known to run the command."""
    if not _has_a_body(call):
        return _("Set BLUESHIFT_API_KEY to the User API key before.")
    if body is None or body.is_cut or not body.length:
        text = _(
            "Set BLUESHIFT_API_KEY to the User API key before, and put the body into %(file)s: it isn't part of the "
            "command, as it is too long, not kept any more, or not for you to read."
        )
        return text % {"file": BODY_FILE}
    text = _("Set BLUESHIFT_API_KEY to the User API key before. The command sends the records again as they were then.")
    masking = _("The fields that BLUESHIFT_SYNC[“REDACT”] names are masked in it, and would be sent so.")
    return f"{text} {masking}" if app_settings().REDACT else text


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)


# Records


def _tables(request: HttpRequest, call: ApiCall, attempts: Attempts | None) -> Iterator[Table]:
    carried = carried_by(call)
    if carried is not None and may_view(request, carried.model):
        yield _on_their_way(carried)
    if may_view(request, RecordResult):
        yield _records(call)
    if attempts is not None:
        yield _others(call, attempts)


def _on_their_way(records: QuerySet[Any]) -> Table:
    """What an open call carries: there are no results of it yet."""
    return Table(
        title=_("Records on their way"),
        headings=[_("Record"), _("Version being sent"), _("Attempt")],
        rows=[[link(row), row.claimed_version, 1 + row.attempts] for row in records.order_by("pk")[:RECORDS_SHOWN]],
        empty=_("None any more: the call has just come to its end, or its records were given to another one."),
    )


def _attempts(call: ApiCall) -> Attempts | None:
    """Of the record of which an operator wants to know first."""
    result = call.results.select_related("call").defer("details").order_by(_by_outcome(), "position").first()
    return attempts_at(result) if result else None


def _attempt(call: ApiCall, attempts: Attempts | None) -> str:
    if attempts is None:
        return str(call.attempt)
    text = _("%(number)s of %(total)s") if attempts.is_all else _("%(number)s of %(total)s that are looked at")
    return text % {"number": attempts.number, "total": len(attempts.results)}


def _others(call: ApiCall, attempts: Attempts) -> Table:
    example = format_html(
        _("By the example of {record}, version {version}."),
        record=linked_record(attempts.result),
        version=attempts.result.version,
    )
    return Table(
        title=_("Attempts to send the same"),
        headings=[_("Call"), _("Started"), _("State of the call"), _("Outcome"), _("Error")],
        rows=[
            [
                _("#%(number)s, this one") % {"number": call.pk}
                if each.call_id == call.pk
                else numbered_link(each.call),
                moment(each.call.started_at),
                call_badge(each.call),
                outcome_badge(each),
                problem(each.code, said_of_one(each.message)) if each.outcome != RecordResult.Outcome.ACCEPTED else "",
            ]
            for each in attempts.results
        ],
        summary=[example],
        empty="",
    )


def _by_outcome() -> Case:
    return Case(
        *(When(outcome=outcome, then=Value(place)) for place, outcome in enumerate(OUTCOME_ORDER)),
        default=Value(len(OUTCOME_ORDER)),
        output_field=IntegerField(),
    )


def _records(call: ApiCall) -> Table:
    counts = _counts_by_outcome(call)
    return Table(
        title=_("Records in this call"),
        headings=[_("Position"), _("Record"), _("Outcome"), _("Code"), _("Message"), _("Details")],
        rows=[
            [
                link(result, result.position),
                linked_record(result),
                outcome_badge(result),
                result.code,
                said_of_one(result.message),
                details_of(result),
            ]
            for result in call.results.order_by(_by_outcome(), "position")[:RECORDS_SHOWN]
        ],
        summary=[
            badge(outcome, f"{counts[outcome]} {outcome.label}") for outcome in OUTCOME_ORDER if outcome in counts
        ],
        empty=_("No outcome of a record has been recorded."),
        more=list_link(_("All records of this call"), RecordResult, call__id__exact=call.pk)
        if sum(counts.values()) > RECORDS_SHOWN
        else None,
    )


def _counts_by_outcome(call: ApiCall) -> dict[str, int]:
    return dict(call.results.order_by().values_list("outcome").annotate(Count("id")))
