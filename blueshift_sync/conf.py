"""The site's `BLUESHIFT_SYNC` dict, typed. Read anew at each use, so that `override_settings` works."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .client import limits

#: No time, rate or count may be more; seconds of this many are 31 years.
LARGEST = 10**9
LONGEST_RETENTION_DAYS = 36_500


@dataclass(frozen=True)
class AppSettings:
    """All settings with their defaults; times in seconds unless the name says otherwise."""

    API_KEY: str | None = field(default=None, repr=False)
    REGION: Literal["us", "eu"] = "us"
    BASE_URL: str | None = None
    ENABLED: bool = True
    QUEUE: str = "default"
    CUSTOMERS_PER_CALL: int = limits.CUSTOMERS_PER_CALL
    LIST_MODE: Literal["async", "sync"] = "async"
    CALLS_PER_SECOND: float | None = limits.CALLS_PER_SECOND
    CONCURRENCY: int = 8
    TIMEOUT: tuple[float, float] = (5, 30)
    DEBOUNCE_SECONDS: float = 1
    MAX_ATTEMPTS: int = 8
    BACKOFF_SECONDS: tuple[float, float] = (1, 3600)
    LEASE_SECONDS: float = 300
    ON_SOURCE_DELETE: Literal["keep", "forget", "delete"] = "keep"
    BODY_RETENTION_DAYS: float | None = 30
    CALL_RETENTION_DAYS: float | None = 90
    REDACT: tuple[str, ...] | list[str] = ()
    ALERT_EMAILS: tuple[str, ...] | list[str] = ()
    ALERT_FAILED_RECORDS: int | None = 100
    ALERT_WAITING_SECONDS: float | None = 3600
    SITE_URL: str | None = None

    @property
    def can_send(self) -> bool:
        """Whether sending is switched on and there is a key to send with."""
        return self.ENABLED and self.has_key

    @property
    def has_key(self) -> bool:
        """Whether there is a key, and more of it than blanks."""
        return isinstance(self.API_KEY, str) and bool(self.API_KEY.strip())


def raw_settings() -> Any:
    """What the site wrote, unchecked; an empty dict when it wrote nothing."""
    return getattr(settings, "BLUESHIFT_SYNC", {})


def app_settings() -> AppSettings:
    """The settings now. Keys that don't exist are left to the system checks, which name them."""
    global _last  # noqa: PLW0603 - one memory per process
    raw = raw_settings()
    if not isinstance(raw, Mapping):
        raw = {}
    seen, found = _last
    if raw != seen:
        found = AppSettings(**{key: raw[key] for key in raw.keys() & KEYS})
        _last = dict(raw), found
    return found


KEYS = frozenset(entry.name for entry in fields(AppSettings))
#: What was read last, and the settings that it made; a dict that was changed in place differs from its copy.
_last: tuple[Mapping[str, Any], AppSettings] = {}, AppSettings()


# What each key may hold: a test and the sentence that says what is expected.


class Rule(NamedTuple):
    holds: Callable[[Any], bool]
    expected: str


class Problem(NamedTuple):
    """One mistake in the settings: the key, what is wrong, how to mend it."""

    key: str
    message: str
    hint: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_integer(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_pair(value: Any, *, rising: bool = False) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(_is_number(entry) and entry > 0 for entry in value)
        and (not rising or value[0] <= value[1])
    )


def _is_safe_url(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
        (host or "").encode("idna")  # a name that could never be looked up
    except ValueError:
        return False
    blank = any(character.isspace() for character in value)
    plain = not (blank or parts.username or parts.password or parts.query or parts.fragment)
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or ""))
    return plain and secure and bool(host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_address(url: Any) -> bool:
    """Whether the host of this address is the machine itself."""
    return isinstance(url, str) and _is_safe_url(url) and _is_loopback(urlsplit(url).hostname or "")


def _is_email(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True


def _is_site_url(value: Any) -> bool:
    """Whether `value` is scheme and host, and a port perhaps."""
    if not isinstance(value, str) or any(character.isspace() for character in value):
        return False
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    return parts.scheme in {"http", "https"} and bool(host) and not more


def _choice(*allowed: str) -> Rule:
    return Rule(lambda value: value in allowed, "one of " + ", ".join(repr(value) for value in allowed))


_POSITIVE = Rule(lambda value: _is_number(value) and value > 0, "a number above zero")
_POSITIVE_INTEGER = Rule(lambda value: _is_integer(value) and value > 0, "a whole number above zero")
_RETENTION = Rule(
    lambda value: value is None or (_is_number(value) and 0 <= value <= LONGEST_RETENTION_DAYS),
    f"a number of days from 0 to {LONGEST_RETENTION_DAYS}, or None for ever",
)

RULES: dict[str, Rule] = {
    "API_KEY": Rule(lambda value: value is None or isinstance(value, str), "the User API key as text, or None"),
    "REGION": _choice(*limits.REGIONS),
    "BASE_URL": Rule(
        lambda value: value is None or _is_safe_url(value),
        "an https address, or http to a loopback address, without user name and query",
    ),
    "ENABLED": Rule(lambda value: isinstance(value, bool), "True or False"),
    "QUEUE": Rule(_is_name, "the name of a queue in RQ_QUEUES"),
    "CUSTOMERS_PER_CALL": Rule(
        lambda value: _is_integer(value) and 1 <= value <= limits.CUSTOMERS_PER_CALL,
        f"a whole number from 1 to {limits.CUSTOMERS_PER_CALL}",
    ),
    "LIST_MODE": _choice(*limits.LIST_MEMBERS_PER_CALL),
    "CALLS_PER_SECOND": Rule(
        lambda value: value is None or (_is_number(value) and value > 0),
        "a number above zero, or None for no limit",
    ),
    "CONCURRENCY": _POSITIVE_INTEGER,
    "TIMEOUT": Rule(_is_pair, "a pair of seconds above zero: (connect, read)"),
    "DEBOUNCE_SECONDS": Rule(lambda value: _is_number(value) and value >= 0, "a number of seconds, 0 or more"),
    "MAX_ATTEMPTS": _POSITIVE_INTEGER,
    "BACKOFF_SECONDS": Rule(
        lambda value: _is_pair(value, rising=True),
        "a pair of seconds above zero: (first delay, longest delay)",
    ),
    "LEASE_SECONDS": _POSITIVE,
    "ON_SOURCE_DELETE": _choice("keep", "forget", "delete"),
    "BODY_RETENTION_DAYS": _RETENTION,
    "CALL_RETENTION_DAYS": _RETENTION,
    "REDACT": Rule(
        lambda value: isinstance(value, list | tuple) and all(_is_name(name) for name in value),
        "a list of names of customer fields",
    ),
    "ALERT_EMAILS": Rule(
        lambda value: isinstance(value, list | tuple) and all(_is_email(address) for address in value),
        "a list of e-mail addresses",
    ),
    "ALERT_FAILED_RECORDS": Rule(
        lambda value: value is None or (_is_integer(value) and value > 0),
        "a whole number above zero, or None for never",
    ),
    "ALERT_WAITING_SECONDS": Rule(
        lambda value: value is None or (_is_number(value) and value > 0), "a number above zero, or None for never"
    ),
    "SITE_URL": Rule(
        lambda value: value is None or _is_site_url(value),
        "the address of the site without a path, such as https://shop.example.com",
    ),
}


def problems(raw: Any) -> Iterator[Problem]:
    """Every mistake in `raw`, the site's BLUESHIFT_SYNC. Values are never repeated: one of them is a key."""
    if not isinstance(raw, Mapping):
        yield Problem("", "BLUESHIFT_SYNC is not a dict.", "Write BLUESHIFT_SYNC = {'API_KEY': …, 'REGION': …}.")
        return
    for key, value in raw.items():
        rule = RULES.get(key)
        if rule is None:
            yield Problem(
                str(key),
                f"BLUESHIFT_SYNC has no setting {key!r}.",
                f"Remove {key!r} or correct its spelling. The settings are: {', '.join(sorted(RULES))}.",
            )
        elif not rule.holds(value):
            yield Problem(
                key,
                f"BLUESHIFT_SYNC[{key!r}] can't be used: it must be {rule.expected}.",
                f"Set BLUESHIFT_SYNC[{key!r}] to {rule.expected}.",
            )
