"""Finds out which of the sent customers the echoed ones are.

`customers/bulk` echoes the customers that failed, without an index and not quite as they were sent: `customer_id: null`
was added in the documented example, and fields may come back changed or not at all. So a pair is taken only when
nothing else is possible, the best evidence first.
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

#: In the order in which they identify: e-mail addresses aren't unique in Blueshift.
_IDENTIFIERS: Final = ("customer_id", "email", "uuid")


class _Fit(IntEnum):
    """How well an echo fits a sent customer. The identifier that both have decides first, then the other fields."""

    OTHER_IDENTIFIER = 0
    NO_EVIDENCE = 1
    SOME_FIELDS = 2
    ALL_FIELDS = 3
    IDENTIFIER = 4
    IDENTIFIER_AND_SOME_FIELDS = 5
    IDENTIFIER_AND_ALL_FIELDS = 6


def match(sent: Sequence[Any], echoes: Sequence[Any]) -> list[int] | None:
    """The position in `sent` of each echo, all of them different; None if one echo can't be placed for certain.

    Echoes that fit the same customers equally well are placed only if there are as many of them, and then by position:
    every one of those customers failed. So are the echoes that fit nothing in particular if all customers failed.
    """
    if len(echoes) > len(sent):
        return None
    originals = [_comparable(record) for record in sent]
    copies = [_comparable(echo) for echo in echoes]
    fits = [[_fit(copy, original) for original in originals] for copy in copies]
    placed: dict[int, int] = {}
    free = set(range(len(sent)))
    for threshold in sorted(_Fit, reverse=True):
        if threshold >= _Fit.SOME_FIELDS:
            _place_certain(fits, threshold, placed, free)
    rest = [echo for echo in range(len(echoes)) if echo not in placed]
    if len(rest) == len(free):
        placed.update(zip(rest, sorted(free), strict=True))
    if len(placed) < len(echoes) or any(
        fits[echo][position] is _Fit.OTHER_IDENTIFIER for echo, position in placed.items()
    ):
        return None
    return [placed[echo] for echo in range(len(echoes))]


def _place_certain(fits: list[list[_Fit]], threshold: _Fit, placed: dict[int, int], free: set[int]) -> None:
    """Place the echoes whose customers, of those that fit at least so well, are as many as the echoes for them."""
    progress = True
    while progress:
        progress = False
        rivals: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for echo, row in enumerate(fits):
            if echo not in placed:
                rivals[tuple(position for position in sorted(free) if row[position] >= threshold)].append(echo)
        for positions, group in rivals.items():
            if positions and len(positions) == len(group) and free.issuperset(positions):
                placed.update(zip(group, positions, strict=True))
                free.difference_update(positions)
                progress = True


def _fit(echo: dict[str, Any], sent: dict[str, Any]) -> _Fit:
    common = next((name for name in _IDENTIFIERS if name in echo and name in sent), None)
    if common is not None and echo[common] != sent[common]:
        return _Fit.OTHER_IDENTIFIER
    identified = common is not None
    if echo == sent:
        return _Fit.IDENTIFIER_AND_ALL_FIELDS if identified else _Fit.ALL_FIELDS
    if all(name in sent and sent[name] == value for name, value in echo.items()):
        return _Fit.IDENTIFIER_AND_SOME_FIELDS if identified else _Fit.SOME_FIELDS
    return _Fit.IDENTIFIER if identified else _Fit.NO_EVIDENCE


def _comparable(customer: Any) -> dict[str, Any]:
    """A customer without nulls, its identifiers as text: the ID with regard to case, the others without."""
    if not isinstance(customer, dict):
        return {}
    fields = {name: value for name, value in customer.items() if value is not None and name not in _IDENTIFIERS}
    for name in _IDENTIFIERS:
        value = customer.get(name)
        text = str(value).strip() if isinstance(value, str | int) else ""
        if text:
            fields[name] = text if name == "customer_id" else text.casefold()
    return fields
