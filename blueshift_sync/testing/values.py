"""Checks of values that people wrote: each takes a value and returns a complaint, or None."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

Check = Callable[[Any], str | None]


class ScenarioError(ValueError):
    """A scenario that can't be used; the message is a sentence that says what and where."""


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a text that isn't empty"


def texts(value: Any) -> str | None:
    if isinstance(value, list | tuple) and value and all(text(item) is None for item in value):
        return None
    return "must be a list of texts, with at least one"


def anything(_value: Any) -> str | None:
    return None


def one_of(*choices: str) -> Check:
    names = " or ".join(f'"{choice}"' for choice in choices)
    return lambda value: None if value in choices else f"must be {names}"


def whole(low: int, high: int | None = None) -> Check:
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"

    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool)
        if good and low <= value and (high is None or value <= high):
            return None
        return f"must be a whole number {limits}"

    return check


def number(low: float, high: float | None = None) -> Check:
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"

    def check(value: Any) -> str | None:
        if is_number(value) and low <= value and (high is None or value <= high):
            return None
        return f"must be a number {limits}"

    return check


def optional(check: Check) -> Check:
    def checked(value: Any) -> str | None:
        complaint = None if value is None else check(value)
        return complaint and f"{complaint}, or null"

    return checked


def demand_known(keys: Iterable[Any], known: Iterable[str], where: str) -> None:
    """Raises a ScenarioError that names the first unknown key and the known one that is nearest to it."""
    names = sorted(known)
    for key in keys:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            advice = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(names)}."
            raise ScenarioError(f'Unknown key "{key}" in {where}: {advice}')


def demand_valid(values: dict[str, Any], checks: dict[str, Check], where: str) -> None:
    """Raises a ScenarioError that names the first key without a check or with a wrong value."""
    demand_known(values, checks, where)
    for key, value in values.items():
        if complaint := checks[key](value):
            raise ScenarioError(f'"{key}" in {where} {complaint}.')
