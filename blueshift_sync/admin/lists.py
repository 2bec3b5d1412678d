"""Customer lists, and who should be on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import services
from ..conf import app_settings
from ..delivery.causes import COUNTED
from ..delivery.memberships import mode_of
from ..delivery.parking import why_waiting
from ..exceptions import BlueshiftSyncError
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncRun, SyncState
from ..permissions import PUSH_PERMISSIONS
from ..services import Selection
from .actions import bare, tell_sending, telling_errors
from .bulk import BulkAdmin, calls_of_list, duration_text
from .bulk_actions import MembershipChangesAdmin
from .changelists import LargeListAdmin, LinkedFilter, first_beginning
from .customers import customers_called
from .display import (
    Fact,
    Table,
    badge,
    blueshift_link,
    customers_are_named,
    facts,
    link,
    list_link,
    moment,
    problem,
)
from .explanations import explain
from .history import note_in_history
from .imports import ADD, REMOVE, FilesAdmin, imports_table, upload_url
from .mixins import LINKED_FILTERS, STATE_COLUMNS, ObjectPageAdmin, SyncStateAdmin, like
from .permissions import may_change_lists, may_view

if TYPE_CHECKING:
    CustomerListModelForm = forms.ModelForm[CustomerList]
else:
    CustomerListModelForm = forms.ModelForm


class AddListForm(CustomerListModelForm):
    """A list by its name, to be created in Blueshift, or one that is there by its number.

    It is made while the form is checked, so that what the service refuses is said on the form.
    """

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        key, mode = cleaned["identifier_key"], cleaned["mode"]
        try:
            if cleaned["list_id"] is not None:
                self.instance = services.take_on_list(cleaned["list_id"], identifier_key=key, mode=mode)
            elif not key:
                self.add_error("identifier_key", _("Choose by which identifier the new list knows its customers."))
            else:
                self.instance = services.create_list(
                    cleaned["name"], description=cleaned["description"], identifier_key=key, mode=mode
                )
        except BlueshiftSyncError as error:
            self.add_error(None, str(error))
        return cleaned

    def _post_clean(self) -> None:
        """The service has checked it all."""


class ChangeListForm(CustomerListModelForm):
    def clean_list_id(self) -> int | None:
        """A list that is there doesn't become one to be created."""
        number: int | None = self.cleaned_data["list_id"]
        if number is None and self.initial.get("list_id") is not None:
            raise forms.ValidationError(_("Enter the number of the list in Blueshift."))
        return number


@admin.register(CustomerList)
class CustomerListAdmin(FilesAdmin, BulkAdmin, ObjectPageAdmin, LargeListAdmin):
    change_form_template = "blueshift_sync/admin/list.html"
    add_form_template = "blueshift_sync/admin/add_list.html"
    actions = ("try_again", "read_now", "send_all")
    list_display = (
        "number",
        "list_name",
        "status_badge",
        "problem",
        "wanted",
        "known",
        "in_blueshift",
        "read",
        "memberships",
        "identifier_key",
        "mode_in_use",
    )
    list_display_links = ("number", "list_name")
    list_filter = ("status", "is_ready", "identifier_key", "mode")
    sortable_by = ("number", "list_name", "read")
    ordering = ("list_id", "id")
    search_fields = ("list_id__exact", "name")
    search_help_text = gettext_lazy("A list ID, or a part of the name.")

    @admin.display(description=gettext_lazy("list ID"), ordering="list_id")
    def number(self, row: CustomerList) -> Any:
        return str(row.list_id) if row.list_id is not None else "–"

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def list_name(self, row: CustomerList) -> str:
        return row.name

    @admin.display(description=gettext_lazy("status"))
    def status_badge(self, row: CustomerList) -> SafeString:
        return _status_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: CustomerList) -> SafeString | str:
        return problem(row.error_code, row.error_message)

    @admin.display(description=gettext_lazy("mode"), ordering="mode")
    def mode_in_use(self, row: CustomerList) -> str:
        return _mode(row)

    @admin.display(description=gettext_lazy("wanted"))
    def wanted(self, row: CustomerList) -> str | None:
        return _number(row.wanted_count)

    @admin.display(description=gettext_lazy("known"))
    def known(self, row: CustomerList) -> str | None:
        return _number(row.known_count)

    @admin.display(description=gettext_lazy("in Blueshift"))
    def in_blueshift(self, row: CustomerList) -> str | None:
        return _number(row.user_count)

    @admin.display(description=gettext_lazy("read from Blueshift"), ordering="read_at")
    def read(self, row: CustomerList) -> SafeString | str:
        return moment(row.read_at)

    @admin.display(description=gettext_lazy("memberships"))
    def memberships(self, row: CustomerList) -> SafeString:
        return _membership_links(row)

    def search(self, term: str) -> Q:
        number = Q(list_id=int(term)) if re.fullmatch("[0-9]{1,18}", term) else Q()
        return number | Q(name__icontains=term)

    # Changing it

    def get_form(
        self,
        request: HttpRequest,
        obj: CustomerList | None = None,
        change: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Any:
        form = ChangeListForm if change else AddListForm
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    def get_fields(self, request: HttpRequest, obj: CustomerList | None = None) -> Any:
        """The identifier only before there is a list in Blueshift: then that says it."""
        if obj is None or obj.is_to_be_created:
            return ("list_id", "name", "description", "identifier_key", "mode")
        return ("list_id", "name", "description", "mode")

    def get_readonly_fields(self, request: HttpRequest, obj: CustomerList | None = None) -> Any:
        if obj is None or obj.is_to_be_created:
            return ()
        # Another number would be another list, with none of these members; the name is read from Blueshift.
        return ("name",) if self._may_mend_number(request, obj) else ("list_id", "name")

    def _may_mend_number(self, request: HttpRequest, obj: CustomerList) -> bool:
        if not self.has_push_permission(request):
            return False
        if not hasattr(obj, "may_be_renumbered"):  # Django asks several times for a page
            obj.may_be_renumbered = services.may_be_renumbered(obj)  # type: ignore[attr-defined]
        return bool(getattr(obj, "may_be_renumbered", False))

    def has_delete_permission(self, request: HttpRequest, obj: CustomerList | None = None) -> bool:
        """Only a list without memberships: deleting here takes nobody off the list in Blueshift."""
        deletable = obj is None or not obj.memberships.exists()
        return deletable and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: CustomerList, form: Any, change: bool) -> None:  # noqa: FBT001
        """Writes only what was edited: a worker may be writing the rest at this moment. A new one is made already."""
        if not change:
            return
        edited = set(form.changed_data)
        if form.initial.get("list_id") is not None and "list_id" in edited:
            edited.remove("list_id")
            self._mend_number(request, CustomerList.objects.get(pk=obj.pk), form.cleaned_data["list_id"])
        obj.save(update_fields=edited)

    def _mend_number(self, request: HttpRequest, row: CustomerList, number: int) -> None:
        with telling_errors(request):
            run = services.renumber_list(row, number, request.user, trigger=SyncRun.Trigger.ADMIN)
            note_in_history(request, run, f"{_('Another number')}: {number}")
            tell_sending(request, [run])

    # What can be done with it

    def has_push_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PUSH_PERMISSIONS[ListMembership])

    @admin.action(permissions=["push"], description=gettext_lazy("Try again"))
    def try_again(self, request: HttpRequest, queryset: QuerySet[CustomerList]) -> None:
        self.check_permission(request, "push")
        stopped = [row for row in bare(queryset).order_by("pk") if row.has_stopped]
        for row in stopped:
            services.try_list_again(row)
            note_in_history(request, row, _("Try again"))
            text = _("{list} is tried again. Its members follow when Blueshift takes it.")
            messages.success(request, format_html(text, list=link(row)))
        if not stopped:
            messages.warning(request, _("There was nothing to do: none of these lists has stopped."))

    @admin.action(permissions=["push"], description=gettext_lazy("Read from Blueshift now"))
    def read_now(self, request: HttpRequest, queryset: QuerySet[CustomerList]) -> None:
        self.check_permission(request, "push")
        for row in bare(queryset).order_by("pk"):
            with telling_errors(request):
                services.read_list(row)
                note_in_history(request, row, _("Read from Blueshift now"))
                text = _("{list} is read from Blueshift by the next free worker. Load this page again in a moment.")
                messages.success(request, format_html(text, list=link(row)))

    @admin.action(permissions=["push"], description=gettext_lazy("Send everything again…"))
    def send_all(self, request: HttpRequest, queryset: QuerySet[CustomerList]) -> HttpResponse | None:
        self.check_permission(request, "push")
        lists = list(bare(queryset).order_by("pk"))
        if "confirmed" not in request.POST:
            members = Selection(ListMembership, Q(customer_list__in=[row.pk for row in lists]))
            count = members.rows.count()
            calls = sum(calls_of_list(row, row.memberships.count()) for row in lists)
            text = _("{lists}: every member is added again, and everybody else is removed again. That does no harm.")
            return self.ask(
                request,
                self.selection(request, queryset),
                action="send_all",
                question=_counted_memberships(count),
                consequence=format_html(text, lists=", ".join(map(str, lists))),
                duration=lambda _lists, _count: duration_text(calls),
            )
        for row in lists:
            run = services.send_list(row, requested_by=request.user, trigger=SyncRun.Trigger.ADMIN)
            for about in (row, run):
                note_in_history(request, about, f"{_('Send everything again')}: {row}")
            tell_sending(request, [run])
        return None

    def page_action_names(self, row: CustomerList) -> tuple[str, ...]:
        try_again = ("try_again",) if row.has_stopped else ()
        return try_again if row.is_to_be_created else (*try_again, "read_now", "send_all")

    # Its page

    def page_context(self, request: HttpRequest, obj: CustomerList) -> dict[str, Any]:
        may_change = may_change_lists(request)
        return {
            "page_actions": self.page_actions(request, obj),
            "page_links": _page_links(obj) if may_change and may_view(request, Customer) else [],
            "notice": _trouble(obj),
            "facts": facts(
                (_("Status"), _status_badge(obj)),
                (_("Stopped at"), moment(obj.stopped_at)),
                (_("Error"), problem(obj.error_code, "")),
                (_("Error message"), "" if obj.has_stopped else obj.error_message),
                (_("Failed attempts"), obj.attempts or None),
                (_("Identifier"), obj.get_identifier_key_display() or _("Not read from Blueshift yet")),
                (_("Source, as Blueshift says"), obj.source),
                (_("Mode in use"), _mode(obj)),
                (_("Read from Blueshift"), moment(obj.read_at)),
                (_("Read next, or created"), moment(obj.read_due_at)),
                (_("Created"), moment(obj.created_at)),
                (_("Memberships"), _membership_links(obj)),
                (_("List in Blueshift"), _link_to_blueshift(obj)),
                (_("Calls"), list_link(_("All calls"), ApiCall, customer_list__id__exact=obj.pk)),
            ),
            "truth": _truth(obj),
            "why_counts_differ": _why_counts_differ(obj),
            "tables": [imports_table(obj)] if may_change else [],
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
        "synced_asynchronously",
        *STATE_COLUMNS,
    )
    personal_columns = frozenset({"customer__customer_id", "customer__email", "synced_identifier", "error_message"})
    search_fields = ("customer__customer_id", "customer__email_key")
    search_help_text = gettext_lazy("A customer ID or an e-mail address, or how it begins.")

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: ListMembership) -> SafeString | str:
        """Of one that waits for something else, what that is now: it may have changed since it was written down."""
        waits_for = why_waiting(row) if row.state == SyncState.State.PENDING else None
        return problem(*waits_for, **like(row)) if waits_for else super().problem(row)

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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and may_view(request, Customer)

    def first_found(self, term: str) -> tuple[Q, bool]:
        if not customers_are_named():
            return self.search(term), False
        customers, is_cut = first_beginning(Customer, customers_called(term))
        return Q(customer__in=customers), is_cut

    def search_help(self) -> Any:
        return self.search_help_text if customers_are_named() else _("A membership's number.")

    def search(self, term: str) -> Q:
        if not customers_are_named():
            return super().search(term)
        return Q(customer__customer_id__startswith=term) | Q(
            customer__email_key__startswith=Customer._meta.get_field("email_key").key_of(term)
        )

    def get_fields(self, request: HttpRequest, obj: ListMembership | None = None) -> Any:
        # Another list or customer would be another membership. Django links them for those too who may not go there.
        return ("linked_list", "linked_customer", "is_member") if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ListMembership | None = None) -> Any:
        return ("linked_list", "linked_customer") if obj else ()

    def state_facts(self, row: ListMembership) -> list[Fact]:
        in_blueshift = {True: _("Yes"), False: _("No"), None: _("Not known")}[row.synced_is_member]
        return [
            *super().state_facts(row),
            *facts(
                (_("Is a member in Blueshift"), in_blueshift),
                (_("Identifier in Blueshift"), row.synced_identifier if customers_are_named() else ""),
            ),
        ]


def _status_badge(row: CustomerList) -> SafeString:
    """Where the list stands, in a word or two."""
    if row.status != CustomerList.Status.ACTIVE:
        return badge(row.status, row.get_status_display())
    if row.has_stopped:
        return badge("STOPPED", _("Stopped"))
    if row.is_to_be_created:
        return badge(SyncState.State.PENDING, _("Being created in Blueshift"))
    if not row.is_ready:
        return badge(SyncState.State.PENDING, _("Being read from Blueshift"))
    return badge(row.status, row.get_status_display())


def _trouble(row: CustomerList) -> SafeString | str:
    """Why a list has stopped, and what to do."""
    if not row.has_stopped:
        return ""
    return format_html(
        "{} {} <strong>{}</strong> {}",
        _("Nothing has been sent for this list since %(time)s; its members wait.")
        % {"time": f"{timezone.localtime(row.stopped_at):%Y-%m-%d %H:%M:%S}"},
        row.error_message,
        _("What to do:"),
        explain(row.error_code).advice,
    )


# Its truth


def _truth(row: CustomerList) -> Table:
    """What this site says, what is known, and what Blueshift says."""
    waiting = _counted(row, state=SyncState.State.PENDING)
    failed = _counted(row, state=SyncState.State.FAILED)
    note = _("Blueshift hasn’t been asked yet.")
    if row.read_at is not None:
        note = _("Counted when the list was last read from Blueshift, on %(time)s.")
        note %= {"time": f"{timezone.localtime(row.read_at):%Y-%m-%d %H:%M:%S}"}
    return Table(
        title=_("Who is on it"),
        headings=[_("What"), _("Customers")],
        rows=[
            [_("Should be on it, as this site says"), _number(row.wanted_count) or _("not counted yet")],
            [_("Are on it, as far as Blueshift has accepted them"), _number(row.known_count) or _("not counted yet")],
            [_("Are on it, as Blueshift counts them"), _number(row.user_count) or _("not told yet")],
            [_("Waiting now, to be added or removed"), waiting],
            [_("Failed now"), failed],
        ],
        empty="",
        note=note,
    )


def _counted(row: CustomerList, state: SyncState.State) -> SafeString | str:
    found = row.memberships.filter(state=state).order_by()[: COUNTED + 1].count()
    text = _("more than %(count)s") % {"count": _number(COUNTED)} if found > COUNTED else _number(found)
    return list_link(text, ListMembership, customer_list__id__exact=row.pk, state__exact=state) if found else "0"


def _why_counts_differ(row: CustomerList) -> list[str]:
    """Sentences, where the counts of this site and of Blueshift do."""
    if row.user_count is None or row.user_count == row.known_count == row.wanted_count:
        return []
    reasons = [
        _("Members that wait or failed aren’t on the list in Blueshift as they should be."),
        _(
            "Nothing is sent of excluded customers and memberships: they aren’t counted among those who should be on "
            "the list, and stay on it if they are."
        ),
    ]
    if mode_of(row) == CustomerList.Mode.ASYNC:
        reasons.append(
            _(
                "Calls are asynchronous: what Blueshift has accepted for processing is on the list only when it has "
                "worked it off, and it doesn’t say when. Read the list again in some minutes."
            )
        )
    reasons.append(_("Somebody may have added or removed customers in Blueshift itself, or by another program."))
    if row.identifier_key == CustomerList.IdentifierKey.EMAIL:
        reasons.append(
            _(
                "The list knows its customers by e-mail address: several customers of this site who share one may be "
                "one in Blueshift, and one of this site may be several there."
            )
        )
    reasons.append(_("Blueshift counts nobody whom it doesn’t know by the identifier that it was sent."))
    reasons.append(_("If it stays so: “Send everything again…” says it all to Blueshift once more."))
    return reasons


def _number(number: int | None) -> str | None:
    return None if number is None else number_format(number, force_grouping=True)


def _counted_memberships(count: int) -> str:
    name = ListMembership._meta.verbose_name if count == 1 else ListMembership._meta.verbose_name_plural
    return f"{_number(count)} {name}"


def _page_links(row: CustomerList) -> list[SafeString]:
    """Where more customers come from."""
    return [
        format_html('<a href="{}">{}</a>', upload_url(row, ADD), _("Add from a file…")),
        format_html('<a href="{}">{}</a>', upload_url(row, REMOVE), _("Remove from a file…")),
        list_link(_("Add customers by a filter…"), Customer),
    ]


def _mode(row: CustomerList) -> str:
    if row.mode:
        return row.get_mode_display()
    by_default = CustomerList.Mode(app_settings().LIST_MODE).label
    return _("%(mode)s, by LIST_MODE") % {"mode": by_default}


def _link_to_blueshift(row: CustomerList) -> SafeString | str:
    return "" if row.is_to_be_created else blueshift_link(f"custom_list/{row.list_id}/edit", row.list_id)


def _membership_links(row: CustomerList) -> SafeString:
    def to_memberships(text: str, **filters: str) -> SafeString:
        return list_link(text, ListMembership, customer_list__id__exact=row.pk, **filters)

    return format_html(
        "{}, {}, {}",
        to_memberships(_("all")),
        to_memberships(_("waiting"), state__exact=SyncState.State.PENDING),
        to_memberships(_("failed"), state__exact=SyncState.State.FAILED),
    )
