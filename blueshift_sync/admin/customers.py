"""The mirror of the site's customers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Customer, ListMembership, SyncState
from .bulk_actions import ListChangesAdmin
from .changelists import first_beginning
from .comparison import comparison
from .display import (
    Fact,
    Table,
    app_address,
    blueshift_link,
    facts,
    indented_json,
    link,
    list_link,
    preformatted,
)
from .erasure import EraseAdmin
from .forms import CustomerForm, IndentedJSON
from .mixins import STATE_COLUMNS, SyncStateAdmin, is_detached, memberships_table
from .permissions import may_view

#: Memberships that a customer's page shows; the rest are a link away.
MEMBERSHIPS_SHOWN = 50


@admin.register(Customer)
class CustomerAdmin(EraseAdmin, ListChangesAdmin, SyncStateAdmin):
    actions = (*ListChangesAdmin.actions, "erase")
    form = CustomerForm
    formfield_overrides = {models.JSONField: {"encoder": IndentedJSON}}
    detached_notice = gettext_lazy(
        "Its source object was deleted. This record is kept as it was, and is never sent again."
    )
    list_display = ("customer", "state_badge", "problem", "in_step")
    list_display_links = ("customer",)
    list_defer = ("attributes", "subscription_groups")
    sortable_by = ("customer",)
    export_columns = (
        "id",
        "customer_id",
        "email",
        "uuid",
        "firstname",
        "lastname",
        "attributes",
        "subscription_groups",
        *STATE_COLUMNS,
    )
    search_fields = ("customer_id", "email_key")
    search_help_text = gettext_lazy("A customer ID or an e-mail address, or how it begins.")

    @admin.display(description=gettext_lazy("customer"), ordering="customer_id")
    def customer(self, row: Customer) -> SafeString | str:
        """The customer ID with the e-mail address below it, or whichever there is."""
        if row.customer_id and row.email:
            return format_html('{}<span class="bsync-second">{}</span>', row.customer_id, row.email)
        return str(row)

    @admin.display(description=gettext_lazy("last in step"))
    def in_step(self, row: Customer) -> SafeString | str:
        """With how long it has been waiting below it: two columns of it leave no room for the source."""
        if row.waiting_since is None:
            return self.synced(row)
        waiting = format_html("{}: {}", _("waiting for"), self.waiting(row))
        return format_html('{}<span class="bsync-second">{}</span>', self.synced(row), waiting)

    @admin.display(description=gettext_lazy("attributes"))
    def readable_attributes(self, row: Customer) -> SafeString | str:
        return preformatted(indented_json(row.attributes))

    @admin.display(description=gettext_lazy("subscription groups"))
    def readable_subscription_groups(self, row: Customer) -> SafeString | str:
        return preformatted(indented_json(row.subscription_groups))

    def is_editable(self, row: Customer) -> bool:
        return super().is_editable(row) and not is_detached(row)

    def search(self, term: str) -> Q:
        customer_id, email_key = customers_called(term).items()
        return Q(customer_id) | Q(email_key)

    def first_found(self, term: str) -> tuple[Q, bool]:
        customers, is_cut = first_beginning(Customer, customers_called(term))
        return Q(pk__in=customers), is_cut

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Counts the memberships that go with a customer: to list them, Django reads each with its list."""
        memberships = ListMembership.objects.filter(customer__in=objs)
        kept = memberships.exclude(source_id=None) | memberships.filter(state=SyncState.State.SENDING)
        may_delete = self.admin_site.get_model_admin(ListMembership).has_delete_permission(request)
        count = memberships.count()
        refused = {ListMembership._meta.verbose_name} if kept.exists() or (count and not may_delete) else set()
        counts = {Customer._meta.verbose_name_plural: len(objs), ListMembership._meta.verbose_name_plural: count}
        return [link(customer) for customer in objs], counts, refused, []

    def get_fieldsets(self, request: HttpRequest, obj: Customer | None = None) -> Any:
        editable = self.has_change_permission(request, obj) if obj else True
        prefix = "" if editable else "readable_"
        return [
            (None, {"fields": ["customer_id", "email", "firstname", "lastname", "uuid"]}),
            (_("Attributes"), {"fields": [f"{prefix}attributes"]}),
            (_("Subscription groups"), {"fields": [f"{prefix}subscription_groups"]}),
        ]

    def state_facts(self, row: Customer) -> list[Fact]:
        return [
            *super().state_facts(row),
            *facts(
                (_("Profile in Blueshift"), _profile(row)),
                (_("Contested customer ID"), row.contested_customer_id),
                (_("Removal from Blueshift"), link(row.removals.order_by("-id").first())),
            ),
        ]

    def page_tables(self, request: HttpRequest, row: Customer) -> list[Table]:
        tables = [comparison(request, row), *super().page_tables(request, row)]
        if may_view(request, ListMembership):
            tables.insert(1, _memberships(row))
        return tables


def customers_called(term: str) -> dict[str, str]:
    """How what somebody may look for begins: conditions that each have an index."""
    # `startswith`, not `istartswith`: the latter compares UPPER(column), for which there is no index.
    return {
        "customer_id__startswith": term,
        "email_key__startswith": Customer._meta.get_field("email_key").key_of(term),
    }


def _profile(customer: Customer) -> SafeString | str:
    """A link to the profile. Its address goes by Blueshift's own UUID, which only some sites know."""
    if app_address() is None:
        return ""
    if not customer.uuid:
        return _("No link: its address goes by Blueshift's customer UUID, which isn't known here.")
    return blueshift_link(f"customer/{quote(customer.uuid, safe='')}/show/overview", customer.uuid)


def _memberships(customer: Customer) -> Table:
    memberships = list(customer.memberships.select_related("customer_list").order_by("-id")[: MEMBERSHIPS_SHOWN + 1])
    is_all = len(memberships) <= MEMBERSHIPS_SHOWN
    more = list_link(_("All memberships"), ListMembership, customer__id__exact=customer.pk)
    return memberships_table(
        _("List memberships"),
        memberships[:MEMBERSHIPS_SHOWN],
        empty=_("This customer is on no list."),
        more=None if is_all else more,
    )
