"""Answers are JSON, whatever the client or the site's settings prefer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

Renderer = TypeVar("Renderer", bound=BaseRenderer)


class AsciiJSONRenderer(JSONRenderer):
    """Escapes everything beyond ASCII: Blueshift's answers may hold text that has no UTF-8 form."""

    ensure_ascii = True
    compact = True


class FirstRenderer(DefaultContentNegotiation):
    """Always answers in the view's first format, so that `?format=` is a parameter like any unknown one."""

    def select_renderer(
        self, request: Request, renderers: Iterable[Renderer], format_suffix: str | None = None
    ) -> tuple[Renderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
