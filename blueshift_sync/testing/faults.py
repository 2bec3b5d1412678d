"""Rules that make a share of the calls fail, in the ways in which a network and a gateway fail.

A rule is a JSON object. It says which calls it is about (`endpoint`, `path`, `method`: all that are given
must fit), which of those it strikes (`next`, `nth` or `share`; none: all), and what happens (`fault` and
the fault's own keys). Rules are asked in their order: each latency that strikes adds up, the first other
fault ends the search. They are not asked about calls that were refused with 401, 404 or 429.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from . import values
from .values import Check, ScenarioError

ENDPOINTS = (
    "CUSTOMERS_BULK",
    "CUSTOMER_CREATE",
    "CUSTOMER_FIND",
    "CUSTOMER_READ",
    "CUSTOMER_DELETE",
    "CUSTOMER_FORGET",
    "LIST_CREATE",
    "LIST_READ",
    "LIST_ADD",
    "LIST_REMOVE",
)


def seconds(value: Any) -> str | None:
    bounds = value if isinstance(value, list | tuple) else [value, value]
    if len(bounds) == 2 and all(values.number(0)(bound) is None for bound in bounds) and bounds[0] <= bounds[1]:
        return None
    return "must be a number of seconds or [least, most]"


def header_fields(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(item, str) for item in (*value, *value.values()))
    return None if good else "must be an object of texts"


def error_data(value: Any) -> str | None:
    if isinstance(value, dict) and value and all(values.texts(messages) is None for messages in value.values()):
        return None
    return 'must be an object such as {"conflict": ["try again"]}'


TARGET: dict[str, Check] = {
    "endpoint": values.one_of(*ENDPOINTS),
    "path": values.text,
    "method": values.one_of("GET", "POST", "PUT"),
}
SELECTION: dict[str, Check] = {
    "next": values.whole(1),
    "nth": values.whole(1),
    "share": values.number(0, 1),
}
APPLY: dict[str, Check] = {"apply": values.boolean}
FAULTS: dict[str, dict[str, Check]] = {
    "latency": {"seconds": seconds},
    "status": {"status": values.whole(200, 599), "body": values.anything, "headers": header_fields, **APPLY},
    "reset": APPLY,
    "reset_after": {},
    "cut": APPLY,
    "cut_json": APPLY,
    "html": {"status": values.whole(200, 599), **APPLY},
    "empty": {"status": values.whole(200, 599), **APPLY},
    "reject": {"customers": values.text, "status": values.whole(400, 599), "error_data": error_data},
}
REQUIRED = {"latency": "seconds", "status": "status"}
APPLIED_BY_DEFAULT = {"latency", "reset_after", "cut", "cut_json", "empty", "reject"}
DEFAULT_STATUS = {"html": 502, "empty": 200, "reject": 400}


@dataclass
class Rule:
    """One rule and how many calls it has been about so far."""

    fault: str
    random: random.Random
    endpoint: str | None = None
    path: str | None = None
    method: str | None = None
    next: int | None = None
    nth: int | None = None
    share: float | None = None
    seconds: float | list[float] = 0
    status: int = 200
    body: Any = None
    has_body: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    apply: bool = False
    customers: str = "*"
    error_data: dict[str, list[str]] = field(default_factory=lambda: {"record": ["is invalid"]})
    seen: int = 0

    def strikes(self, endpoint: str, method: str, path: str) -> bool:
        """Whether this call fails; counts it if the rule is about it."""
        if self.endpoint not in {None, endpoint} or self.method not in {None, method}:
            return False
        if self.path is not None and not fnmatchcase(path, self.path):
            return False
        self.seen += 1
        if self.next is not None:
            return self.seen <= self.next
        if self.nth is not None:
            return self.seen == self.nth
        return self.share is None or self.random.random() < self.share

    def delay(self) -> float:
        """Seconds to wait, from the rule's own random numbers if it gives a span."""
        if isinstance(self.seconds, int | float):
            return self.seconds
        return self.random.uniform(*self.seconds)

    def record_error(self, customer: Mapping[str, Any]) -> dict[str, Any] | None:
        """The error for this record of a bulk call, or None if the rule isn't about it."""
        names = (customer.get("customer_id"), customer.get("email"))
        if any(isinstance(name, str) and fnmatchcase(name, self.customers) for name in names):
            return {"status": self.status, "error_data": self.error_data}
        return None


def make_rule(spec: Any, seed: str, where: str) -> Rule:
    """A rule from its JSON object. Raises a ScenarioError that says what is wrong with it."""
    if not isinstance(spec, dict):
        raise ScenarioError(f'{where} must be an object such as {{"fault": "reset", "next": 1}}.')
    fault = spec.get("fault")
    if fault not in FAULTS:
        raise ScenarioError(f'"fault" in {where} must be one of {", ".join(FAULTS)}.')
    given = {key: value for key, value in spec.items() if key != "fault"}
    values.demand_valid(given, {**TARGET, **SELECTION, **FAULTS[fault]}, where)
    if len(SELECTION.keys() & given) > 1:
        raise ScenarioError(f'{where} may have only one of "next", "nth" and "share".')
    if fault in REQUIRED and REQUIRED[fault] not in given:
        raise ScenarioError(f'"{REQUIRED[fault]}" is missing in {where}: the fault "{fault}" needs it.')
    given.setdefault("apply", fault in APPLIED_BY_DEFAULT)
    given.setdefault("status", DEFAULT_STATUS.get(fault, 200))
    # Not for secrets: the same seed must fail the same calls.
    return Rule(fault, random.Random(seed), has_body="body" in given, **given)  # nosec B311  # noqa: S311


@dataclass(frozen=True)
class Strike:
    """What the rules do to one call: seconds to wait, then at most one fault."""

    delay: float = 0
    rule: Rule | None = None


NOTHING = Strike()


class Faults:
    """The live rules of a simulator."""

    def __init__(self, specs: Iterable[Any] = (), seed: int = 0) -> None:
        self._seed = seed
        self._rules: list[Rule] = []
        for spec in specs:
            self.add(spec)

    def add(self, spec: Any) -> None:
        """Appends a rule; the others keep their counts."""
        place = len(self._rules)
        self._rules.append(make_rule(spec, f"{self._seed}/{place}", f"fault rule {place + 1}"))

    def strike(self, endpoint: str, method: str, path: str) -> Strike:
        if not self._rules:
            return NOTHING
        delay = 0.0
        for rule in self._rules:
            if not rule.strikes(endpoint, method, path):
                continue
            if rule.fault != "latency":
                return Strike(delay, rule)
            delay += rule.delay()
        return Strike(delay)
