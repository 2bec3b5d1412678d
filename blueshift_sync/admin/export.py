"""Lists as CSV: as many rows as there are, read by slices while they are sent."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Customer
from ..services import Selection
from .bulk import BulkAdmin
from .permissions import may_view

#: Rows read at a time.
SLICE = 1000
#: What spreadsheet programs take for the beginning of a formula.
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


class ExportAdmin(BulkAdmin):
    """Adds "Export as CSV", for who may view the list. `export_columns` are field names, over foreign keys too.

    Those of them that are `personal_columns` are for who may view customers.
    """

    export_columns: ClassVar[Sequence[str]] = ()
    personal_columns: ClassVar[frozenset[str]] = frozenset()

    @admin.action(permissions=["view"], description=gettext_lazy("Export as CSV"))
    def export(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | StreamingHttpResponse:
        self.check_permission(request, "view")
        columns = self.columns_to_export(request)
        selection = self.selection(request, queryset)
        if self.answered(request, always=True) is None:
            text = _("A file with one line for each, and these columns: %(columns)s.")
            return self.ask(
                request,
                selection,
                action="export",
                consequence=text % {"columns": ", ".join(columns)},
            )
        self.note(request, selection, "export")
        response = StreamingHttpResponse(lines(selection, columns), content_type="text/csv; charset=utf-8")
        name = f"blueshift-{self.opts.model_name}-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response

    def columns_to_export(self, request: HttpRequest) -> Sequence[str]:
        """Those of the columns that this user may see."""
        hidden = frozenset() if may_view(request, Customer) else self.personal_columns
        return [name for name in self.export_columns if name not in hidden]


class Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def lines(selection: Selection, columns: Sequence[str]) -> Iterator[str]:
    """The lines of the file, beginning with the columns' names, in the order of the rows' keys."""
    writer: Any = csv.writer(Echo())
    yield writer.writerow(columns)
    part = selection.whole
    while True:
        found = list(selection.part_of(part).order_by("pk").values_list("pk", *columns)[:SLICE])
        for pk, *values in found:
            part["after"] = pk
            yield writer.writerow([cell(value) for value in values])
        if len(found) < SLICE:
            return


def cell(value: Any) -> str:
    """A value as text that no spreadsheet program takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_BEGINS) else text
