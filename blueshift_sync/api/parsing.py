"""Request bodies: JSON that is JSON, and not too long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from .problems import TooLarge

#: Bytes of a body. 10,000 of the longest numbers take a fifth of it.
LONGEST_BODY = 1024 * 1024


class StrictJSONParser(BaseParser):
    """Takes no NaN, no name twice, and no more than a body may be long."""

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = stream.read(LONGEST_BODY + 1)
        if len(body) > LONGEST_BODY:
            raise TooLarge(f"The body is longer than {LONGEST_BODY:,} bytes. Choose rows by a filter instead.")
        try:
            data: dict[str, Any] = json.loads(
                body.decode(), parse_constant=_refuse, object_pairs_hook=_object, strict=True
            )
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body isn't JSON: {_reason(error)}.") from error
        return data


def _refuse(word: str) -> None:
    raise ValueError(f"there is no {word} in JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a name twice")
    return members


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it isn't UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error).partition(":")[0]
