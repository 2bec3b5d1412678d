"""Taking one person out of a stored call: out of its request, its answer and its error.

What the call carried of others stays as it is, and bodies of JSON stay JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..client.matching import match
from .redaction import MASK, SHORTEST_IN_TEXT

#: What stands where a personal value stood.
ERASED = "[erased]"
#: What stands where a person's own object stood.
ERASED_PART = {"erased": True}
IDENTIFIERS = ("customer_id", "email", "uuid")
#: A shorter number is in many a sentence, and seldom means somebody.
SHORTEST_NUMBER = 5
_BETWEEN_WORDS = re.compile(r"[\s\"'<>()\[\]{},;=]+")


class PersonInCall:
    """One person's part of a call. It is known by the positions of its records, and by what is said of it there."""

    def __init__(self, request_body: str, positions: Collection[int], identifiers: Iterable[str]) -> None:
        """`identifiers` are what the person is called besides, in any case of letters."""
        self._request = _json_of(request_body)
        self._sent = _parts(self._request)
        self._positions = [position for position in positions if position < len(self._sent)]
        own = [self._sent[position] for position in self._positions]
        others = [part for position, part in enumerate(self._sent) if position not in self._positions]
        identifiers = {*filter(None, identifiers), *(name for part in own for name in _names(part))}
        self._own_names = set(map(_key, identifiers))
        self._other_names = {_key(name) for part in others for name in _names(part)} - self._own_names
        of_others = {_key(word) for part in others for word in _words(part)}
        words = {word for part in own for word in _words(part) if _key(word) not in of_others} | identifiers
        self._words = {word for word in words if _is_telling(word) or not others} - {MASK, ERASED}
        self._pattern = _pattern(self._words)

    def of_request(self, body: str) -> str:
        """The request without the person."""
        if not body or not self._positions:
            return body
        return json.dumps(_without(self._request, self._positions), separators=(",", ":"))

    def of_response(self, body: str) -> str:
        """The answer without the person."""
        answer = _json_of(body)
        if answer is None:
            return self.of_text(body)
        exact = self._of_bulk_answer(answer)
        erased = self._erased(answer) if exact is None else exact
        return body if erased == answer else _answer_of(erased)

    def of_text(self, text: str) -> str:
        """A sentence without the person's values."""
        return self._pattern.sub(ERASED, text) if self._pattern else text

    def _of_bulk_answer(self, answer: Any) -> Any:
        """`customers/bulk` repeats the customers that it refuses, in step with their errors. None for other answers."""
        if not isinstance(answer, dict) or not isinstance(answer.get("customers"), list):
            return None
        echoes, errors = answer["customers"], answer.get("errors")
        positions = match(self._sent, echoes)
        if positions is None or not isinstance(errors, list) or len(errors) != len(echoes):
            return None
        own = {echo for echo, position in enumerate(positions) if position in self._positions}
        return {
            **answer,
            "customers": [ERASED_PART if at in own else echo for at, echo in enumerate(echoes)],
            "errors": [_without_data(error) if at in own else error for at, error in enumerate(errors)],
        }

    def _erased(self, value: Any, *, is_entry: bool = False) -> Any:
        """Leaves alone what names others and not the person."""
        if isinstance(value, str):
            return self.of_text(value)
        if not isinstance(value, dict | list):
            return value
        named = set(_named_in(value))
        is_own, is_others = not self._own_names.isdisjoint(named), not self._other_names.isdisjoint(named)
        if is_others and not is_own:
            return value
        if is_own and not is_others and (is_entry or _is_customer(value)):
            return ERASED_PART
        if isinstance(value, list):
            return [self._erased(entry, is_entry=True) for entry in value]
        return {self.of_text(name): self._erased(entry) for name, entry in value.items()}


def positions_of(request_body: str, identifiers: Collection[str]) -> list[int]:
    """At which positions of a request somebody stands who is called one of these."""
    wanted = {_key(name) for name in identifiers if name}
    return [at for at, part in enumerate(_parts(_json_of(request_body))) if not wanted.isdisjoint(_names(part))]


def _json_of(body: str) -> Any:
    """The value of the body; None where it is no JSON, or null."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _answer_of(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", errors="backslashreplace").decode()  # half a character only was an escape before


def _parts(request: Any) -> list[Any]:
    """What a request carries of each record, by position."""
    if not isinstance(request, dict):
        return []
    for name in ("customers", "identifier_values"):
        if isinstance(request.get(name), list):
            return list(request[name])
    return [request]  # the removal of one customer


def _without(request: Mapping[str, Any], positions: Collection[int]) -> Any:
    for name, instead in (("customers", ERASED_PART), ("identifier_values", ERASED)):
        if isinstance(request.get(name), list):
            parts = [instead if at in positions else part for at, part in enumerate(request[name])]
            return {**request, name: parts}
    return dict.fromkeys(request, ERASED)


def _without_data(error: Any) -> Any:
    """What remains of one error is its status."""
    return {**ERASED_PART, "status": error["status"]} if isinstance(error, dict) and "status" in error else ERASED_PART


def _names(part: Any) -> set[str]:
    """By what a part says who it is of."""
    named = {str(part[name]) for name in IDENTIFIERS if part.get(name)} if isinstance(part, dict) else {str(part)}
    return named - {MASK, ERASED}


def _key(text: str) -> str:
    return text.strip(" .:!?").casefold()


def _is_customer(value: Any) -> bool:
    return isinstance(value, dict) and any(value.get(name) for name in IDENTIFIERS)


def _named_in(value: Any, *, is_identifier: bool = False) -> Iterator[str]:
    """Whatever could be an identifier, as `_key` has it: telling words of every text, and what stands as one."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _named_in(name)
            yield from _named_in(entry, is_identifier=name in IDENTIFIERS)
    elif isinstance(value, list):
        for entry in value:
            yield from _named_in(entry)
    elif is_identifier:
        yield _key(str(value))
    elif isinstance(value, str):
        yield from (_key(word) for word in (value, *_BETWEEN_WORDS.split(value)) if _is_telling(word))


def _words(part: Any) -> Iterator[str]:
    """Every value of a part, as an answer would write it."""
    if isinstance(part, dict):
        for entry in part.values():
            yield from _words(entry)
    elif isinstance(part, list):
        for entry in part:
            yield from _words(entry)
    elif part is not None and not isinstance(part, bool):
        yield str(part)


def _is_telling(word: str) -> bool:
    """Whether the word says by itself whose it is: "7" and "422" in a sentence may be anything."""
    return len(word) >= (SHORTEST_NUMBER if word.isdecimal() else SHORTEST_IN_TEXT)


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds the words, whole and in any case of letters, the longest first."""
    wanted = sorted(filter(None, (word.strip() for word in words)), key=len, reverse=True)
    if not wanted:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)", re.IGNORECASE)
