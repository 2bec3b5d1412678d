"""Erasing a person, and where pages say that it was done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..delivery.erased_bodies import ERASED
from ..delivery.erasure import Erased
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult
from ..permissions import ERASE
from .actions import telling_errors
from .bulk import BulkAdmin
from .display import link
from .history import note_in_history

#: Customers that one action erases.
ERASED_AT_ONCE = 20


class EraseAdmin(BulkAdmin):
    """For customers: "Erase personal data…", which is always asked for once more."""

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ERASE)

    @admin.action(permissions=["erase"], description=gettext_lazy("Erase personal data…"))
    def erase(self, request: HttpRequest, queryset: QuerySet[Customer]) -> HttpResponse | None:
        self.check_permission(request, "erase")
        selection = self.selection(request, queryset)
        customers = list(selection.rows.order_by("pk")[: ERASED_AT_ONCE + 1])
        if len(customers) > ERASED_AT_ONCE:
            text = _("At most %(number)s customers at once. Select fewer.")
            messages.error(request, text % {"number": ERASED_AT_ONCE})
            return None
        if "confirmed" not in request.POST:
            return self.ask(request, selection, action="erase", consequence=_consequence(customers))
        for customer in customers:
            with telling_errors(request):
                erased = services.erase_person(customer, requested_by=request.user)
                note_in_history(request, customer, _told(erased))
                _hide_in_history(customer)
                _tell(request, customer, erased)
        return None

    def page_action_names(self, row: Any) -> tuple[str, ...]:
        return (*super().page_action_names(row), "erase")


def _consequence(customers: list[Customer]) -> str:
    sentences = [
        _(
            "What was sent and answered loses all that is personal; that it was sent, and what became of it, stays on "
            "the record. What it says of others stays too. Blueshift is told nothing. This can't be undone."
        )
    ]
    if any(customer.is_source_owned for customer in customers):
        sentences.append(
            _("Records that a source owns stay as they are here: anonymise or delete their objects on this site first.")
        )
    if not all(customer.is_source_owned for customer in customers):
        sentences.append(
            _("Records that were made by hand, or whose object was deleted, are emptied and never sent again.")
        )
    return " ".join(sentences)


def _told(erased: Erased) -> str:
    """What was erased, for the history."""
    counted = [
        ngettext("%(count)s result", "%(count)s results", erased.results) % {"count": erased.results},
        ngettext("%(count)s call", "%(count)s calls", erased.calls) % {"count": erased.calls},
        ngettext("%(count)s removal", "%(count)s removals", erased.removals) % {"count": erased.removals},
    ]
    return _("Personal data erased from %(counted)s.") % {"counted": ", ".join(counted)}


def _tell(request: HttpRequest, customer: Customer, erased: Erased) -> None:
    page = link(customer, f"#{customer.pk}")
    messages.success(request, format_html("{} {}", page, _told(erased)))
    if not erased.row:
        text = _("{customer} itself stays as its source says: {source}.")
        source = f"{customer.source_type} {customer.source_id}"
        messages.warning(request, format_html(text, customer=page, source=source))
    if erased.still_needed:
        text = ngettext(
            "{count} removal or list membership of {customer} is still to be sent and keeps its identifier. "
            "Erase again afterwards.",
            "{count} removals or list memberships of {customer} are still to be sent and keep their identifiers. "
            "Erase again afterwards.",
            erased.still_needed,
        )
        messages.warning(request, format_html(text, count=erased.still_needed, customer=page))


def _hide_in_history(customer: Customer) -> None:
    """Django's history names each row as it was called then."""
    memberships = ListMembership.objects.filter(customer=customer)
    removals = CustomerRemoval.objects.filter(customer=customer, identifier=ERASED)
    for model, pks in (
        (Customer, [customer.pk]),
        (ListMembership, list(memberships.values_list("pk", flat=True))),
        (CustomerRemoval, list(removals.values_list("pk", flat=True))),
    ):
        entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model))
        entries.filter(object_id__in=[str(pk) for pk in pks]).update(object_repr=ERASED)


def erased_in(call: ApiCall) -> str:
    """How many records of the call somebody had erased; empty for none."""
    count = call.results.filter(identifier=ERASED).count()
    if not count:
        return ""
    text = ngettext(
        "The personal data of %(count)s record was erased.",
        "The personal data of %(count)s records was erased.",
        count,
    )
    return text % {"count": count}


def erased_by(result: RecordResult) -> str:
    """When the result lost its personal data, and by whom; empty where it didn't."""
    note = result.details.get("erased") if isinstance(result.details, dict) else None
    if result.identifier != ERASED or not isinstance(note, dict):
        return ""
    at = str(note.get("at", "")).replace("T", " ").removesuffix("+00:00")
    if not note.get("by"):
        return _("Erased on %(time)s UTC") % {"time": at}
    return _("Erased on %(time)s UTC by %(user)s") % {"time": at, "user": note["by"]}
