"""What several of the admin's pages share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import models, services
from .bulk_actions import PushAdmin
from .changelists import CauseFilter, CodeFilter, LargeListAdmin, LinkedFilter, ModelAdmin, ViewedAdmin, WaitsFor
from .display import (
    Fact,
    Table,
    badge,
    call_badge,
    elapsed,
    error_facts,
    facts,
    link,
    list_link,
    moment,
    name_of,
    numbered_link,
    problem,
    said_of,
    said_of_one,
    state_badge,
)
from .permissions import may_view
from .standstill import StandstillNotice, why_no_calls
from .waiting import why_is_it_waiting

#: Columns of a call that only its own page needs.
CALL_BODIES = ("request_headers", "request_body", "response_headers", "response_body")
LATEST_CALLS = 20
#: The parameter of a record's page that says below which result its calls begin.
BEFORE = "before"
#: What an export says of every record.
STATE_COLUMNS = (
    *("state", "error_code", "error_message", "version", "synced_version", "attempts"),
    *("due_at", "waiting_since", "synced_at", "run_id", "source_type", "source_id", "created_at"),
)
LINKED_FILTERS = (WaitsFor, ("run", LinkedFilter), ("error_code", CodeFilter), ("error_cause", CauseFilter))


class ReadOnlyAdmin(ModelAdmin):
    """An audit: nobody adds, changes or deletes, superusers included."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ObjectPageAdmin(ViewedAdmin):
    """An object's page with more on it than a form: `page_context` says what."""

    def render_change_form(  # noqa: PLR0917 - Django's signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= {"subtitle": name_of(obj), **self.page_context(request, obj)}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {}


class SyncStateAdmin(StandstillNotice, PushAdmin, ObjectPageAdmin, LargeListAdmin):
    """Customers and memberships: rows that a source or a hand made, and that are on their way to Blueshift.

    A row that a source owns can't be changed here; its page says where. One that was made by hand can, and is
    sent again whenever it is saved. The state itself is never edited.
    """

    change_form_template = "blueshift_sync/admin/record.html"
    delete_confirmation_template = "blueshift_sync/admin/delete_record.html"
    detached_notice: Any = ""
    list_filter: ClassVar[tuple[Any, ...]] = ("state", *LINKED_FILTERS)

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, row: Any) -> SafeString:
        return state_badge(row)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: Any) -> SafeString | str:
        return problem(row.error_code, said_of(row), **like(row))

    @admin.display(description=gettext_lazy("last in step"))
    def synced(self, row: Any) -> SafeString | str:
        return moment(row.synced_at)

    @admin.display(description=gettext_lazy("waiting for"))
    def waiting(self, row: Any) -> SafeString | str:
        return elapsed(row.waiting_since)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or self.is_editable(obj)) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        deletable = obj is None or not (obj.is_source_owned or obj.state == obj.State.SENDING)
        return deletable and super().has_delete_permission(request, obj)

    def is_editable(self, row: Any) -> bool:
        """Whether the row is for people to change, given the permission."""
        return not row.is_source_owned

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001
        services.save_edited(obj)

    def page_action_names(self, row: Any) -> tuple[str, ...]:
        if row.is_excluded_by_operator:
            return ("take_in",)
        return () if row.state == row.State.EXCLUDED else ("push", "preview", "leave_out")

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "page_actions": self.page_actions(request, obj),
            "notice": self._origin_notice(request, obj),
            "why_waiting": why_is_it_waiting(obj),
            "why_waiting_title": _("Why is it waiting?")
            if obj.state in {obj.State.PENDING, obj.State.SENDING}
            else _("Why isn't it sent?"),
            "facts": self.state_facts(obj),
            "tables": self.page_tables(request, obj),
        }

    def state_facts(self, row: Any) -> list[Fact]:
        """Where the row stands, for its page."""
        state = facts((_("State"), state_badge(row)), (_("Version"), _versions(row)))
        more = facts(
            (_("Failed attempts"), row.attempts or None),
            (_("Sent next at"), moment(row.due_at)),
            (_("Waiting since"), moment(row.waiting_since)),
            (_("Last in step"), moment(row.synced_at)),
            (_("Batch limit"), row.batch_limit),
            (_("Run"), numbered_link(row.run)),
            (_("Source"), source_text(row)),
            (_("Created"), moment(row.created_at)),
        )
        return [*state, *error_facts(row.error_code, said_of(row)), *more]

    def page_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        """The latest calls that carried this row."""
        if not may_view(request, models.ApiCall):
            return []
        more = list_link(
            _("All results of this record"), models.RecordResult, **{f"{_result_field(row)}__id__exact": row.pk}
        )
        return [latest_calls(row.results, more, page_of_history(request))]

    def _origin_notice(self, request: HttpRequest, row: Any) -> Any:
        """Where a row that isn't made by hand comes from, and what that means for who wants to change it."""
        if row.is_source_owned:
            return format_html(
                _("A source of this site owns this record. Change it there, not here: {}."),
                self._link_to_source(request, row),
            )
        if is_detached(row):
            return self.detached_notice
        return ""

    def _link_to_source(self, request: HttpRequest, row: Any) -> SafeString | str:
        """The source object's own admin page, where the site has one and this user may open it."""
        text = source_text(row)
        try:
            model = apps.get_model(row.source_type)
            source_admin = self.admin_site.get_model_admin(model)
        except (LookupError, ValueError, NotRegistered):
            return text
        if not source_admin.has_view_or_change_permission(request):
            return text
        view = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        url = reverse(view, args=[quote(row.source_id)], current_app=self.admin_site.name)
        return format_html('<a href="{}">{} {}</a>', url, model._meta.verbose_name, row.source_id)


def page_of_history(request: HttpRequest) -> int | None:
    """The result below which a page of a record's calls begins; None for the newest ones."""
    before = request.GET.get(BEFORE, "")
    return int(before) if re.fullmatch("[0-9]{1,18}", before) else None


def latest_calls(results: Any, more: SafeString | None = None, before: int | None = None) -> Table:
    """The calls of these results, the newest first, from the one below `before` on. `more` leads to all of them."""
    bare = results.select_related("call").defer(*(f"call__{name}" for name in CALL_BODIES)).order_by("-id")
    if before is not None:
        bare = bare.filter(pk__lt=before)
    found = list(bare[: LATEST_CALLS + 1])
    shown = found[:LATEST_CALLS]
    links = [format_html('<a href="?">{}</a>', _("The newest calls"))] if before is not None else []
    if len(found) > LATEST_CALLS:
        links.append(format_html('<a href="?{}={}">{}</a>', BEFORE, shown[-1].pk, _("Older calls")))
    empty = _("No older call has carried it.")
    if before is None and not shown:
        empty = " ".join([_("No call on the record has carried it."), *why_no_calls()])
    return Table(
        title=_("Latest calls"),
        headings=[
            _("Call"),
            _("Started"),
            _("Endpoint"),
            _("Call's state"),
            _("Outcome of this record"),
            _("Version"),
            _("Error"),
        ],
        rows=[
            [
                numbered_link(result.call),
                moment(result.call.started_at),
                result.call.get_endpoint_display(),
                call_badge(result.call),
                badge(result.outcome, result.get_outcome_display()),
                result.version,
                problem(result.code, said_of_one(result.message)),
            ]
            for result in shown
        ],
        empty=empty,
        more=format_html_join(" · ", "{}", ((each,) for each in [*links, more] if each)),
    )


def memberships_table(
    title: str,
    memberships: Iterable[models.ListMembership],
    *,
    empty: str,
    more: SafeString | None,
    linked: Callable[[Any, Any], Any] = link,
) -> Table:
    """Where each of these memberships stands. `linked` makes the link from a membership to its page."""
    return Table(
        title=title,
        headings=[_("List"), _("Should be a member"), _("State"), _("Last in step"), _("Error")],
        rows=[
            [
                linked(membership, membership.customer_list),
                _("Yes") if membership.is_member else _("No"),
                state_badge(membership),
                moment(membership.synced_at),
                problem(membership.error_code, membership.error_message),
            ]
            for membership in memberships
        ],
        empty=empty,
        more=more,
    )


def like(row: Any) -> dict[str, str]:
    """The filter for records with the same problem; for those that failed by its cause, which has an index."""
    if row.error_cause:
        return {"error_cause__exact": row.error_cause}
    return {"state__exact": row.state, "error_code__exact": row.error_code}


def is_hand_made(row: Any) -> bool:
    return row.source_type is None and row.source_id is None


def is_detached(row: Any) -> bool:
    """Whether the row had a source object that is gone."""
    return row.source_type is not None and row.source_id is None


def source_text(row: Any) -> str:
    if is_hand_made(row):
        return _("By hand")
    if is_detached(row):
        return _("%(source)s, deleted") % {"source": row.source_type}
    return f"{row.source_type} {row.source_id}"


def _versions(row: Any) -> str:
    if row.version == row.synced_version:
        return _("%(version)s, the one that Blueshift has") % {"version": row.version}
    if not row.synced_version:
        return _("%(version)s; Blueshift has none yet") % {"version": row.version}
    return _("%(version)s; Blueshift has %(synced)s") % {"version": row.version, "synced": row.synced_version}


def _result_field(row: Any) -> str:
    return "membership" if isinstance(row, models.ListMembership) else "customer"
