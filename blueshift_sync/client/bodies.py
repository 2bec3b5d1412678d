"""Reads bodies of any kind into values and sentences that are safe to show and to store."""

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

#: Characters of a message, and of a text inside stored details.
MESSAGE_LENGTH: Final = 1000
_CODE_LENGTH: Final = 64
_DEPTH: Final = 8
_ITEMS: Final = 50

#: The keys under which Blueshift puts what it has to say; others are names of fields.
_ENVELOPE: Final = ("message", "error", "errors", "title", "detail", "error_data")
#: Keys beside them that say nothing to a person.
_SILENT: Final = ("status", "success")


class Unreadable(Exception):  # noqa: N818 - a finding, not a fault
    """What was received proves nothing. `code` is a machine's word, the text a sentence."""

    def __init__(self, sentence: str, code: str = "unreadable_answer") -> None:
        super().__init__(sentence)
        self.code = code


def read_json(body: bytes) -> Any:
    """The value of a JSON body. Raises Unreadable for all else: empty, HTML, cut, NaN, a name given twice."""
    if not body.strip():
        raise Unreadable("The answer is empty, which proves nothing.")
    try:
        return json.loads(body, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # the latter: nested too deeply
        raise Unreadable("The answer is not readable JSON, which proves nothing.") from None


def read_message(body: bytes) -> str:
    """What an error body says, in one sentence of at most 1000 characters; "" if it says nothing.

    Takes all the shapes that Blueshift and the gateways before it have been seen to use: `message`, `error`, `errors`
    as a list or by field, `title` and `detail`, plain text, an HTML page (its title).
    """
    try:
        value = read_json(body)
    except Unreadable:
        return _text_message(body)
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key in _ENVELOPE}
    return to_sentence(value)


def to_sentence(value: Any) -> str:
    """All texts inside `value`, each after the name of its field, in one line; "" if there is none."""
    return printable("; ".join(islice(_phrases(value, _DEPTH), _ITEMS)))


def printable(text: str, length: int = MESSAGE_LENGTH) -> str:
    """`text` in one line of at most `length` characters, without control and formatting characters."""
    visible = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    line = " ".join(visible.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def to_code(name: str, default: str) -> str:
    """`name` as a machine's word of a-z, 0-9 and "_", at most 64 characters; `default` if nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "_", name[:MESSAGE_LENGTH].lower()).strip("_")[:_CODE_LENGTH] or default


def storable(value: Any, depth: int = _DEPTH) -> Any:
    """`value` as any database's JSON column takes it.

    Texts lose NUL and lone surrogates; what is too long, too wide, too deep or too large a number is cut or
    becomes text.
    """
    if isinstance(value, str):
        return re.sub("[\x00\ud800-\udfff]", "\ufffd", value[:MESSAGE_LENGTH])
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)[:MESSAGE_LENGTH]
    if isinstance(value, dict | list) and depth == 0:
        return "…"
    if isinstance(value, dict):
        return {storable(key): storable(item, depth - 1) for key, item in islice(value.items(), _ITEMS)}
    if isinstance(value, list):
        return [storable(item, depth - 1) for item in value[:_ITEMS]]
    return value


def _phrases(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        text = printable(value)
        if text:
            yield text
    elif depth and isinstance(value, list):
        for item in value:
            yield from _phrases(item, depth - 1)
    elif depth and isinstance(value, dict):
        for key, item in value.items():
            prefix = "" if key in _ENVELOPE else f"{printable(key)}: "
            if key not in _SILENT:
                yield from (prefix + phrase for phrase in _phrases(item, depth - 1))


def _text_message(body: bytes) -> str:
    """What a body that isn't JSON says. Cut JSON says nothing: it may hold customers' data."""
    text = body[: 4 * MESSAGE_LENGTH].decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        return printable(f"an HTML page, {title[1]}") if title and title[1].strip() else "an HTML page"
    return "" if text.startswith(("{", "[", '"')) else printable(text, 200)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name is given twice")
    return values
