"""How a simulator behaves: one immutable object, made from JSON."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import values
from .faults import Faults
from .values import Check, ScenarioError

DEFAULT_API_KEY = "simulator-key"

LIST_CHECKS: dict[str, Check] = {
    "name": values.text,
    "source": values.one_of("email", "customer_id"),
    "status": values.one_of("active", "deleted", "old"),
}


def check_list(spec: Any, where: str) -> None:
    """Raises a ScenarioError unless this is the description of a list."""
    if not isinstance(spec, dict):
        raise ScenarioError(f'{where} must be an object such as {{"name": "News", "source": "email"}}.')
    values.demand_valid(spec, LIST_CHECKS, where)


def _lists(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(str(key).isdecimal() for key in value):
        return 'must be an object whose keys are list ids, such as {"35869": {"name": "News"}}'
    for list_id, spec in value.items():
        check_list(spec, f"list {list_id}")
    return None


def _rules(value: Any) -> str | None:
    if not isinstance(value, list | tuple):
        return "must be a list of rules"
    Faults(value)
    return None


CHECKS: dict[str, Check] = {
    "api_keys": values.texts,
    "calls_per_second": values.optional(values.whole(1)),
    "retry_after": values.optional(values.whole(0)),
    "email_max_length": values.whole(1),
    "type_conflicts": values.one_of("reject", "ignore"),
    "nulls": values.one_of("store", "keep", "reject"),
    "duplicates": values.one_of("reject", "accept"),
    "bulk_limit_body": values.anything,
    "list_members": values.one_of("customers", "identifiers"),
    "reads_of_refused_lists": values.one_of("answer", "refuse"),
    "create_list_answer": values.one_of("object", "array"),
    "unknown_identifiers": values.one_of("ignore", "create", "report"),
    "async_delay": values.number(0),
    "log_bodies": values.boolean,
    "log_size": values.whole(0),
    "keep": values.boolean,
    "seed": values.whole(0),
    "faults": _rules,
    "lists": _lists,
}


@dataclass(frozen=True)
class Scenario:
    """The settings of a simulator. What Blueshift doesn't document is one of them."""

    api_keys: Sequence[str] = field(default=(DEFAULT_API_KEY,), repr=False)
    calls_per_second: int | None = 5
    retry_after: int | None = None
    email_max_length: int = 64
    type_conflicts: str = "reject"
    nulls: str = "store"
    duplicates: str = "reject"
    bulk_limit_body: Any = field(default_factory=lambda: {"error": "You can upload maximum 50 users in one api call"})
    list_members: str = "customers"
    reads_of_refused_lists: str = "answer"
    create_list_answer: str = "object"
    unknown_identifiers: str = "ignore"
    async_delay: float = 0
    log_bodies: bool = True
    log_size: int = 10_000
    keep: bool = True
    seed: int = 0
    faults: Sequence[Any] = ()
    lists: dict[str, Any] = field(default_factory=dict)

    def changed(self, changes: Any) -> "Scenario":
        """This scenario with some settings replaced. Raises a ScenarioError for a wrong key or value."""
        if not isinstance(changes, dict):
            raise ScenarioError('A scenario must be a JSON object such as {"calls_per_second": 5}.')
        values.demand_valid(changes, CHECKS, "the scenario")
        return dataclasses.replace(self, **changes)

    def public(self) -> dict[str, Any]:
        """The settings without the keys."""
        return {key: getattr(self, key) for key in CHECKS if key != "api_keys"}


def read_scenario(path: Path) -> Scenario:
    """A scenario from a JSON file. Raises a ScenarioError if it can't be read or used."""
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"The scenario {path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise ScenarioError(f"The scenario {path} isn't valid JSON: {error}.") from error
    try:
        return Scenario().changed(changes)
    except ScenarioError as error:
        raise ScenarioError(f"The scenario {path} can't be used. {error}") from error
