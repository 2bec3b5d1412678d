"""A page with the calls that would carry some records, and whether the mirror is behind the site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import services
from ..client import Request
from ..conf import app_settings
from ..models import Customer
from ..services import Selection
from .changelists import ModelAdmin
from .display import Table, indented_json, link, preformatted

JOINED = ("customer", "customer_list")


def preview_page(model_admin: ModelAdmin, request: HttpRequest, selection: Selection) -> HttpResponse:
    """The first of the selected records, as many as one call of customers may carry."""
    limit = app_settings().CUSTOMERS_PER_CALL
    rows = selection.rows if selection.model is Customer else selection.rows.select_related(*JOINED)
    records = list(rows.order_by("pk")[: limit + 1])
    shown = records[:limit]
    found = services.preview(shown)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("What would be sent"),
        "media": model_admin.media,
        "back": link(shown[0]) if len(records) == 1 else "",
        "is_cut": len(records) > limit,
        "limit": limit,
        "calls": [_call(call) for call in found.calls],
        "tables": [*_left_out(found.left_out), *_behind(found.behind)],
        "is_up_to_date": any(record.is_source_owned for record in shown) and not found.behind,
    }
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
