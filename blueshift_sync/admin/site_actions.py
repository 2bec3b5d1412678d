"""The actions that Blueshift adds to the lists of the site's own admin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..models import Customer, ListMembership
from ..services import ObjectSelection
from ..sources.mirrored import is_mirrored_as
from .actions import bare, is_across
from .bulk_actions import LISTS, SENDING, Kind, RecordActions

#: What the names of the actions begin with: the site's own are called otherwise.
PREFIX = "blueshift_"


class SiteActions(RecordActions):
    """What can be done to the records that mirror the objects of a list.

    It stands beside the site's `ModelAdmin`, so that no name of the site's is taken.
    """

    def __init__(self, model_admin: Any) -> None:
        self.model_admin = model_admin
        self.model = model_admin.model
        self.opts = model_admin.opts
        self.admin_site = model_admin.admin_site
        self.media = model_admin.media

    def allowed(self, request: HttpRequest) -> dict[str, tuple[Any, str, str]]:
        """Those that this user may take, as `ModelAdmin.get_actions` has them."""
        return {
            f"{PREFIX}{name}": (_action(name), f"{PREFIX}{name}", self.label_of(request, name))
            for name in (*SENDING, *LISTS)
            if any(self.has(request, permission) for permission in getattr(self, name).allowed_permissions)
        }

    def has(self, request: HttpRequest, permission: str) -> bool:
        return bool(self.kinds_for(request, permission))

    def kinds(self) -> Sequence[Kind]:
        return kinds_of(self.model)

    def selection(self, request: HttpRequest, queryset: QuerySet[Any]) -> ObjectSelection:
        return ObjectSelection(bare(queryset))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = self.model_admin.get_queryset(request)
        return found

    def label_of(self, request: HttpRequest, action: str) -> str:
        name = action.removeprefix(PREFIX)
        return _("Blueshift: %(action)s") % {"action": getattr(self, name).short_description}

    def ask(self, request: HttpRequest, selection: Any, *, action: str, **options: Any) -> Any:
        return super().ask(request, selection, action=f"{PREFIX}{action}", **options)

    def conditions(self, request: HttpRequest, *, naming_nobody: bool = False) -> list[tuple[str, str]]:
        """The filters that are set, and the search. What they are set to may name a person."""
        if not is_across(request):
            return []
        changelist = self.model_admin.get_changelist_instance(request)
        found = [
            (str(each.title), ", ".join(str(choice["display"]) for choice in _chosen(each, changelist)))
            for each in changelist.filter_specs
            if getattr(each, "used_parameters", None)
        ]
        if changelist.query:
            found.append((_("search"), changelist.query))
        return [(title, "…") for title, _value in found] if naming_nobody else found


def kinds_of(model: type[Model]) -> list[Kind]:
    """The records that objects of this model of the site can be mirrored by."""
    return [kind for kind in (Customer, ListMembership) if is_mirrored_as(kind, model)]


def _chosen(each: Any, changelist: Any) -> list[Any]:
    """What of a filter is chosen, where it has choices: a theme's own needn't."""
    return [choice for choice in each.choices(changelist) if choice.get("selected") and "display" in choice]


def _action(name: str) -> Any:
    def act(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        found: HttpResponse | None = getattr(SiteActions(model_admin), name)(request, queryset)
        return found

    return act
