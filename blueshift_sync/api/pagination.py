"""Pages of any depth at the cost of the first: each goes on after the last row of the one before.

Rows are neither counted nor skipped. DRF's own cursor pagination does that too, but loses rows where a
thousand share one value of the ordering field, and fails on empty values.
"""

from __future__ import annotations

from typing import Any

from django.core import signing
from django.db.models import F, Field, Q, QuerySet
from django.db.models.expressions import OrderBy
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from .filters import TEXT_PATTERN, texts_of


class Ordering:
    """Rows by one field, up or (with "-") down, then by primary key. Rows without a value come last."""

    def __init__(self, text: str, model: Any) -> None:
        self.text = text
        self.down = text.startswith("-")
        self.field: Field[Any, Any] = model._meta.get_field(text.removeprefix("-"))

    def sort(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.order_by(self._by(self.field.name), "-pk" if self.down else "pk")

    def _by(self, name: str) -> OrderBy:
        # An index serves an ordering only if it says nothing of empty values where there can't be any.
        nulls_last = True if self.field.null else None
        if self.down:
            return F(name).desc(nulls_last=nulls_last)
        return F(name).asc(nulls_last=nulls_last)

    def place_of(self, row: Any) -> list[Any]:
        """Where a row stands, as JSON."""
        empty = getattr(row, self.field.attname) is None
        return [self.text, None if empty else self.field.value_to_string(row), row.pk]

    def after(self, value: str | None, pk: int) -> Q:
        """The rows that come after a place."""
        name, later = self.field.name, "lt" if self.down else "gt"
        later_pk = Q(**{f"pk__{later}": pk})
        if value is None:
            return Q(**{f"{name}__isnull": True}) & later_pk
        given = self.field.to_python(value)
        # The first part repeats what the second implies: it is the one for which databases use an index.
        behind = Q(**{f"{name}__{later}e": given}) & (Q(**{f"{name}__{later}": given}) | later_pk)
        return behind | Q(**{f"{name}__isnull": True}) if self.field.null else behind


class KeysetPagination(BasePagination):
    """`?page_size=`, `?ordering=` (one of the view's `ordering_fields`) and `?cursor=`, made by this class."""

    parameters = ("ordering", "page_size", "cursor")
    page_size = 100
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        texts = texts_of(request.query_params)
        size = self._size(texts.get("page_size"))
        ordering = self._ordering(texts.get("ordering"), view)
        if cursor := texts.get("cursor"):
            queryset = queryset.filter(self._after(cursor, ordering))
        rows = list(ordering.sort(queryset)[: size + 1])
        page = rows[:size]
        self._next = self._link(request, ordering, page[-1]) if len(rows) > size else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next, "results": data})

    def _size(self, text: str | None) -> int:
        if text is None:
            return self.page_size
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= self.max_page_size:
            return int(text)
        raise ValidationError({"page_size": [f"The page size is a whole number from 1 to {self.max_page_size}."]})

    def _ordering(self, text: str | None, view: Any) -> Ordering:
        if text is not None and text.removeprefix("-") not in view.ordering_fields:
            fields = ", ".join(view.ordering_fields)
            raise ValidationError(
                {"ordering": [f"Rows can't be ordered by “{text}”. Use one of {fields}; with - before it, downwards."]}
            )
        return Ordering(text or view.ordering, view.get_queryset().model)

    def _link(self, request: Request, ordering: Ordering, last: Any) -> str:
        cursor = signing.dumps(ordering.place_of(last), salt=_salt(ordering))
        return replace_query_param(request.build_absolute_uri(), "cursor", cursor)

    def _after(self, cursor: str, ordering: Ordering) -> Q:
        try:
            text, value, pk = signing.loads(cursor, salt=_salt(ordering))
        except (signing.BadSignature, ValueError):
            text = None
        if text != ordering.text:
            raise NotFound({"cursor": ["There is no such page of this list in this ordering. Follow `next`."]})
        return ordering.after(value, pk)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {
                    "type": ["string", "null"],
                    "format": "uri",
                    "description": "The address of the next page; null on the last one.",
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        orderings = [prefix + name for name in view.ordering_fields for prefix in ("", "-")]
        schemas = {
            "ordering": {"type": "string", "enum": orderings, "default": view.ordering},
            "page_size": {
                "type": "integer",
                "minimum": 1,
                "maximum": self.max_page_size,
                "default": self.page_size,
            },
            "cursor": {"type": "string", "minLength": 1, "pattern": TEXT_PATTERN},
        }
        meanings = {
            "ordering": "By what the rows are ordered; with - before it, downwards.",
            "page_size": "Rows on a page.",
            "cursor": "Where the page starts. Don't make it up: follow `next`.",
        }
        return [
            {"name": name, "in": "query", "required": False, "description": meanings[name], "schema": schema}
            for name, schema in schemas.items()
        ]


def _salt(ordering: Ordering) -> str:
    """Binds a cursor to its model, so that it is refused elsewhere."""
    return f"blueshift_sync.api.{ordering.field.model._meta.model_name}"
