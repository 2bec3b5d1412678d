"""What became of each record in each call."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..client.successes import ACCEPTED_FOR_PROCESSING
from ..models import ApiCall, Customer, ListMembership, RecordResult
from .bulk_actions import ResendAdmin
from .changelists import NOTHING, CauseFilter, LargeListAdmin, LinkedFilter, by_number
from .display import (
    badge,
    call_badge,
    error_facts,
    facts,
    indented_json,
    link,
    link_to,
    moment,
    numbered_link,
    preformatted,
    problem,
)
from .erasure import erased_by
from .mixins import CALL_BODIES, ObjectPageAdmin, ReadOnlyAdmin

#: Rows that a search by something else than a row's own number looks at.
SEARCH_LIMIT = 200


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
        return linked_record(row)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_badge(self, row: RecordResult) -> SafeString:
        return outcome_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: RecordResult) -> SafeString | str:
        return result_problem(row)

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
                (_("Outcome"), outcome_badge(obj)),
                (_("Record"), linked_record(obj)),
                (_("Customer"), link(obj.customer)),
                (_("List membership"), link(obj.membership)),
                (_("Version sent"), obj.version),
                (_("Position in the call"), obj.position),
                (_("API call"), link(obj.call)),
                (_("Started"), moment(obj.call.started_at)),
                (_("State of the call"), call_badge(obj.call)),
                (_("Request ID"), obj.call.request_id),
                (_("Run"), numbered_link(obj.call.run)),
                (_("Personal data"), erased_by(obj)),
                (_("Details"), preformatted(indented_json(obj.details)) if obj.details else ""),
            )
            + error_facts(obj.code, obj.message),
        }


def outcome_badge(result: RecordResult) -> SafeString:
    if result.code == ACCEPTED_FOR_PROCESSING:  # what was asked for is still to be done: no error
        return badge(result.outcome, _("Accepted for processing"))
    return badge(result.outcome, result.get_outcome_display())


def result_problem(result: RecordResult) -> SafeString | str:
    """What went wrong; empty where nothing did."""
    if result.outcome == RecordResult.Outcome.ACCEPTED:
        return ""
    return problem(result.code, result.message, outcome__exact=result.outcome, code__exact=result.code)


def linked_record(result: RecordResult) -> Any:
    """What was sent, by its identifier, with a link to it while it exists. Reads neither."""
    if result.membership_id is not None:
        return link_to(ListMembership, result.membership_id, result.identifier)
    if result.customer_id is not None:
        return link_to(Customer, result.customer_id, result.identifier)
    return result.identifier
