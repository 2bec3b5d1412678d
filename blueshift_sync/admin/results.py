"""What became of each record in each call."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..client.successes import ACCEPTED_FOR_PROCESSING
from ..models import ApiCall, Customer, ListMembership, RecordResult
from .bulk_actions import ResendAdmin
from .changelists import CauseFilter, LargeListAdmin, LinkedFilter, by_number
from .display import (
    badge,
    call_badge,
    customers_are_named,
    error_facts,
    facts,
    indented_json,
    link,
    link_to,
    moment,
    numbered_link,
    preformatted,
    problem,
    said_of_one,
)
from .erasure import erased_by
from .mixins import CALL_BODIES, ObjectPageAdmin, ReadOnlyAdmin

#: Characters of the details that a page shows.
DETAILS_LENGTH = 2000
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
    personal_columns = frozenset({"identifier", "message"})
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
        calls = ApiCall.objects.filter(request_id=term)
        found = Q(call__in=list(calls.values_list("pk", flat=True)[:SEARCH_LIMIT]))
        if term.startswith("#"):
            found |= by_number(term)
        if not customers_are_named():
            return found
        customers = Customer.objects.filter(
            Q(customer_id=term) | Q(email_key=Customer._meta.get_field("email_key").key_of(term))
        )
        return found | Q(customer__in=list(customers.values_list("pk", flat=True)[:SEARCH_LIMIT]))

    def search_help(self) -> Any:
        if customers_are_named():
            return self.search_help_text
        return _("Blueshift's request ID (x-request-id), or a result's number as #5.")

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
                (_("Details"), details_of(obj)),
            )
            + error_facts(obj.code, said_of_one(obj.message)),
        }


def outcome_badge(result: RecordResult) -> SafeString:
    if result.code == ACCEPTED_FOR_PROCESSING:  # what was asked for is still to be done: no error
        return badge(result.outcome, _("Accepted for processing"))
    return badge(result.outcome, result.get_outcome_display())


def result_problem(result: RecordResult) -> SafeString | str:
    """What went wrong; empty where nothing did."""
    if result.outcome == RecordResult.Outcome.ACCEPTED:
        return ""
    same = {"outcome__exact": result.outcome, "code__exact": result.code}
    return problem(result.code, said_of_one(result.message), **same)


def details_of(result: RecordResult) -> SafeString | str:
    """What Blueshift said of the record beyond the message."""
    shown = result.details and customers_are_named()
    return preformatted(Truncator(indented_json(result.details)).chars(DETAILS_LENGTH)) if shown else ""


def linked_record(result: RecordResult) -> Any:
    """What was sent, by its identifier where customers are named, with a link to it while it exists. Reads neither."""
    identifier = result.identifier if customers_are_named() else ""
    if result.membership_id is not None:
        return link_to(ListMembership, result.membership_id, identifier)
    if result.customer_id is not None:
        return link_to(Customer, result.customer_id, identifier)
    return identifier
