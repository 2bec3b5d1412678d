"""What Blueshift accepts as a customer: the documented fields and limits, and one JSON type per attribute."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from . import values
from .scenario import Scenario
from .values import Check

JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
RESERVED_PREFIXES = ("bsft_", "_bsft_")
MISSING_IDENTIFIER = {"user_identifier_missing": ["No valid identifier found"]}

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
# E.164: a plus, a country code that doesn't begin with 0, at most 15 digits.
_PHONE = re.compile(r"\+[1-9][0-9]{5,14}")


def text_up_to(limit: int) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        return None if len(value) <= limit else f"is too long (maximum is {limit} characters)"

    return check


def email_up_to(limit: int) -> Check:
    check_text = text_up_to(limit)

    def check(value: Any) -> str | None:
        complaint = check_text(value)
        return complaint or (None if not value or _EMAIL.fullmatch(value) else "is not an e-mail address")

    return check


def phone_number(value: Any) -> str | None:
    if isinstance(value, str) and _PHONE.fullmatch(value):
        return None
    return "must start with + and a country code (E.164)"


def boolean(value: Any) -> str | None:
    # An old page of the help centre sends "true" as a string.
    return None if isinstance(value, bool) or value in ("true", "false") else "must be true or false"


def iso_time(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return "must be an ISO 8601 time"
    return None


def subscription_groups(value: Any) -> str | None:
    if isinstance(value, list) and all(
        isinstance(group, dict)
        and isinstance(group.get("id"), str)
        and group["id"]
        and isinstance(group.get("subscribed"), bool)
        for group in value
    ):
        return None
    return 'must be a list of {"id": string, "subscribed": boolean}'


STANDARD: dict[str, Check] = {
    "customer_id": text_up_to(128),
    "uuid": text_up_to(128),
    "firstname": text_up_to(64),
    "lastname": text_up_to(64),
    "phone_number": phone_number,
    "gender": values.one_of("male", "female", "unknown"),
    "joined_at": iso_time,
    "unsubscribed": boolean,
    "unsubscribed_push": boolean,
    "unsubscribed_sms": boolean,
    "unsubscribed_inapp": boolean,
    "birth_year": values.whole(1),
    "birth_month": values.whole(1, 12),
    "birth_dayofmonth": values.whole(1, 31),
    "subscription_groups": subscription_groups,
}
IDENTIFIERS = frozenset({"email", "customer_id", "uuid"})
NEVER_NULL = frozenset(name for name, check in STANDARD.items() if check is boolean) | {"gender", "joined_at"}


class Rules:
    """Judges customers as Blueshift does, and remembers the JSON type of each custom attribute.

    The type is fixed by the first accepted payload ("Your first payload determines the data type of your
    attribute"). Null is no type. A null identifier counts as absent; a null boolean, gender or joined_at is
    always refused.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.types: dict[str, str] = {}
        self.use(scenario)

    def use(self, scenario: Scenario) -> None:
        self._checks = {**STANDARD, "email": email_up_to(scenario.email_max_length)}
        self._nulls_refused = scenario.nulls == "reject"
        self._fixed_types = scenario.type_conflicts == "reject"

    def problems(self, customer: Mapping[str, Any]) -> dict[str, list[str]]:
        """What is wrong with this customer, as `error_data`: messages by field. Empty: accepted."""
        if not customer.get("customer_id") and not customer.get("email"):
            return MISSING_IDENTIFIER
        found: dict[str, list[str]] = {}
        fresh: dict[str, str] = {}
        for name, value in customer.items():
            if complaint := self._complaint(name, value, fresh):
                found[name] = [complaint]
        if not found:
            self.types.update(fresh)
        return found

    def _complaint(self, name: str, value: Any, fresh: dict[str, str]) -> str | None:
        if value is None:
            return self._complaint_of_null(name)
        check = self._checks.get(name)
        if check is not None:
            return check(value)
        if name.startswith(RESERVED_PREFIXES):
            return "starts with a prefix that is Blueshift's own"
        json_type = JSON_TYPES[type(value)]
        fixed = self.types.get(name)
        if fixed is None:
            fresh[name] = json_type
        elif fixed != json_type and self._fixed_types:
            return f"must be of type {fixed}, not {json_type}"
        return None

    def _complaint_of_null(self, name: str) -> str | None:
        if name in NEVER_NULL or (self._nulls_refused and name not in IDENTIFIERS):
            return "can't be null"
        return None
