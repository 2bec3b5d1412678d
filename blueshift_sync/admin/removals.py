"""What Blueshift is to delete or forget, and deciding about it where there is suspiciously much of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..delivery.decisions import FOR_APPROVAL, WAITING
from ..delivery.removal_guards import APPROVAL_NEEDED
from ..models import ApiCall, Customer, CustomerRemoval, SyncRun
from ..permissions import DECIDE_ON_REMOVALS
from .actions import tell_sending, telling_errors
from .bulk import duration_of_rows, tell_changed
from .changelists import LargeListAdmin
from .display import Table, badge, error_facts, facts, link, link_to, moment, numbered_link, problem, state_badge
from .export import ExportAdmin
from .mixins import LINKED_FILTERS, ObjectPageAdmin, ReadOnlyAdmin, latest_calls, like
from .permissions import may_view
from .standstill import StandstillNotice

#: Identifiers that are shown before somebody decides about many.
EXAMPLES = 10
REMOVAL_ENDPOINTS = (ApiCall.Endpoint.CUSTOMER_DELETE, ApiCall.Endpoint.CUSTOMER_FORGET)


@admin.register(CustomerRemoval)
class CustomerRemovalAdmin(StandstillNotice, ExportAdmin, ReadOnlyAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/page.html"
    actions = ("approve", "cancel", "retry", "export")
    export_columns = (
        "id",
        "kind",
        "state",
        "error_code",
        "identifier_key",
        "identifier",
        "source_type",
        "source_id",
        "created_at",
    )
    list_display = ("number", "state_badge", "kind", "identifier", "problem", "asked_for", "source", "linked_customer")
    list_display_links = ("number",)
    list_filter = ("state", *LINKED_FILTERS)
    sortable_by = ("number",)
    search_fields = ("identifier",)
    search_help_text = gettext_lazy("A customer ID or an e-mail address, or how it begins.")

    @admin.display(description=gettext_lazy("removal"), ordering="id")
    def number(self, row: CustomerRemoval) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, row: CustomerRemoval) -> SafeString:
        return _state_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: CustomerRemoval) -> SafeString | str:
        return problem(row.error_code, row.error_message, **like(row))

    @admin.display(description=gettext_lazy("asked for at"))
    def asked_for(self, row: CustomerRemoval) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=gettext_lazy("deleted object"))
    def source(self, row: CustomerRemoval) -> str:
        return _source(row)

    @admin.display(description=gettext_lazy("customer"))
    def linked_customer(self, row: CustomerRemoval) -> SafeString | str:
        return link_to(Customer, row.customer_id, "") if row.customer_id else ""

    def search(self, term: str) -> Q:
        return Q(identifier__startswith=term)

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECIDE_ON_REMOVALS)

    @admin.action(permissions=["approve"], description=gettext_lazy("Approve: remove from Blueshift"))
    def approve(self, request: HttpRequest, queryset: QuerySet[CustomerRemoval]) -> HttpResponse | None:
        self._check_permission(request)
        selection = self.selection(request, queryset).only(FOR_APPROVAL)
        if not selection.rows.exists():
            messages.warning(request, _("None of these removals waits for approval."))
        elif "confirmed" not in request.POST:
            label = _("Remove from Blueshift")
            return self.ask(
                request,
                selection,
                action="approve",
                label=label,
                consequence=_APPROVING,
                duration=duration_of_rows,
            )
        else:
            run = services.approve_removals(selection, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
            self.note(request, selection, "approve", [run])
            tell_sending(request, [run], removing=True)
        return None

    @admin.action(permissions=["approve"], description=gettext_lazy("Cancel: keep in Blueshift"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[CustomerRemoval]) -> HttpResponse | None:
        self._check_permission(request)
        selection = self.selection(request, queryset).only(WAITING)
        if not selection.rows.exists():
            messages.warning(request, _("There is nothing to cancel: none of these removals is waiting."))
        elif "confirmed" not in request.POST:
            label = _("Keep in Blueshift")
            return self.ask(request, selection, action="cancel", label=label, consequence=_CANCELLING)
        else:
            run = services.cancel_removals(selection, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
            self.note(request, selection, "cancel", [run])
            tell_changed(request, [run], _("Cancelled: {count}, by {run}."))
        return None

    @admin.action(permissions=["approve"], description=gettext_lazy("Retry failed records"))
    def retry(self, request: HttpRequest, queryset: QuerySet[CustomerRemoval]) -> HttpResponse | None:
        self._check_permission(request)
        selection = self.selection(request, queryset).only(Q(state=CustomerRemoval.State.FAILED))
        if self.answered(request) is None:
            text = _("Only those that are failed are sent, with their newest values.")
            return self.ask(request, selection, action="retry", consequence=text, duration=duration_of_rows)
        with telling_errors(request):
            run = services.retry_failed(selection, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
            self.note(request, selection, "retry", [run])
            tell_sending(request, [run], removing=True)
        return None

    def _check_permission(self, request: HttpRequest) -> None:
        if not self.has_approve_permission(request):
            raise PermissionDenied

    def counted(self, count: int) -> str:
        return ngettext("%(count)s customer", "%(count)s customers", count) % {"count": count}

    def named(self, row: CustomerRemoval) -> str:
        return f"{row} ({_source(row)})"

    def page_action_names(self, row: CustomerRemoval) -> tuple[str, ...]:
        if row.state == row.State.FAILED:
            return ("retry",)
        if row.state != row.State.PENDING:
            return ()
        return ("approve", "cancel") if row.error_code == APPROVAL_NEEDED[0] else ("cancel",)

    def page_context(self, request: HttpRequest, obj: CustomerRemoval) -> dict[str, Any]:
        return {
            "page_actions": self.page_actions(request, obj),
            "facts": facts(
                (_("State"), _state_badge(obj)),
                (_("Kind"), obj.get_kind_display()),
                (obj.get_identifier_key_display(), obj.identifier),
                (_("Failed attempts"), obj.attempts or None),
                (_("Sent next at"), moment(obj.due_at)),
                (_("Waiting since"), moment(obj.waiting_since)),
                (_("Accepted"), moment(obj.synced_at)),
                (_("Approved or cancelled by"), obj.decided_by),
                (_("Approved or cancelled at"), moment(obj.decided_at)),
                (_("Run"), numbered_link(obj.run)),
                (_("Customer"), link(obj.customer)),
                (_("Deleted object"), _source(obj)),
                (_("Asked for"), moment(obj.created_at)),
            )
            + error_facts(obj.error_code, obj.error_message),
            "tables": self._tables(request, obj),
        }

    def _tables(self, request: HttpRequest, row: CustomerRemoval) -> list[Table]:
        """The calls, as long as the customer's row is there to find them by."""
        if row.customer is None or not may_view(request, ApiCall):
            return []
        results = row.customer.results.filter(call__endpoint__in=REMOVAL_ENDPOINTS, identifier=row.identifier)
        return [latest_calls(results)]


_APPROVING = gettext_lazy("Blueshift deletes or forgets them for good. That can't be undone.")
_CANCELLING = gettext_lazy("Blueshift keeps them. Their objects on this site are deleted all the same.")


def _source(row: CustomerRemoval) -> str:
    return f"{row.source_type} {row.source_id}"


def _state_badge(row: CustomerRemoval) -> SafeString:
    """A removal that went well was only accepted: nothing says when it is done."""
    if row.state == row.State.SYNCED:
        return badge(row.state, _("Accepted for processing"))
    if row.error_code == "cancelled" and row.state == row.State.EXCLUDED:
        return badge(row.state, _("Cancelled"))
    return state_badge(row)
