"""The endpoint that describes all of them."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from .endpoints import SCHEMA_IS_INSTALLED, Endpoint
from .filters import refuse_others
from .problems import NotInstalled


class SchemaView(Endpoint):
    """For whoever has logged in."""

    def permissions_needed(self) -> tuple[str, ...]:
        return ()

    def get(self, request: Request, **kwargs: Any) -> Response:
        refuse_others(request, ())
        if not SCHEMA_IS_INSTALLED:
            raise NotInstalled("The schema needs the package drf-spectacular: pip install 'blueshift-sync[schema]'.")
        from .openapi import document  # noqa: PLC0415 - an extra

        return Response(document(request.path.removesuffix("schema/")))
