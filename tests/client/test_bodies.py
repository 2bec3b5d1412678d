"""Bodies of every shape that has been seen become sentences, and nothing in them can do harm."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blueshift_sync.client import MESSAGE_LENGTH, read_message
from blueshift_sync.client.bodies import Unreadable, printable, read_json, storable, to_code

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Rate limit exceeded"}', "Rate limit exceeded"),
        (b'{"error": "You can add maximum 25 users"}', "You can add maximum 25 users"),
        (b'{"errors": {"name": ["can\'t be blank", "is short"]}}', "name: can't be blank; name: is short"),
        (b'{"errors": [{"detail": "Input params not valid"}]}', "Input params not valid"),
        (b'{"errors": [{"title": "Invalid", "detail": "no such key"}]}', "Invalid; no such key"),
        (b'{"errors":[{"email": "is too long"}]}', "email: is too long"),
        (b'{"success": false, "error": "nope"}', "nope"),
        (b'{"status": 400, "error": "Json Parse error"}', "Json Parse error"),
        (b'{"status": "404", "error": "Not Found"}', "Not Found"),
        (b'["one", "two"]', "one; two"),
        (b'"just text"', "just text"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><head><TITLE>502 Bad\nGateway</TITLE></head></html>", "an HTML page, 502 Bad Gateway"),
        (b"\xef\xbb\xbf<!DOCTYPE html><p>down</p>", "an HTML page"),
        (b'\xef\xbb\xbf{"message": "with a BOM"}', "with a BOM"),
    ],
)
def test_every_envelope_gives_its_message(body: bytes, message: str) -> None:
    assert read_message(body) == message


@pytest.mark.parametrize(
    "body",
    [b"", b"  \n", b"{}", b"null", b"42", b'{"message": null}', b'{"customers": [{"email": "jane@example.com"}'],
)
def test_a_body_that_says_nothing_gives_nothing(body: bytes) -> None:
    assert read_message(body) == ""


def test_fields_beside_the_envelope_are_not_repeated() -> None:
    assert read_message(b'{"customers": [{"email": "jane@example.com"}], "error": "bad"}') == "bad"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"customers": [',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"9" * 5_000,
        b"\xff\xfe\xfd",
    ],
    ids=["empty", "html", "cut", "nan", "infinity", "huge float", "name twice", "deep", "huge integer", "no text"],
)
def test_json_that_could_mislead_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(body)


@given(st.text())
@settings(deadline=None)
def test_a_printed_text_is_one_short_visible_line(text: str) -> None:
    line = printable(text)

    assert line.isprintable()
    assert len(line) <= MESSAGE_LENGTH


def test_a_long_text_shows_that_it_was_cut() -> None:
    assert printable("x" * 2000) == "x" * (MESSAGE_LENGTH - 1) + "…"


@given(st.text())
@settings(deadline=None)
def test_a_code_is_a_short_plain_word(name: str) -> None:
    code = to_code(name, "rejected")

    assert 1 <= len(code) <= 64
    assert code.isascii()
    assert code == code.lower()
    assert code.replace("_", "").isalnum()


@given(json_values)
@settings(deadline=None)
def test_whatever_was_received_can_be_stored(value: Any) -> None:
    stored = storable(value)

    assert "\\u0000" not in json.dumps(stored).replace("\\\\", "")
    json.dumps(stored, ensure_ascii=False).encode("utf-8")


def test_ordinary_details_are_stored_unchanged() -> None:
    error = {"status": 400, "error_data": {"user_identifier_missing": ["No valid identifier found"]}, "x": [1.5, None]}

    assert storable(error) == error


def test_details_that_a_database_refuses_are_made_fit() -> None:
    deep: Any = "end"
    for _ in range(500):
        deep = [deep]

    assert storable({"a\x00": "\ud800b", "n": 2**63, "long": "x" * 5000, "wide": [0] * 99}) == {
        "a\ufffd": "\ufffdb",
        "n": str(2**63),
        "long": "x" * MESSAGE_LENGTH,
        "wide": [0] * 50,
    }
    assert len(json.dumps(storable(deep))) < 50
