"""What can be done to customers and memberships, from every list whose rows are some or lead to some."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from .. import services
from ..delivery.runs import MODELS
from ..models import Customer, CustomerList, ListMembership, SyncRun, SyncState
from ..permissions import RESEND
from ..services import AnySelection
from .actions import tell_sending, telling_errors
from .bulk import Asking, BulkAdmin, calls_for, duration_text, records_in, tell_changed
from .export import ExportAdmin
from .permissions import may_change_lists, may_push, may_view
from .preview import preview_page

ADMIN = SyncRun.Trigger.ADMIN
Kind = type[Customer] | type[ListMembership]


class ListForm(forms.Form):
    """Which list customers are to be put on, or taken off."""

    customer_list = forms.ModelChoiceField(
        CustomerList.objects.filter(status=CustomerList.Status.ACTIVE).order_by("name", "list_id"),
        label=gettext_lazy("customer list"),
    )


def record_action(
    name: str,
    label: Any,
    permission: str,
    consequence: Any,
    do: Callable[..., SyncRun],
    *,
    where: Q | None = None,
    form_class: type[forms.Form] | None = None,
    always_asks: bool = False,
    told: Any = "",
) -> Any:
    """An action of a list: what it is called, who may take it, what is asked before, and what it does.

    `do` gets the selection, the kind of records, what was filled in, who asked for it and from where. `where` says
    which records it is for; `told` is said where nothing need be sent, with a place for `count` and `run`.
    """

    @admin.action(permissions=[permission], description=label)
    def act(self: RecordActions, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        kinds = self.kinds_for(request, permission)
        if not kinds:
            raise PermissionDenied
        rows = self.selection(request, queryset)
        if where is not None and rows.model in MODELS:
            rows = rows.only(where)
        self.check_rows(request, rows)
        answer = self.answered(request, form_class, always=always_asks or self.always_asks)
        if answer is None:
            duration = None if told else _duration([ListMembership] if form_class else kinds)
            return self.ask(
                request, rows, action=name, consequence=consequence, form_class=form_class, duration=duration
            )
        with telling_errors(request):
            options: dict[str, Any] = {**answer.cleaned_data, "requested_by": request.user, "trigger": ADMIN}
            found = kinds[:1] if form_class else [kind for kind in kinds if services.leads_to(rows, kind)]
            runs = [do(self.carriers(rows), kind=kind, **options) for kind in found]
            self.note(request, rows, name, runs, to=answer.cleaned_data.get("customer_list", ""))
            if told:
                tell_changed(request, runs, told)
            else:
                tell_sending(request, runs)
        return None

    act.__name__ = name
    return act


def _duration(kinds: Sequence[Kind]) -> Callable[[AnySelection, int], str]:
    """How long the records take that so many rows lead to; where there may be two kinds, as if all were of one."""

    def told(rows: AnySelection, count: int) -> str:
        records = records_in(rows, count)
        return duration_text(max(calls_for(kind, records) for kind in kinds))

    return told


def _push(rows: AnySelection, **options: Any) -> SyncRun:
    return services.push(rows, **options)


def _push_changed(rows: AnySelection, **options: Any) -> SyncRun:
    return services.push(rows, only_changed=True, **options)


def _add_to_list(rows: AnySelection, *, kind: Kind, customer_list: CustomerList, **options: Any) -> SyncRun:
    return services.add_to_list(customer_list, rows, **options)


def _remove_from_list(rows: AnySelection, *, kind: Kind, customer_list: CustomerList, **options: Any) -> SyncRun:
    return services.remove_from_list(customer_list, rows, **options)


def _put_on(rows: Any, *, kind: Kind, **options: Any) -> SyncRun:
    return services.change_memberships(rows, is_member=True, **options)


def _take_off(rows: Any, *, kind: Kind, **options: Any) -> SyncRun:
    return services.change_memberships(rows, is_member=False, **options)


#: What is said of memberships that an object of the site stands for.
SOURCES_DECIDE = gettext_lazy("Where an object of this site says who is on the list, its next change decides again.")
_NEWEST = gettext_lazy("They are sent even if Blueshift has their newest values. Those that are excluded are left out.")
_CARRIED = gettext_lazy("Their records are sent with their newest values, each once. Excluded ones are left out.")


class RecordActions(Asking):
    """All that can be done to records. Which of it a list offers, its `actions` say."""

    #: Whether a few rows that were ticked are asked for once more as well.
    always_asks = False

    push = record_action("push", gettext_lazy("Send now, even if unchanged"), "push", _NEWEST, _push)
    push_changed = record_action(
        "push_changed",
        gettext_lazy("Send now what isn't in step"),
        "push",
        gettext_lazy("Those that are in step or excluded are left as they are."),
        _push_changed,
    )
    resend = record_action("resend", gettext_lazy("Send these records again"), "push", _CARRIED, _push)
    retry_failed = record_action(
        "retry_failed",
        gettext_lazy("Retry failed records"),
        "push",
        gettext_lazy("Only those that are failed are sent, with their newest values."),
        services.retry_failed,
        where=Q(state=SyncState.State.FAILED),
    )
    leave_out = record_action(
        "leave_out",
        gettext_lazy("Exclude: don't send any more"),
        "exclude",
        gettext_lazy(
            "They aren't sent any more, whatever changes on this site, until somebody includes them again. "
            "What Blueshift has of them, it keeps."
        ),
        services.exclude,
        always_asks=True,
        told=gettext_lazy("Excluded: {count}, by {run}."),
    )
    take_in = record_action(
        "take_in",
        gettext_lazy("Include: send again"),
        "exclude",
        gettext_lazy(
            "Only those that somebody excluded here are included again; objects of this site are read afresh. "
            "What a source leaves out stays excluded."
        ),
        services.include,
        where=Q(error_code=SyncState.EXCLUDED_BY_OPERATOR),
        told=gettext_lazy("Included: {count}, by {run}."),
    )
    add_to_list = record_action(
        "add_to_list", gettext_lazy("Add to list…"), "lists", SOURCES_DECIDE, _add_to_list, form_class=ListForm
    )
    remove_from_list = record_action(
        "remove_from_list",
        gettext_lazy("Remove from list…"),
        "lists",
        SOURCES_DECIDE,
        _remove_from_list,
        form_class=ListForm,
    )
    put_on = record_action(
        "put_on", gettext_lazy("Add to their list"), "exclude", SOURCES_DECIDE, _put_on, always_asks=True
    )
    take_off = record_action(
        "take_off", gettext_lazy("Remove from their list"), "exclude", SOURCES_DECIDE, _take_off, always_asks=True
    )

    @admin.action(permissions=["preview"], description=gettext_lazy("Preview what would be sent"))
    def preview(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        kinds = self.kinds_for(request, "preview")
        if not kinds:
            raise PermissionDenied
        return preview_page(self, request, self.carriers(self.selection(request, queryset)), kinds)

    # What the rows lead to, and who may do what to it

    @abstractmethod
    def kinds(self) -> Sequence[Kind]:
        """The records that the rows are, or may lead to."""

    def carriers(self, rows: Any) -> Any:
        """The rows by which records are found: here the rows themselves."""
        return rows

    def may(self, request: HttpRequest, permission: str, kind: Kind) -> bool:
        """Whether the user may do what takes this `permission` to records of that kind."""
        if permission == "preview":  # which names the customers
            return may_view(request, kind) and may_view(request, Customer)
        if permission == "lists":
            return kind is Customer and may_change_lists(request)
        pushes = may_push(request, kind)
        if permission == "exclude":
            return pushes and request.user.has_perm(f"blueshift_sync.change_{kind._meta.model_name}")
        return pushes

    def kinds_for(self, request: HttpRequest, permission: str) -> list[Kind]:
        return [kind for kind in self.kinds() if self.may(request, permission, kind)]

    def check_rows(self, request: HttpRequest, rows: Any) -> None:
        """Raises PermissionDenied where some of the rows aren't for this user to act on."""

    def has_push_permission(self, request: HttpRequest) -> bool:
        return bool(self.kinds_for(request, "push"))

    def has_exclude_permission(self, request: HttpRequest) -> bool:
        return bool(self.kinds_for(request, "exclude"))

    def has_lists_permission(self, request: HttpRequest) -> bool:
        return bool(self.kinds_for(request, "lists"))

    def has_preview_permission(self, request: HttpRequest) -> bool:
        return bool(self.kinds_for(request, "preview"))


#: What every list offers.
SENDING = ("push", "push_changed", "retry_failed", "preview", "leave_out", "take_in")
LISTS = ("add_to_list", "remove_from_list")


class PushAdmin(RecordActions, ExportAdmin, BulkAdmin):
    """For lists of records themselves."""

    def kinds(self) -> Sequence[Kind]:
        return (self.model,)


class ListChangesAdmin(PushAdmin):
    """For customers."""

    actions: tuple[str, ...] = (*SENDING, *LISTS, "export")


class MembershipChangesAdmin(PushAdmin):
    """For memberships, which are of one list each."""

    actions: tuple[str, ...] = (*SENDING, "put_on", "take_off", "export")


class ResendAdmin(RecordActions, ExportAdmin, BulkAdmin):
    """For calls and results, whose records they carried or are of."""

    actions: tuple[str, ...] = ("resend", *SENDING[1:], *LISTS, "export")

    def kinds(self) -> Sequence[Kind]:
        return (ListMembership, Customer)

    def may(self, request: HttpRequest, permission: str, kind: Kind) -> bool:
        """Sending what a call carried takes a permission of its own, whatever it was."""
        if permission == "push":
            return request.user.has_perm(RESEND)
        return super().may(request, permission, kind)
