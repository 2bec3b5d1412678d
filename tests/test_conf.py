"""The settings: defaults, and a problem for each mistake, told with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from blueshift_sync.conf import KEYS, RULES, AppSettings, app_settings, problems

DEFAULTS = {
    "API_KEY": None,
    "REGION": "us",
    "BASE_URL": None,
    "ENABLED": True,
    "QUEUE": "default",
    "CUSTOMERS_PER_CALL": 50,
    "LIST_MODE": "async",
    "CALLS_PER_SECOND": 5,
    "CONCURRENCY": 8,
    "TIMEOUT": (5, 30),
    "DEBOUNCE_SECONDS": 1,
    "MAX_ATTEMPTS": 8,
    "BACKOFF_SECONDS": (1, 3600),
    "LEASE_SECONDS": 300,
    "ON_SOURCE_DELETE": "keep",
    "BODY_RETENTION_DAYS": 30,
    "CALL_RETENTION_DAYS": 90,
    "ALERT_FAILED_RECORDS": 100,
    "ALERT_WAITING_SECONDS": 3600,
    "SITE_URL": None,
}
LISTS = ("REDACT", "ALERT_EMAILS")

GOOD: dict[str, list[Any]] = {
    "API_KEY": [None, "", "abc"],
    "REGION": ["us", "eu"],
    "BASE_URL": [
        None,
        "https://proxy.example.com",
        "https://proxy.example.com:8443/blueshift",
        "http://localhost:8000",
        "http://127.0.0.1:9",
        "http://127.8.8.8",
        "http://[::1]:9",
    ],
    "ENABLED": [True, False],
    "QUEUE": ["default", "high"],
    "CUSTOMERS_PER_CALL": [1, 50],
    "LIST_MODE": ["async", "sync"],
    "CALLS_PER_SECOND": [None, 0.1, 5, 100],
    "CONCURRENCY": [1, 64],
    "TIMEOUT": [(5, 30), [0.5, 0.5], (30, 5)],
    "DEBOUNCE_SECONDS": [0, 0.5, 60],
    "MAX_ATTEMPTS": [1, 100],
    "BACKOFF_SECONDS": [(1, 3600), [1, 1], (0.001, 0.001)],
    "LEASE_SECONDS": [0.5, 300],
    "ON_SOURCE_DELETE": ["keep", "forget", "delete"],
    "BODY_RETENTION_DAYS": [None, 0, 0.5, 30],
    "CALL_RETENTION_DAYS": [None, 0, 90],
    "REDACT": [[], ["email"], ("email", "phone")],
    "ALERT_EMAILS": [[], ["ops@example.com"], ("ops@example.com", "ann@example.com")],
    "ALERT_FAILED_RECORDS": [None, 1, 1000],
    "ALERT_WAITING_SECONDS": [None, 0.5, 3600],
    "SITE_URL": [
        None,
        "https://shop.example.com",
        "https://shop.example.com/",
        "http://localhost:8000",
        "http://[::1]:8",
    ],
}

NAN, INFINITE = float("nan"), float("inf")
NUMBERS_TOO_SMALL = [0, -1, -0.5]
NO_NUMBERS = ["5", None, True, NAN, INFINITE, -INFINITE, 10**400, [5], 1j]
NO_COUNTS = [*NUMBERS_TOO_SMALL, *NO_NUMBERS, 1.5, 5.0]
NO_PAIRS = [5, None, (), (5,), (1, 2, 3), (0, 5), (5, 0), (-1, 5), ("1", "2"), (1, None), (1, True), {1, 2}, (1, NAN)]

BAD: dict[str, list[Any]] = {
    "API_KEY": [123, b"abc", ["abc"], True],
    "REGION": ["US", "asia", "", None, 1, ["us"]],
    "BASE_URL": [
        "",
        "proxy.example.com",
        "http://proxy.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "https://",
        "https://user:password@example.com",
        "https://example.com?key=1",
        "https://example.com#part",
        "https://example.com:port",
        "https://[::1",
        "ftp://example.com",
        "file:///etc/passwd",
        b"https://example.com",
        1,
    ],
    "ENABLED": ["yes", 1, 0, None],
    "QUEUE": ["", " ", None, 1],
    "CUSTOMERS_PER_CALL": [51, *NO_COUNTS],
    "LIST_MODE": ["ASYNC", "", None],
    "CALLS_PER_SECOND": [*NUMBERS_TOO_SMALL, *(value for value in NO_NUMBERS if value is not None)],
    "CONCURRENCY": NO_COUNTS,
    "TIMEOUT": NO_PAIRS,
    "DEBOUNCE_SECONDS": [-1, *NO_NUMBERS],
    "MAX_ATTEMPTS": NO_COUNTS,
    "BACKOFF_SECONDS": [(10, 1), *NO_PAIRS],
    "LEASE_SECONDS": [*NUMBERS_TOO_SMALL, *NO_NUMBERS],
    "ON_SOURCE_DELETE": ["KEEP", "", None, True],
    "BODY_RETENTION_DAYS": [-1, 10**9, *(value for value in NO_NUMBERS if value is not None)],
    "CALL_RETENTION_DAYS": [-1, 10**9, *(value for value in NO_NUMBERS if value is not None)],
    "REDACT": ["email", None, [""], [1], {"email": True}],
    "ALERT_EMAILS": [
        "ops@example.com",
        None,
        [""],
        ["ops"],
        [1],
        [None],
        ["a@example.com\nBcc: b@example.com"],
        {"a@b.cd": 1},
    ],
    "ALERT_FAILED_RECORDS": [value for value in NO_COUNTS if value is not None],
    "ALERT_WAITING_SECONDS": [*NUMBERS_TOO_SMALL, *(value for value in NO_NUMBERS if value is not None)],
    "SITE_URL": [
        "",
        "shop.example.com",
        "ftp://shop.example.com",
        "javascript://shop.example.com",
        "https://",
        "https://shop.example.com/admin/",
        "https://shop.example.com?next=1",
        "https://shop.example.com#top",
        "https://user:password@shop.example.com",
        "https://shop.example.com:port",
        "https://shop.example.com\nX: y",
        b"https://shop.example.com",
        1,
    ],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(key, value, id=f"{key}-{str(value)[:30]}") for key, values in table.items() for value in values
    ]


def test_defaults() -> None:
    with override_settings():
        del django_settings.BLUESHIFT_SYNC
        found = app_settings()
    assert {key: getattr(found, key) for key in DEFAULTS} == DEFAULTS
    assert [list(getattr(found, key)) for key in LISTS] == [[], []]


def test_each_key_has_a_default_a_rule_and_cases() -> None:
    assert set(RULES) == KEYS == set(GOOD) == set(BAD) == {*DEFAULTS, *LISTS}


def test_the_defaults_keep_the_rules() -> None:
    defaults = AppSettings()
    assert list(problems({key: getattr(defaults, key) for key in KEYS})) == []


def test_settings_are_read_at_each_use() -> None:
    for region in ("us", "eu"):
        with override_settings(BLUESHIFT_SYNC={"REGION": region}):
            assert region == app_settings().REGION


@pytest.mark.parametrize(("key", "value"), cases(GOOD))
def test_good_values_are_taken(key: str, value: Any) -> None:
    assert list(problems({key: value})) == []
    with override_settings(BLUESHIFT_SYNC={key: value}):
        assert getattr(app_settings(), key) == value


@pytest.mark.parametrize(("key", "value"), cases(BAD))
def test_each_bad_value_is_one_problem_that_names_its_key(key: str, value: Any) -> None:
    (problem,) = problems({key: value})
    assert problem.key == key
    for text in (problem.message, problem.hint):
        assert f"BLUESHIFT_SYNC['{key}']" in text
        assert text.endswith(".")


@pytest.mark.parametrize("key", ["api_key", "REGIONS", "", 1, None, ("API", "KEY")])
def test_an_unknown_key_is_a_problem_that_names_it_and_the_settings_there_are(key: Any) -> None:
    (problem,) = problems({key: "value"})
    assert repr(key) in problem.message
    assert repr(key) in problem.hint
    assert "CUSTOMERS_PER_CALL" in problem.hint
    with override_settings(BLUESHIFT_SYNC={key: "value"}):
        assert app_settings() == AppSettings()


@pytest.mark.parametrize("raw", [None, [], "API_KEY", 1, AppSettings()])
def test_what_is_no_dict_is_a_problem_and_the_defaults_hold(raw: Any) -> None:
    (problem,) = problems(raw)
    assert problem.message == "BLUESHIFT_SYNC is not a dict."
    with override_settings(BLUESHIFT_SYNC=raw):
        assert app_settings() == AppSettings()


def test_several_mistakes_are_several_problems() -> None:
    assert [problem.key for problem in problems({"REGION": 1, "QUEUE": "default", "TYPO": 2})] == ["REGION", "TYPO"]


def test_the_key_is_in_no_repr_and_in_no_problem() -> None:
    secret = "s3cret-key"
    with override_settings(BLUESHIFT_SYNC={"API_KEY": secret}):
        assert secret not in repr(app_settings())
        assert secret not in str(app_settings())
    assert secret not in str(list(problems({"API_KEY": [secret], "REGION": secret, "BASE_URL": f"http://{secret}@x"})))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, False),
        ({"API_KEY": ""}, False),
        ({"API_KEY": "key"}, True),
        ({"API_KEY": "key", "ENABLED": False}, False),
        ({"ENABLED": True}, False),
    ],
)
def test_sending_needs_a_key_and_to_be_switched_on(raw: dict[str, Any], expected: bool) -> None:
    with override_settings(BLUESHIFT_SYNC=raw):
        assert app_settings().can_send is expected
