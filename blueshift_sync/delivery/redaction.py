"""Masking the customer fields that the setting REDACT names, in everything that the audit keeps.

They are sent in full. In stored bodies their values are masked wherever they stand: in the request, and in an answer
that repeats them, be it in a field or in the middle of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

from ..client import Request
from ..conf import app_settings

MASK = "***"
#: Shorter values are masked in their own field only: replaced inside a sentence they would garble it and hide nothing.
SHORTEST_IN_TEXT = 3


class Redaction:
    """The masking for one request: which names, and which values they have in it."""

    def __init__(self, names: frozenset[str], values: frozenset[str]) -> None:
        self._names = names
        # Longest first, so that no value is masked in part because a shorter one is contained in it.
        self._values = sorted(filter(_is_telling, values), key=len, reverse=True)

    @classmethod
    def of(cls, payload: Mapping[str, Any] | None) -> Self:
        """The masking that the settings ask for in a request that carries this, and in its answer."""
        names = frozenset(app_settings().REDACT)
        return cls(names, frozenset(_texts_under(names, payload)) if names else frozenset())

    def of_request(self, request: Request) -> str:
        """The body as it was sent, but for the masked values."""
        if request.payload is None:
            return ""
        if not self._names:
            return (request.body or b"").decode("ascii")
        return json.dumps(self._masked(request.payload), separators=(",", ":"))

    def of_response(self, body: str) -> str:
        """The answer as it was received, but for the masked values."""
        if not self._names:
            return body
        try:
            masked = json.dumps(self.of_json(json.loads(body)), separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            return self.of_text(body)
        return masked.encode("utf-8", errors="backslashreplace").decode()  # half a character only was an escape before

    def of_json(self, value: Any) -> Any:
        """A JSON value with the named fields masked, and the masked values in its texts."""
        return self._in_texts(self._masked(value)) if self._names else value

    def of_text(self, text: str) -> str:
        """`text` with every masked value in it replaced."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def _in_texts(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._in_texts(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [self._in_texts(entry) for entry in value]
        return self.of_text(value) if isinstance(value, str) else value

    def _masked(self, value: Any, *, secret: bool = False) -> Any:
        if isinstance(value, dict):
            hidden = value.get("identifier_key") in self._names
            return {
                name: self._masked(
                    entry, secret=secret or name in self._names or (hidden and name == "identifier_values")
                )
                for name, entry in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._masked(entry, secret=secret) for entry in value]
        return MASK if secret and value is not None else value


def _is_telling(value: str) -> bool:
    return len(value) >= SHORTEST_IN_TEXT


def _texts_under(names: frozenset[str], value: Any, *, secret: bool = False) -> Iterator[str]:
    """Every text, wherever it stands, that belongs to one of `names`."""
    if isinstance(value, dict):
        hidden = value.get("identifier_key") in names
        for name, entry in value.items():
            yield from _texts_under(
                names, entry, secret=secret or name in names or (hidden and name == "identifier_values")
            )
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts_under(names, entry, secret=secret)
    elif secret and isinstance(value, str) and value:
        yield value
