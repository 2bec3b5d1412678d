"""Customer lists, and who should be on them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import app_settings
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncState
from .bulk_actions import MembershipChangesAdmin
from .changelists import LinkedFilter
from .display import Fact, badge, blueshift_link, facts, link, list_link, moment, problem
from .mixins import LINKED_FILTERS, STATE_COLUMNS, ObjectPageAdmin, SyncStateAdmin


@admin.register(CustomerList)
class CustomerListAdmin(ObjectPageAdmin):
    change_form_template = "blueshift_sync/admin/record.html"
    fields = ("list_id", "name", "description", "mode")
    list_display = (
        "list_id",
        "name",
        "status_badge",
        "problem",
        "identifier_key",
        "mode_in_use",
        "user_count",
        "read",
        "memberships",
    )
    list_display_links = ("list_id", "name")
    list_filter = ("status", "identifier_key", "mode")
    ordering = ("list_id",)
    search_fields = ("list_id__exact", "name")
    search_help_text = gettext_lazy("A list ID, or a part of the name.")
    empty_value_display = "–"

    class Media:
        css = {"all": ["blueshift_sync/admin.css"]}

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, row: CustomerList) -> SafeString:
        return badge(row.status, row.get_status_display())

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: CustomerList) -> SafeString | str:
        return problem(row.error_code, row.error_message)

    @admin.display(description=gettext_lazy("mode"), ordering="mode")
    def mode_in_use(self, row: CustomerList) -> str:
        return _mode(row)

    @admin.display(description=gettext_lazy("read from Blueshift"), ordering="read_at")
    def read(self, row: CustomerList) -> SafeString | str:
        return moment(row.read_at)

    @admin.display(description=gettext_lazy("memberships"))
    def memberships(self, row: CustomerList) -> SafeString:
        return _membership_links(row)

    def get_readonly_fields(self, request: HttpRequest, obj: CustomerList | None = None) -> Any:
        # Another number would be another list, with none of these members.
        return ("list_id",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: CustomerList | None = None) -> bool:
        """Only a list without memberships: deleting here takes nobody off the list in Blueshift."""
        deletable = obj is None or not obj.memberships.exists()
        return deletable and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: CustomerList, form: Any, change: bool) -> None:  # noqa: FBT001
        """Writes only what was edited: a worker may be writing the rest at this moment."""
        obj.save(update_fields=form.changed_data if change else None)

    def page_context(self, request: HttpRequest, obj: CustomerList) -> dict[str, Any]:
        return {
            "facts": facts(
                (_("Status"), badge(obj.status, obj.get_status_display())),
                (_("Error"), problem(obj.error_code, "")),
                (_("Error message"), obj.error_message),
                (_("Identifier"), obj.get_identifier_key_display() or _("Not read from Blueshift yet")),
                (_("Mode in use"), _mode(obj)),
                (_("User count in Blueshift"), obj.user_count),
                (_("Read from Blueshift"), moment(obj.read_at)),
                (_("Created"), moment(obj.created_at)),
                (_("Memberships"), _membership_links(obj)),
                (_("List in Blueshift"), blueshift_link(f"custom_list/{obj.list_id}/edit", obj.list_id)),
                (_("Calls"), list_link(_("All calls"), ApiCall, customer_list__id__exact=obj.pk)),
            ),
        }


@admin.register(ListMembership)
class ListMembershipAdmin(MembershipChangesAdmin, SyncStateAdmin):
    fields = ("customer_list", "customer", "is_member")
    detached_notice = gettext_lazy("Its source object was deleted, which takes the customer off the list.")
    autocomplete_fields = ("customer_list", "customer")
    list_display = (
        "number",
        "state_badge",
        "linked_customer",
        "linked_list",
        "problem",
        "wanted",
        "in_blueshift",
        "synced",
        "waiting",
        "source",
    )
    list_display_links = ("number",)
    list_select_related = ("customer", "customer_list")
    list_defer = (
        "customer__attributes",
        "customer__subscription_groups",
        "customer_list__description",
    )
    list_filter: ClassVar[tuple[Any, ...]] = (
        "state",
        "is_member",
        ("customer_list", LinkedFilter),
        ("customer", LinkedFilter),
        *LINKED_FILTERS,
    )
    sortable_by = ("number",)
    export_columns = (
        "id",
        "customer_list__list_id",
        "customer__customer_id",
        "customer__email",
        "is_member",
        "synced_is_member",
        "synced_identifier",
        *STATE_COLUMNS,
    )
    search_fields = ("customer__customer_id", "customer__email_key")
    search_help_text = gettext_lazy("A customer ID or an e-mail address, or how it begins.")

    @admin.display(description=gettext_lazy("membership"), ordering="id")
    def number(self, row: ListMembership) -> str:
        return f"#{row.pk}"

    @admin.display(description=gettext_lazy("customer"))
    def linked_customer(self, row: ListMembership) -> SafeString | str:
        return link(row.customer)

    @admin.display(description=gettext_lazy("customer list"))
    def linked_list(self, row: ListMembership) -> SafeString | str:
        return link(row.customer_list)

    @admin.display(description=gettext_lazy("wanted"), boolean=True)
    def wanted(self, row: ListMembership) -> bool:
        return row.is_member

    @admin.display(description=gettext_lazy("in Blueshift"), boolean=True)
    def in_blueshift(self, row: ListMembership) -> bool | None:
        return row.synced_is_member

    def search(self, term: str) -> Q:
        return Q(customer__customer_id__startswith=term) | Q(
            customer__email_key__startswith=Customer._meta.get_field("email_key").key_of(term)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: ListMembership | None = None) -> Any:
        # Another list or customer would be another membership.
        return ("customer_list", "customer") if obj else ()

    def state_facts(self, row: ListMembership) -> list[Fact]:
        in_blueshift = {True: _("Yes"), False: _("No"), None: _("Not known")}[row.synced_is_member]
        return [
            *super().state_facts(row),
            *facts(
                (_("Is a member in Blueshift"), in_blueshift),
                (_("Identifier in Blueshift"), row.synced_identifier),
            ),
        ]


def _mode(row: CustomerList) -> str:
    if row.mode:
        return row.get_mode_display()
    by_default = CustomerList.Mode(app_settings().LIST_MODE).label
    return _("%(mode)s, by LIST_MODE") % {"mode": by_default}


def _membership_links(row: CustomerList) -> SafeString:
    def to_memberships(text: str, **filters: str) -> SafeString:
        return list_link(text, ListMembership, customer_list__id__exact=row.pk, **filters)

    return format_html(
        "{}, {}, {}",
        to_memberships(_("all")),
        to_memberships(_("waiting"), state__exact=SyncState.State.PENDING),
        to_memberships(_("failed"), state__exact=SyncState.State.FAILED),
    )
