"""A call as it went over the wire: its bodies for people to read, and the command that makes it again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from django.db.models.functions import Left, Length
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..models import ApiCall

#: Characters of a body that a page shows: an answer may have four million.
SHOWN = 100_000
#: Levels of a body that are indented.
DEEPEST = 40
#: Parts of a body that are coloured; one that has more is shown as it is.
LARGEST = 20_000
INDENT = "  "
OPENING, CLOSING = frozenset("{["), frozenset("}]")
#: Where the key belongs in a command.
KEY_PLACEHOLDER = "$BLUESHIFT_API_KEY"
#: The file that a command reads a body from that isn't in it.
BODY_FILE = "body.json"

#: Headers that hold secrets. They are masked before they are stored; should one not be, it is masked here.
_SECRETS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
#: Headers that curl makes itself.
_MADE_BY_CURL = frozenset({"accept-encoding", "connection", "content-length", "host", "user-agent"})

_PART = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*+(?:"|\Z))|(?P<number>-?\d[\d.eE+-]*+)|(?P<word>true|false|null)'
    r"|(?P<mark>[{}\[\],:])|(?P<space>[ \t\r\n]++)|(?P<rest>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Body:
    """The first `SHOWN` characters of a body, and how many it has."""

    text: str
    length: int

    @property
    def is_cut(self) -> bool:
        return self.length > len(self.text)


def bodies_of(call: ApiCall) -> tuple[Body, Body]:
    """The request's and the response's body, read no further than they are shown."""
    columns = (part for name in ("request_body", "response_body") for part in (Left(name, SHOWN), Length(name)))
    request, sent, response, received = ApiCall.objects.values_list(*columns).get(pk=call.pk)
    return Body(request, sent), Body(response, received)


def masked(headers: Any) -> list[tuple[str, Any]]:
    """The headers as they were stored, without secrets."""
    if not isinstance(headers, Mapping):
        return []
    return [(name, "***" if _is_bare_secret(name, value) else value) for name, value in headers.items()]


def _is_bare_secret(name: str, value: Any) -> bool:
    return name.lower() in _SECRETS and "***" not in str(value)


# Reading a body


def coloured(body: Body) -> SafeString | str:
    """A body of JSON, indented and coloured, one that was cut as far as it goes; empty where it is no JSON."""
    if not body.is_cut:
        try:
            json.loads(body.text)
        except (ValueError, RecursionError):
            return ""
    elif not body.text.lstrip().startswith(("{", "[")):
        return ""
    try:
        return format_html_join("", "{}", ((piece,) for piece in _pieces(body.text)))
    except _NoJson:
        return ""


class _NoJson(Exception):  # noqa: N818 - a finding, not a fault
    """It isn't JSON after all, or more than a page should be asked to show."""


def _pieces(text: str) -> Iterator[SafeString | str]:
    """What stands on the page. The values stay as they are written, but for characters that are written as numbers."""
    depth = 0
    parts = list(islice(_parts(text), LARGEST))
    if len(parts) == LARGEST:
        raise _NoJson
    for (kind, part), (_kind, following) in pairwise([*parts, ("end", "")]):
        ends = following in CLOSING
        if kind == "rest" or depth > DEEPEST:
            raise _NoJson
        if kind == "mark":
            depth += part in OPENING
            breaks = part == "," or (part in OPENING and not ends)
            yield f"{part}{_line(depth)}" if breaks else f"{part} " if part == ":" else part
        else:
            is_key = kind == "string" and following == ":"
            yield format_html('<span class="bsync-{}">{}</span>', "key" if is_key else kind, _readable(kind, part))
        if ends:
            depth = max(0, depth - 1)
            if part not in OPENING:
                yield _line(depth)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a JSON text: what they are, and how they are written."""
    return ((found.lastgroup or "", found[0]) for found in _PART.finditer(text) if found.lastgroup != "space")


def _line(depth: int) -> str:
    return f"\n{INDENT * depth}"


def _readable(kind: str, part: str) -> str:
    if kind != "string" or "\\u" not in part:
        return part
    try:
        text = json.dumps(json.loads(part), ensure_ascii=False)
        text.encode()  # half a character can't be shown
    except ValueError:
        return part
    return text


# Making it again


def curl(call: ApiCall, body: Body | None) -> str:
    """The command that makes the call again, for a shell, with a variable in place of the key.

    `body` None or cut: the command reads it from a file.
    """
    words = [f"curl --request {shlex.quote(call.method)}", f'--user "{KEY_PLACEHOLDER}:"']
    words += [
        f"--header {shlex.quote(f'{name}: {value}')}"
        for name, value in masked(call.request_headers)
        if name.lower() not in _SECRETS | _MADE_BY_CURL
    ]
    if body is None or body.is_cut:
        words.append(f"--data-binary @{BODY_FILE}")
    elif body.text:
        words.append(f"--data-raw {shlex.quote(body.text)}")
    return " \\\n  ".join([*words, shlex.quote(call.url)])
