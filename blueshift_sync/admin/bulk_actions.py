"""The actions on records, calls and results that may be of any number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import services
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncRun, SyncState
from ..services import Selection
from .actions import tell_sending, telling_errors
from .bulk import BulkAdmin, calls_for, duration_of_rows, duration_text, tell_changed
from .export import ExportAdmin
from .preview import preview_page

ADMIN = SyncRun.Trigger.ADMIN


class PushAdmin(ExportAdmin, BulkAdmin):
    """For customers and memberships: sending them, leaving them out, looking at what would be sent."""

    actions: tuple[str, ...] = ("push", "push_changed", "retry_failed", "preview", "leave_out", "take_in", "export")

    def has_push_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"blueshift_sync.push_{self.opts.model_name}")

    def has_exclude_permission(self, request: HttpRequest) -> bool:
        return self.has_push_permission(request) and request.user.has_perm(
            f"blueshift_sync.change_{self.opts.model_name}"
        )

    @admin.action(permissions=["push"], description=gettext_lazy("Send to Blueshift now"))
    def push(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        text = _("They are sent even if Blueshift has their newest values. Those that are excluded are left out.")
        return self._push(request, queryset, "push", text, send=services.push)

    @admin.action(permissions=["push"], description=gettext_lazy("Send now what isn't in step"))
    def push_changed(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        text = _("Those that are in step or excluded are left as they are.")
        return self._push(request, queryset, "push_changed", text, send=services.push, only_changed=True)

    @admin.action(permissions=["push"], description=gettext_lazy("Retry failed ones"))
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        text = _("Only those that are failed are sent, with their newest values.")
        failed = Q(state=SyncState.State.FAILED)
        return self._push(request, queryset, "retry_failed", text, failed, send=services.retry_failed)

    def _push(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        consequence: str,
        where: Q | None = None,
        *,
        send: Callable[..., SyncRun],
        **options: Any,
    ) -> HttpResponse | None:
        self.check_permission(request, "push")
        selection = self.selection(request, queryset).only(where or Q())
        if self.answered(request) is None:
            return self.ask(request, selection, action=action, consequence=consequence, duration=duration_of_rows)
        with telling_errors(request):
            run = send(selection, requested_by=request.user, trigger=ADMIN, **options)
            self.note(request, selection, action, [run])
            tell_sending(request, [run])
        return None

    @admin.action(permissions=["view"], description=gettext_lazy("Preview what would be sent"))
    def preview(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        self.check_permission(request, "view")
        return preview_page(self, request, self.selection(request, queryset))

    @admin.action(permissions=["exclude"], description=gettext_lazy("Exclude: don't send any more"))
    def leave_out(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        self.check_permission(request, "exclude")
        selection = self.selection(request, queryset)
        if self.answered(request, always=True) is None:
            text = _(
                "They aren't sent any more, whatever changes on this site, until somebody includes them again. "
                "What Blueshift has of them, it keeps."
            )
            return self.ask(request, selection, action="leave_out", consequence=text)
        with telling_errors(request):
            run = services.exclude(selection, requested_by=request.user, trigger=ADMIN)
            self.note(request, selection, "leave_out", [run])
            tell_changed(request, run, _("Excluded: {count}, by {run}."))
        return None

    @admin.action(permissions=["exclude"], description=gettext_lazy("Include: send again"))
    def take_in(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        self.check_permission(request, "exclude")
        excluded = Q(error_code=SyncState.EXCLUDED_BY_OPERATOR)
        selection = self.selection(request, queryset).only(excluded)
        if self.answered(request) is None:
            text = _(
                "Only those that somebody excluded here are included again; objects of this site are read afresh. "
                "What a source leaves out stays excluded."
            )
            return self.ask(request, selection, action="take_in", consequence=text, duration=duration_of_rows)
        with telling_errors(request):
            run = services.include(selection, requested_by=request.user, trigger=ADMIN)
            self.note(request, selection, "take_in", [run])
            tell_changed(request, run, _("Included: {count}, by {run}."))
        return None


class ListForm(forms.Form):
    """Which list customers are to be put on, or taken off."""

    customer_list = forms.ModelChoiceField(
        CustomerList.objects.filter(status=CustomerList.Status.ACTIVE).order_by("name", "list_id"),
        label=gettext_lazy("customer list"),
    )


class ListChangesAdmin(PushAdmin):
    """For customers: putting them on lists, and taking them off."""

    actions: tuple[str, ...] = (*PushAdmin.actions[:-1], "add_to_list", "remove_from_list", "export")

    def has_lists_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(
            [
                "blueshift_sync.push_listmembership",
                "blueshift_sync.add_listmembership",
                "blueshift_sync.change_listmembership",
            ]
        )

    @admin.action(permissions=["lists"], description=gettext_lazy("Add to list…"))
    def add_to_list(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._change_list(request, queryset, "add_to_list")

    @admin.action(permissions=["lists"], description=gettext_lazy("Remove from list…"))
    def remove_from_list(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._change_list(request, queryset, "remove_from_list")

    def _change_list(self, request: HttpRequest, queryset: QuerySet[Any], action: str) -> HttpResponse | None:
        self.check_permission(request, "lists")
        selection = self.selection(request, queryset)
        form = self.answered(request, ListForm)
        if form is None:
            return self.ask(
                request,
                selection,
                action=action,
                consequence=SOURCES_DECIDE,
                form_class=ListForm,
                duration=_duration_of_list,
            )
        change = services.add_to_list if action == "add_to_list" else services.remove_from_list
        with telling_errors(request):
            customer_list = form.cleaned_data["customer_list"]
            run = change(customer_list, selection, requested_by=request.user, trigger=ADMIN)
            self.note(request, selection, action, [run], to=customer_list)
            tell_sending(request, [run])
        return None


#: What is said of memberships that an object of the site stands for.
SOURCES_DECIDE = gettext_lazy("Where an object of this site says who is on the list, its next change decides again.")


class MembershipChangesAdmin(PushAdmin):
    """For memberships: putting their customers on the list, and taking them off."""

    actions: tuple[str, ...] = (*PushAdmin.actions[:-1], "put_on", "take_off", "export")

    def has_lists_permission(self, request: HttpRequest) -> bool:
        return self.has_exclude_permission(request)

    @admin.action(permissions=["lists"], description=gettext_lazy("Add to their list"))
    def put_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._say(request, queryset, "put_on", is_member=True)

    @admin.action(permissions=["lists"], description=gettext_lazy("Remove from their list"))
    def take_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._say(request, queryset, "take_off", is_member=False)

    def _say(
        self, request: HttpRequest, queryset: QuerySet[Any], action: str, *, is_member: bool
    ) -> HttpResponse | None:
        self.check_permission(request, "lists")
        selection = self.selection(request, queryset)
        if self.answered(request, always=True) is None:
            return self.ask(request, selection, action=action, consequence=SOURCES_DECIDE, duration=duration_of_rows)
        with telling_errors(request):
            run = services.change_memberships(selection, requested_by=request.user, is_member=is_member, trigger=ADMIN)
            self.note(request, selection, action, [run])
            tell_sending(request, [run])
        return None


class ResendAdmin(ExportAdmin, BulkAdmin):
    """For calls and results: "Send these records again"."""

    actions: tuple[str, ...] = ("resend", "export")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("blueshift_sync.resend_apicall")

    @admin.action(permissions=["resend"], description=gettext_lazy("Send these records again"))
    def resend(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        self.check_permission(request, "resend")
        selection = self.selection(request, queryset)
        if self.answered(request) is None:
            text = _("Their records are sent with their newest values, each once. Excluded ones are left out.")
            return self.ask(request, selection, action="resend", consequence=text, duration=_duration_of_resending)
        with telling_errors(request):
            runs = services.resend(selection, requested_by=request.user, trigger=ADMIN)
            self.note(request, selection, "resend", runs)
            tell_sending(request, runs)
        return None


def _duration_of_list(selection: Selection, count: int) -> str:
    return duration_text(calls_for(ListMembership, count))


def _duration_of_resending(selection: Selection, count: int) -> str:
    records = count
    if selection.model is ApiCall:
        records = selection.rows.aggregate(records=Sum("record_count"))["records"] or 0
    return duration_text(calls_for(Customer, records))
