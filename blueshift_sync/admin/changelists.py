"""Lists over tables of millions of rows: nothing here counts, joins or reads more than a page needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Field, ForeignKey, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..delivery.causes import of_cause
from ..delivery.state_counts import GROUPS
from ..models import RecordResult
from ..models.state import HAS_CAUSE, HAS_CODE
from .display import name_of, said_of_one, shown_to
from .django_actions import inherited_actions

if TYPE_CHECKING:  # django-stubs makes them generic; Django itself doesn't
    ModelAdmin = admin.ModelAdmin[Any]
    BasePaginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    BasePaginator = Paginator


#: Rows that a search by a beginning finds: to sort half of a table takes long, and nobody reads it.
FOUND_AT_ONCE = 200
#: What stands beside a request whose search found more.
_IS_CUT = "_blueshift_search_is_cut"

#: Characters of a cause that its filter shows.
CAUSE_LENGTH = 80


class AtLeast(int):
    """A number of rows where counting stopped: it reads ">10000", and is 10000 to who calculates with it."""

    def __str__(self) -> str:
        return f">{int(self)}"


class BoundedPaginator(BasePaginator):
    """Counts no further than `bound`, so the cost of a page doesn't grow with the table."""

    bound = 10_000

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        counted = rows.order_by()[: self.bound + 1].count()
        return AtLeast(self.bound) if counted > self.bound else counted


class SlimChangeList(ChangeList):
    """Leaves out of its queries the columns that the admin names in `list_defer`."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        if "\x00" in "".join(chain.from_iterable(values for _name, values in request.GET.lists())):
            raise IncorrectLookupParameters("PostgreSQL has no text with NUL in it.")
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*self.model_admin.list_defer)  # type: ignore[attr-defined]

    def get_results(self, request: HttpRequest) -> None:
        self.search_help_text = self.model_admin.search_help()  # type: ignore[attr-defined]
        super().get_results(request)

    def condition(self, request: HttpRequest) -> Q:
        """What the filters and the search ask of a row, for one who looks for the rows later.

        A filter that asks for anything but its parameters says it in a method `condition()`.
        """
        found: Any = self.get_filters(request)
        filters, _has_filters, remaining, *_others = found
        where = build_q_object_from_lookup_parameters(remaining)
        for each in filters:
            where &= each.condition() if hasattr(each, "condition") else _parameters_as_condition(each)
        term = self.query.strip()
        return where & self.model_admin.search(term) if term else where  # type: ignore[attr-defined]

    def conditions(self, *, naming_nobody: bool = False) -> Iterator[tuple[str, str]]:
        """The filters that are set, and the search, as people read them: a title and a value each.

        `naming_nobody` for what is kept when a person is erased: rows by their numbers, and not what was searched for.
        """
        for each in self.filter_specs:
            if naming_nobody and isinstance(each, LinkedFilter) and each.has_output():
                yield str(each.title), each.value
                continue
            chosen = [choice["display"] for choice in each.choices(self) if choice["selected"]]
            if each.used_parameters and chosen:
                yield str(each.title), str(chosen[-1])
        if term := self.query.strip():
            yield _("search"), "…" if naming_nobody else term


def _parameters_as_condition(each: Any) -> Q:
    """What a filter of a field asks for by its parameters alone."""
    if not isinstance(each, admin.FieldListFilter):
        raise TypeError(f"{type(each).__name__} needs a method condition() that says what it asks for.")
    asked: dict[str, Any] = each.used_parameters
    return build_q_object_from_lookup_parameters(asked)


class LinkedFilter(admin.FieldListFilter):
    """Filters by the one value that a link carries, shows it, and lets it be removed.

    It offers no values to choose from, as finding them would read the whole table.
    """

    def __init__(  # noqa: PLR0917 - Django's signature
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: ModelAdmin,
        field_path: str,
    ) -> None:
        self.parameter = f"{field_path}__id__exact" if field.is_relation else f"{field_path}__exact"
        super().__init__(field, request, params, model, model_admin, field_path)

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def has_output(self) -> bool:
        return self.parameter in self.used_parameters

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {
            "selected": False,
            "query_string": changelist.get_query_string(remove=[self.parameter]),
            "display": _("All"),
        }
        yield {
            "selected": True,
            "query_string": changelist.get_query_string(),
            "display": self._chosen(),
        }

    @property
    def value(self) -> str:
        """What the link asks for, a row by its number."""
        values: Any = self.used_parameters[self.parameter]
        return f"#{values[-1]}" if isinstance(self.field, ForeignKey) else str(values[-1])

    def _chosen(self) -> str:
        if not isinstance(self.field, ForeignKey):
            return self.value
        row = self.field.related_model._base_manager.filter(pk=self.value.removeprefix("#")).first()
        return name_of(row) if row else self.value


class WaitsFor(admin.SimpleListFilter):
    """Of the records that wait, those whose turn will come, and those that have to wait for something else first."""

    ITS_TURN, SOMETHING_ELSE = "turn", "something_else"

    title = gettext_lazy("waits for")
    parameter_name = "waits_for"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [(self.ITS_TURN, _("Its turn")), (self.SOMETHING_ELSE, _("Something else"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.condition())

    def condition(self) -> Q:
        """What was chosen; of everything, if nothing was."""
        groups = {self.ITS_TURN: GROUPS["waiting"], self.SOMETHING_ELSE: GROUPS["parked"]}
        return groups.get(self.value() or "", Q())


class IndexedFilter(LinkedFilter):
    """Filters by a column whose index has only the rows that `within` is true of, and so has to be said too.

    Those are the rows where the column isn't empty.
    """

    within: Q

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        found = super().queryset(request, queryset)
        return found if found is None or not self._is_within() else found.filter(self.within)

    def condition(self) -> Q:
        asked = _parameters_as_condition(self)
        return asked & self.within if self._is_within() else asked

    def _is_within(self) -> bool:
        return self.has_output() and bool(self.value)


class CodeFilter(IndexedFilter):
    """Filters by the code of an error."""

    within = HAS_CODE


class CauseFilter(IndexedFilter):
    """Filters by what went wrong, and says it in the words of one of the rows."""

    within = HAS_CAUSE

    def _chosen(self) -> str:
        values: Any = self.used_parameters[self.parameter]
        columns = ("code", "message") if self.field.model is RecordResult else ("error_code", "error_message")
        rows = of_cause(self.field.model._default_manager.all(), values[-1])
        said = list(rows.values_list(*columns)[:1])
        if not said:
            return _("Nothing any more")
        code, message = said[0]
        return Truncator(": ".join(filter(None, (code, said_of_one(message))))).chars(CAUSE_LENGTH)


class ViewedAdmin(ModelAdmin):
    """Its pages know who looks at them, so that they have no links that lead nowhere for him."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown_to(request)
        return super().changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        shown_to(request)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        shown_to(request)
        return super().delete_view(request, object_id, extra_context)


class LargeListAdmin(ViewedAdmin):
    """A list of a large table. Subclasses say in `search` what a search term means, by indexed columns only."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    list_defer: tuple[str, ...] = ()
    empty_value_display = "–"

    class Media:
        css = {"all": ["blueshift_sync/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SlimChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the filters themselves use.

        Django allows any lookup of the model's own columns. `?request_body__contains=…` would read the whole table,
        and let somebody without the permission guess what bodies hold.
        """
        filters: Any = self.get_list_filter(request) if request else self.list_filter
        return any(lookup in _parameters_of(entry) for entry in filters)

    def get_ordering(self, request: HttpRequest) -> Any:
        """Of one cause the latest first, as its index has them."""
        if "error_cause__exact" in request.GET and hasattr(self.model, "failed_at"):
            return ("-failed_at", "-id")
        return super().get_ordering(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        shown_to(request)  # who fills in a form asks as well
        term = search_term.strip()
        if not term:
            return queryset, False
        where, is_cut = self.first_found(term)
        setattr(request, _IS_CUT, is_cut)
        return queryset.filter(where), False

    def first_found(self, term: str) -> tuple[Q, bool]:
        """As `search`, but no more rows than a list may sort; and whether there are more."""
        return self.search(term), False

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        paginator: Any = super().get_paginator(request, *args, **kwargs)
        if getattr(request, _IS_CUT, False):
            paginator.bound = min(paginator.bound, max(0, int(paginator.count) - 1))
            del paginator.count
        return paginator

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        if request.method == "GET" and getattr(request, _IS_CUT, False):
            text = _(
                "Very many begin like that: the list looks at the first %(number)s of them. Search for more of it."
            )
            messages.info(request, text % {"number": number_format(FOUND_AT_ONCE, force_grouping=True)})
        return response

    def search(self, term: str) -> Q:
        """The rows that `term`, which isn't empty, finds: here the one whose number it is."""
        return by_number(term)

    def search_help(self) -> Any:
        """What may be searched for, by who looks at the page."""
        return self.search_help_text

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Without "delete selected", which reads every row and all that hangs on it."""
        actions: dict[str, Any] = inherited_actions(super().get_actions, request, action_location)
        actions.pop("delete_selected", None)
        return actions


def _parameters_of(list_filter: Any) -> set[str]:
    """The query parameters that an entry of `list_filter` may use."""
    if isinstance(list_filter, type):
        return {list_filter.parameter_name}  # type: ignore[attr-defined]
    path = list_filter if isinstance(list_filter, str) else list_filter[0]
    return {f"{path}__exact", f"{path}__id__exact", f"{path}__isnull"}


NOTHING = Q(pk__in=[])


def first_beginning(model: type[Model], beginnings: dict[str, str]) -> tuple[list[Any], bool]:
    """The keys of the first rows of which a column begins like that, by its index; and whether there are more.

    `beginnings` are conditions as `name__startswith`.
    """
    found: dict[Any, None] = {}
    is_cut = False
    for condition, text in beginnings.items():
        column = condition.removesuffix("__startswith")
        rows = model._default_manager.filter(**{condition: text}).order_by(column).values_list("pk", flat=True)
        keys = list(rows[: FOUND_AT_ONCE + 1])
        is_cut = is_cut or len(keys) > FOUND_AT_ONCE
        found |= dict.fromkeys(keys[:FOUND_AT_ONCE])
    return list(found), is_cut


def by_number(term: str) -> Q:
    """The row whose number is written as "5" or "#5"."""
    number = re.fullmatch(r"#?([0-9]{1,18})", term)
    return Q(pk=int(number[1])) if number else NOTHING
