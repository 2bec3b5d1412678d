"""A page with the calls that would carry some records, and whether the mirror is behind the site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import services
from ..client import Request
from ..conf import app_settings
from ..models import Customer, ListMembership
from ..services import AnySelection
from .display import Table, indented_json, link, preformatted

JOINED = ("customer", "customer_list")


def preview_page(
    asking: Any, request: HttpRequest, selection: AnySelection, kinds: Sequence[type[Customer] | type[ListMembership]]
) -> HttpResponse:
    """The first records of these kinds that the selection leads to, as many as one call of customers may carry."""
    limit = app_settings().CUSTOMERS_PER_CALL
    context: dict[str, Any] = {"calls": [], "tables": []}
    left_out, behind, found, is_cut = [], [], [], False
    for kind in kinds:
        rows = services.first_records(selection, kind, limit + 1)
        records = list(rows if kind is Customer else rows.select_related(*JOINED))
        is_cut = is_cut or len(records) > limit
        shown = services.preview(records[:limit])
        found += records[:limit]
        context["calls"] += [_call(call) for call in shown.calls]
        left_out += shown.left_out
        behind += shown.behind
    context |= {
        **asking.admin_site.each_context(request),
        "opts": asking.opts,
        "title": _("What would be sent"),
        "media": asking.media + Media(css={"all": ["blueshift_sync/admin.css"]}),
        "back": link(found[0]) if len(found) == 1 and selection.model is type(found[0]) else "",
        "is_cut": is_cut,
        "limit": limit,
        "tables": [*_left_out(left_out), *_behind(behind)],
        "is_up_to_date": any(record.is_source_owned for record in found) and not behind,
    }
    request.current_app = asking.admin_site.name
    return TemplateResponse(request, "blueshift_sync/admin/preview.html", context)


def _call(call: Request) -> dict[str, str]:
    query = "".join(f"?{name}={value}" for name, value in call.query.items())
    return {
        "line": f"{call.method} {call.path}{query}",
        "indented": indented_json(call.payload),
        "raw": (call.body or b"").decode("ascii"),
    }


def _left_out(left_out: Sequence[tuple[Any, str]]) -> list[Table]:
    if not left_out:
        return []
    return [
        Table(
            title=_("Not sent as it is now"),
            headings=[_("Record"), _("Why")],
            rows=[[link(record), reason] for record, reason in left_out],
            empty="",
        )
    ]


def _behind(changes: Sequence[Any]) -> list[Table]:
    if not changes:
        return []
    return [
        Table(
            title=_("The mirror is behind the site"),
            headings=[_("Object"), _("Field"), _("The mirror says"), _("The site says now")],
            rows=[
                [change.source_id or "", name, _value(before), _value(after)]
                for change in changes
                for name, (before, after) in (change.differences or {_("all of it"): (None, change.kind)}).items()
            ],
            empty="",
        )
    ]


def _value(value: Any) -> Any:
    return _("nothing") if value is None else preformatted(indented_json(value))
