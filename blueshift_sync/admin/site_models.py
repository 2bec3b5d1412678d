"""What Blueshift adds to the site's own admin pages: a column, a panel and actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import services
from ..models import ApiCall, Customer, ListMembership
from ..sources.mirrored import MirrorModel, is_mirrored_as, rows_of
from .actions import telling_errors
from .bulk_actions import RecordActions
from .changelists import ViewedAdmin
from .display import Fact, Table, badge, elapsed, facts, link, list_url, moment, problem, state_badge
from .django_actions import inherited_actions, is_for_a_list
from .mixins import latest_calls, memberships_table
from .permissions import may_view
from .site_actions import SiteActions, kinds_of

#: The names of the column and of the panel: the site's own are called otherwise.
COLUMN, PANEL = "blueshift_state", "blueshift_panel"
#: Memberships that an object's panel shows.
LISTS_SHOWN = 20
#: What stands beside an object while its page or its list is made.
_ROWS, _SHOWN = "_blueshift_rows", "_blueshift_shown"


class BlueshiftAdminMixin(ViewedAdmin):
    """For the admin of a model that has a source: `class UserAdmin(BlueshiftAdminMixin, BaseUserAdmin)`.

    It adds to what the other classes say, and brings no template of its own. So it goes with any theme, and may stand
    before or after other mixins. Each user sees of it what the permissions allow.
    """

    class Media:
        css = {"all": ["blueshift_sync/admin.css"]}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # import-export's method calls no other class's, so the two may stand in any order only if it is wrapped here.
        if process_result := getattr(self, "process_result", None):
            self.process_result = _capturing(process_result)

    # The list

    def get_list_display(self, request: HttpRequest) -> Any:
        """With the column at the end, or where the site's own `list_display` has it."""
        columns = super().get_list_display(request)
        if not self._kinds_to_view(request):
            return [column for column in columns if column != COLUMN]
        return columns if COLUMN in columns else [*columns, COLUMN]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        if kinds := self._kinds_to_view(request):
            _note_rows(list(changelist.result_list), kinds)
        return changelist

    @admin.display(description=gettext_lazy("Blueshift"))
    def blueshift_state(self, obj: Model) -> SafeString | str:
        """The states of the rows that mirror the object."""
        return _states(getattr(obj, _ROWS, None), is_customer=is_mirrored_as(Customer, type(obj)))

    # The object's page

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return [*fields, PANEL] if self._shows_panel(request, obj) and PANEL not in fields else fields

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if not self._shows_panel(request, obj):
            return fieldsets
        # Without fieldsets of its own, a page has one with all fields, of which the panel is one.
        others = [(title, {**options, "fields": _without_panel(options["fields"])}) for title, options in fieldsets]
        return [*others, (gettext_lazy("Blueshift"), {"fields": [PANEL]})]

    def render_change_form(  # noqa: PLR0917 - Django's signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if self._shows_panel(request, obj):
            setattr(obj, _SHOWN, _panel(request, obj, self._kinds_to_view(request)))
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description=gettext_lazy("In Blueshift"))
    def blueshift_panel(self, obj: Any) -> SafeString | str:
        """What the mirror says of the object."""
        return getattr(obj, _SHOWN, "")

    # The actions

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        actions = inherited_actions(super().get_actions, request, action_location)
        if is_for_a_list(action_location) and self.actions is not None and IS_POPUP_VAR not in request.GET:
            actions |= SiteActions(self).allowed(request)
        return actions

    # Who may do what

    def _kinds_to_view(self, request: HttpRequest) -> list[MirrorModel]:
        return [kind for kind in kinds_of(self.model) if may_view(request, kind)]

    def _shows_panel(self, request: HttpRequest, obj: Any) -> bool:
        return obj is not None and bool(self._kinds_to_view(request))


def _without_panel(fields: Iterable[Any]) -> list[Any]:
    return [field for field in fields if field != PANEL]


# Reading the mirror


def _note_rows(objects: Sequence[Model], kinds: Iterable[MirrorModel]) -> None:
    """Notes beside each object which rows mirror it, with one query for each kind."""
    found = [rows_of(_plain(kind), objects) for kind in kinds]
    for obj in objects:
        setattr(obj, _ROWS, [row for rows in found for row in rows.get(obj.pk, ())])


def _plain(kind: MirrorModel) -> QuerySet[Any]:
    """The rows without what only their own pages show."""
    if kind is Customer:
        return Customer.objects.defer("attributes", "subscription_groups")
    return ListMembership.objects.select_related("customer_list").defer("customer_list__description")


# What is shown


def _states(rows: Sequence[Any] | None, *, is_customer: bool) -> SafeString | str:
    """The badge of a customer, and how many memberships are in which state."""
    if rows is None:  # made by something else than the list
        return ""
    customers = [row for row in rows if isinstance(row, Customer)]
    memberships = [row for row in rows if isinstance(row, ListMembership)]
    shown = [_linked(row, state_badge(row)) for row in customers]
    if is_customer and not customers:
        shown.append(badge("", _("Not mirrored")))
    if len(memberships) == 1:
        shown.append(_linked(memberships[0], state_badge(memberships[0])))
    else:
        counts = Counter((row.state, row.get_state_display()) for row in memberships)
        shown += [badge(state, f"{label}: {count}") for (state, label), count in counts.items()]
    return format_html_join(" ", "{}", ((each,) for each in shown))


def _linked(row: Any, text: Any) -> Any:
    """A link to the row's page, where this site's admin has one."""
    try:
        return link(row, text)
    except NoReverseMatch:
        return text


def _panel(request: HttpRequest, obj: Model, kinds: Sequence[MirrorModel]) -> SafeString:
    _note_rows([obj], kinds)
    rows: list[Any] = getattr(obj, _ROWS)
    row = rows[0] if rows else None
    context = {"facts": _facts(obj, row), "tables": _tables(request, rows, kinds) if _has_pages() else []}
    return SafeString(render_to_string("blueshift_sync/admin/includes/panel.html", context))  # nosec B703  # it is a template, which escapes


def _has_pages() -> bool:
    """Whether the mirror has pages that can be linked to: the site may have an admin without them."""
    try:
        return bool(list_url(Customer))
    except NoReverseMatch:
        return False


def _facts(obj: Model, row: Any) -> list[Fact]:
    """Where the object's row stands."""
    if row is None:
        return facts((_("State"), _why_no_row(obj)))
    return facts(
        (_("State"), state_badge(row)),
        (_("Record"), _linked(row, row)),
        (_("Error"), problem(row.error_code, row.error_message)),
        (_("Waiting for"), elapsed(row.waiting_since)),
        (_("Sent next at"), moment(row.due_at)),
        (_("Last in step"), moment(row.synced_at)),
    )


def _why_no_row(obj: Model) -> str:
    if is_mirrored_as(Customer, type(obj)):
        text = _("Not mirrored: no save has told of this object yet. “%(action)s” captures it.")
        return text % {"action": RecordActions.push.short_description}
    return _("On no list.")


def _tables(request: HttpRequest, rows: Sequence[Any], kinds: Sequence[MirrorModel]) -> list[Table]:
    tables = []
    customers = [row for row in rows if isinstance(row, Customer)]
    if may_view(request, ListMembership) and (customers or len(rows) > 1):
        tables.append(_lists(customers, rows))
    if may_view(request, ApiCall) and rows:
        tables.append(latest_calls(rows[0].results))
    return tables


def _lists(customers: Sequence[Customer], rows: Sequence[Any]) -> Table:
    """The memberships of the customer; of an object that is none, its own."""
    memberships = [row for row in rows if isinstance(row, ListMembership)]
    if customers:
        of_customers = _plain(ListMembership).filter(customer__in=customers).order_by("-id")
        memberships = list(of_customers[: LISTS_SHOWN + 1])
    return memberships_table(
        _("Lists"),
        memberships[:LISTS_SHOWN],
        empty=_("On no list."),
        more=_linked(customers[0], _("All lists")) if customers and len(memberships) > LISTS_SHOWN else None,
        linked=_linked,
    )


# Imports


def _capturing(process_result: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """What import-export does at the end of an import, after the imported objects were captured.

    A resource with `use_bulk` saves them without telling anybody. Those that were noticed are compared, and left alone.
    """

    def capture_and_process(result: Any, request: HttpRequest) -> HttpResponse:
        imported = [row.instance for row in result.rows if row.is_new() or row.is_update()]
        known = [obj for obj in imported if obj is not None and obj.pk is not None]
        with telling_errors(request):
            services.capture(known)
        if len(known) < len(imported):
            messages.warning(request, _uncaptured(len(imported) - len(known)))
        return process_result(result, request)

    return capture_and_process


def _uncaptured(count: int) -> str:
    text = ngettext(
        "Blueshift isn't told of %(count)s imported object, as the database doesn't say which it is. "
        "“manage.py blueshift_backfill” finds it.",
        "Blueshift isn't told of %(count)s imported objects, as the database doesn't say which they are. "
        "“manage.py blueshift_backfill” finds them.",
        count,
    )
    return text % {"count": count}
