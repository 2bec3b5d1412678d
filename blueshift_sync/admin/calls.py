"""The audit of what went over the wire, and what became of each record in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Case, Count, IntegerField, Q, Value, When
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from .bulk_actions import ResendAdmin
from .changelists import NOTHING, CauseFilter, LargeListAdmin, LinkedFilter, by_number
from .display import (
    Table,
    badge,
    call_badge,
    facts,
    indented_body,
    indented_json,
    is_asynchronous,
    link,
    link_to,
    list_link,
    milliseconds,
    moment,
    numbered_link,
    preformatted,
    problem,
)
from .erasure import erased_by, erased_in
from .mixins import CALL_BODIES, ObjectPageAdmin, ReadOnlyAdmin, may_view
from .standstill import KeyCheckAdmin, StandstillNotice

#: Records that a call's page shows: as many as Blueshift takes in one call.
RECORDS_SHOWN = 500
#: Rows that a search by something else than a row's own number looks at.
SEARCH_LIMIT = 200
#: What an operator looks for first stands first.
OUTCOME_ORDER = (
    RecordResult.Outcome.REJECTED,
    RecordResult.Outcome.UNKNOWN,
    RecordResult.Outcome.RETRY,
    RecordResult.Outcome.ACCEPTED,
)


@dataclass(frozen=True)
class Message:
    """One side of a call as its page shows it. `note` says why there is no body."""

    title: str
    headers: Iterable[tuple[str, Any]]
    indented: str
    raw: str
    note: str


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
        return problem(row.error_code, row.error, state__exact=row.state, error_code__exact=row.error_code)

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

    def page_action_names(self, row: ApiCall) -> tuple[str, ...]:
        return ("resend",) if row.record_count else ()

    def page_context(self, request: HttpRequest, obj: ApiCall) -> dict[str, Any]:
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": _what_the_state_means(obj),
            "facts": facts(
                (_("State"), call_badge(obj)),
                (_("Endpoint"), obj.get_endpoint_display()),
                (_("Request"), f"{obj.method} {obj.url}"),
                (_("Status code"), obj.status_code),
                (_("Error"), problem(obj.error_code, "")),
                (_("Error message"), obj.error),
                (_("Started"), moment(obj.started_at)),
                (_("Duration"), milliseconds(obj.duration_ms)),
                (_("Records"), self.records(obj) if obj.record_count else ""),
                (_("Attempt"), obj.attempt),
                (_("Request ID"), obj.request_id),
                (_("Run"), numbered_link(obj.run)),
                (_("Customer list"), link(obj.customer_list)),
                (_("Job"), obj.job_id),
                (_("Erased"), erased_in(obj)),
            ),
            "messages_sent": [_request(request, obj), _response(request, obj)],
            "tables": [_records(obj)] if may_view(request, RecordResult) else [],
        }


@admin.register(RecordResult)
class RecordResultAdmin(ResendAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/page.html"
    list_display = (
        "number",
        "record",
        "outcome_badge",
        "problem",
        "linked_call",
        "started",
        "endpoint",
        "version",
    )
    list_display_links = ("number",)
    list_select_related = ("call",)
    list_defer = ("details", *(f"call__{name}" for name in CALL_BODIES))
    list_filter = (
        "outcome",
        ("code", LinkedFilter),
        ("error_cause", CauseFilter),
        ("call", LinkedFilter),
        ("call__run", LinkedFilter),
        ("customer", LinkedFilter),
        ("membership", LinkedFilter),
    )
    sortable_by = ("number",)
    export_columns = (
        *("id", "call_id", "call__run_id", "call__endpoint", "call__started_at", "customer_id", "membership_id"),
        *("position", "identifier", "version", "outcome", "code", "message"),
    )
    search_fields = ("identifier", "call__request_id", "id")
    search_help_text = gettext_lazy(
        "A whole customer ID or e-mail address, Blueshift's request ID (x-request-id), or a result's number as #5."
    )

    @admin.display(description=gettext_lazy("result"), ordering="id")
    def number(self, row: RecordResult) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("record"))
    def record(self, row: RecordResult) -> Any:
        return _linked_record(row)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_badge(self, row: RecordResult) -> SafeString:
        return _outcome_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: RecordResult) -> SafeString | str:
        return problem(row.code, row.message, outcome__exact=row.outcome, code__exact=row.code)

    @admin.display(description=gettext_lazy("API call"))
    def linked_call(self, row: RecordResult) -> SafeString | str:
        return link_to(ApiCall, row.call_id, "")

    @admin.display(description=gettext_lazy("started at"))
    def started(self, row: RecordResult) -> SafeString | str:
        return moment(row.call.started_at)

    @admin.display(description=gettext_lazy("endpoint"))
    def endpoint(self, row: RecordResult) -> str:
        return row.call.get_endpoint_display()

    def search(self, term: str) -> Q:
        """By the customer and the call that the term names: both are found by index, unlike `identifier`."""
        customers = Customer.objects.filter(
            Q(customer_id=term) | Q(email_key=Customer._meta.get_field("email_key").key_of(term))
        )
        calls = ApiCall.objects.filter(request_id=term)
        numbered = by_number(term) if term.startswith("#") else NOTHING
        return (
            Q(customer__in=list(customers.values_list("pk", flat=True)[:SEARCH_LIMIT]))
            | Q(call__in=list(calls.values_list("pk", flat=True)[:SEARCH_LIMIT]))
            | numbered
        )

    def page_context(self, request: HttpRequest, obj: RecordResult) -> dict[str, Any]:
        return {
            "facts": facts(
                (_("Outcome"), _outcome_badge(obj)),
                (_("Record"), _linked_record(obj)),
                (_("Customer"), link(obj.customer)),
                (_("List membership"), link(obj.membership)),
                (_("Code"), problem(obj.code, "")),
                (_("Message"), obj.message),
                (_("Version sent"), obj.version),
                (_("Position in the call"), obj.position),
                (_("API call"), link(obj.call)),
                (_("Started"), moment(obj.call.started_at)),
                (_("State of the call"), call_badge(obj.call)),
                (_("Request ID"), obj.call.request_id),
                (_("Run"), numbered_link(obj.call.run)),
                (_("Personal data"), erased_by(obj)),
                (_("Details"), preformatted(indented_json(obj.details)) if obj.details else ""),
            ),
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


def _request(request: HttpRequest, call: ApiCall) -> Message:
    return _message(_("Request"), call.request_headers, call.request_body, _why_no_body(request, call))


def _response(request: HttpRequest, call: ApiCall) -> Message:
    note = _why_no_body(request, call)
    if call.status_code is None and not call.response_body:
        note = _("No answer has been recorded.")
    return _message(_("Response"), call.response_headers, call.response_body, note)


def _why_no_body(request: HttpRequest, call: ApiCall) -> str:
    if not request.user.has_perm("blueshift_sync.view_apicall_body"):
        return _("To read bodies you need the permission “Can read request and response bodies”.")
    if call.bodies_emptied_at is not None:
        text = _("The body was emptied on %(date)s: BLUESHIFT_SYNC[“BODY_RETENTION_DAYS”] says how long it is kept.")
        return text % {"date": f"{call.bodies_emptied_at:%Y-%m-%d}"}
    return ""


def _message(title: str, headers: Any, body: str, note: str) -> Message:
    shown = "" if note else body
    return Message(
        title=title,
        headers=list(headers.items()) if isinstance(headers, dict) else [],
        indented=indented_body(shown),
        raw=shown,
        note=note or ("" if body else _("The body is empty.")),
    )


# Records


def _records(call: ApiCall) -> Table:
    order = Case(
        *(When(outcome=outcome, then=Value(place)) for place, outcome in enumerate(OUTCOME_ORDER)),
        default=Value(len(OUTCOME_ORDER)),
        output_field=IntegerField(),
    )
    counts = _counts_by_outcome(call)
    return Table(
        title=_("Records in this call"),
        headings=[_("Position"), _("Record"), _("Outcome"), _("Code"), _("Message"), _("Details")],
        rows=[
            [
                link(result, result.position),
                _linked_record(result),
                _outcome_badge(result),
                result.code,
                result.message,
                preformatted(Truncator(indented_json(result.details)).chars(2000)) if result.details else "",
            ]
            for result in call.results.order_by(order, "position")[:RECORDS_SHOWN]
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


def _outcome_badge(result: RecordResult) -> SafeString:
    return badge(result.outcome, result.get_outcome_display())


def _linked_record(result: RecordResult) -> Any:
    """What was sent, by its identifier, with a link to it while it exists. Reads neither."""
    if result.membership_id is not None:
        return link_to(ListMembership, result.membership_id, result.identifier)
    if result.customer_id is not None:
        return link_to(Customer, result.customer_id, result.identifier)
    return result.identifier
