"""What went wrong, apart from whom it happened to."""

from __future__ import annotations

import time

import pytest

from blueshift_sync.models.causes import DIGITS, LONGEST_MESSAGE, cause_of, normalised

ALIKE = [
    ("E-mail ada@example.com is invalid", "e-mail  Grace.Hopper+x@navy.mil is invalid"),
    ("Customer 'Ada' is unknown", "Customer 'Miles O'Brien' is unknown"),
    ('No list "News"', "No list “Angebote für März”"),
    ("No list 'a'", 'no list "b"'),
    ("Phone number +49 170 1234567 is bad", "Phone number +49 151 7654321 is bad"),
    ("Born 1815-12-10", "Born 1906-12-09T12:00:00.123Z"),
    ("Since 2026-11-22 02:03:04 UTC.", "Since 2026-01-01 00:00:00 +01:00."),
    ("Key 6f1c2b3a-1234-4abc-8def-1234567890ab", "Key 00000000-0000-0000-0000-000000000000"),
    ("See https://example.com/a?b=1", "See http://localhost:80/"),
    ("Order cust-12a is gone", "Order X99 is gone"),
    ("12.5% of 1,000", "13% of 2"),
]
UNLIKE = [
    ("E-mail is invalid", "Phone is invalid"),
    ("attribute 'points' has been sent as a number", "attribute 'age' has been sent as a number"),
    ("Can't send 'address_2': too long", "Can't send 'city': too long"),
    ("It can't be", "It won't be"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_messages_that_differ_by_values_have_one_cause(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert cause_of("rejected", one) == cause_of("rejected", other)


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_messages_that_differ_by_words_or_fields_have_two(one: str, other: str) -> None:
    assert cause_of("rejected", one) != cause_of("rejected", other)


def test_the_code_is_part_of_the_cause() -> None:
    assert cause_of("timeout", "No answer") != cause_of("connection_lost", "No answer")


def test_where_nothing_is_said_there_is_no_cause() -> None:
    assert cause_of("", "") == ""
    assert len(cause_of("rejected", "")) == DIGITS


@pytest.mark.parametrize("piece", ["a", "1-", "a-", "'", "a@", "-_", "„", "aaaa-1 ", "http://", "\u0130", "0000-"])
def test_whatever_is_said_a_cause_is_found_soon(piece: str) -> None:
    message = piece * 100_000
    started = time.process_time()
    found = normalised(message)
    assert time.process_time() - started < 1
    assert len(found) <= 10 * LONGEST_MESSAGE
