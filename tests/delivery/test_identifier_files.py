"""Files of identifiers, as spreadsheet programs and people write them."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from typing import Any

import pytest

from blueshift_sync.delivery.identifier_files import LONGEST_LINE, Line, lines_of, read_file
from blueshift_sync.exceptions import UnusableFile


def read(text: str | bytes, key: str = "email") -> tuple[str, list[tuple[int, str, str]]]:
    raw = text.encode() if isinstance(text, str) else text
    found, lines = read_file(BytesIO(raw), key)
    return found, [tuple(line) for line in lines]


ADA, BOB = (1, "ada@x.com", ""), (2, "bob@x.com", "")


@pytest.mark.parametrize(
    "text",
    [
        "ada@x.com\nbob@x.com\n",
        "ada@x.com\nbob@x.com",
        "ada@x.com\r\nbob@x.com\r\n",
        "ada@x.com\rbob@x.com",
        "\ufeffada@x.com\nbob@x.com\n",
        '"ada@x.com"\n"bob@x.com"\n',
        "ada@x.com,1\nbob@x.com,2\n",
        "ada@x.com;Ada, the first\nbob@x.com;Bob, the other\n",
        "ada@x.com\t1\nbob@x.com\t2\n",
        " ada@x.com \n bob@x.com \n",
    ],
)
def test_a_file_without_a_header_has_the_identifiers_in_its_first_column(text: str) -> None:
    assert read(text) == ("email", [ADA, BOB])


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("name,email", "email"),
        ("name,E-Mail", "email"),
        ("name;Email", "email"),
        ("name, as in the passport;Email", "email"),
        ('"name"\t"EMAIL"', "email"),
        ("name,customer_id", "customer_id"),
        ("name,Customer ID", "customer_id"),
        ("\ufeffname,customer_id", "customer_id"),
    ],
)
def test_a_header_names_the_column(header: str, key: str) -> None:
    delimiter = next(each for each in ";\t," if each in header)
    assert read(f"{header}\nAda{delimiter}a@b\n") == (key, [(2, "a@b", "")])


@pytest.mark.parametrize(("key", "found"), [("email", "a@b"), ("customer_id", "C-1")])
def test_of_two_columns_the_lists_own_is_taken(key: str, found: str) -> None:
    assert read("customer_id,email\nC-1,a@b\n", key) == (key, [(2, found, "")])


@pytest.mark.parametrize(("text", "key"), [("ada@x.com\n", "email"), ("C-1\n", "customer_id")])
def test_where_the_lists_identifier_isnt_known_the_first_line_tells(text: str, key: str) -> None:
    assert read(text, "")[0] == key


def test_blank_lines_say_nothing_and_are_counted() -> None:
    assert read("\n\r\n  \nada@x.com\n,,\n\nbob@x.com\n\n") == ("email", [(4, "ada@x.com", ""), (7, "bob@x.com", "")])


def test_excels_line_about_the_delimiter_is_passed_over() -> None:
    assert read("sep=;\nname;email\nAda;ada@x.com\n") == ("email", [(3, "ada@x.com", "")])


def test_a_cell_over_several_lines_counts_them() -> None:
    assert read('street,email\n"1 High St\nLondon",ada@x.com\n,bob@x.com\n') == (
        "email",
        [(2, "ada@x.com", ""), (4, "bob@x.com", "")],
    )


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("x,", "empty"),
        ("x", "empty"),
        ("x,ada", "malformed"),
        ("x,@x.com", "malformed"),
        ("x,a da@x.com", "malformed"),
        ("x," + "a" * 330 + "@x.com", "long"),
        ("x,ada\x07@x.com", "invisible"),
        ('x,"ada\n@x.com"', "invisible"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_are_read(cell: str, problem: str) -> None:
    _key, lines = read(f"name,email\nAda,ada@x.com\n{cell}\n,bob@x.com\n")
    assert [(number, said) for number, _identifier, said in lines[:2]] == [(2, ""), (3, problem)]
    assert lines[2][1:] == ("bob@x.com", "")
    assert len(lines[1][1]) <= 320


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "The file is empty."),
        (b"\n \n", "The file is empty."),
        (b",,\n,\n", "There is not one identifier in it."),
        (b"PK\x03\x04\x00\x00", "Line 1 has a NUL byte"),
        (b"email\na@b\na\x00@b\n", "Line 3 has a NUL byte"),
        ("email\na@b\n".encode("utf-16"), "UTF-16"),
        (b"name,phone\nAda,1\n", "Line 1 names no column"),
    ],
)
def test_what_isnt_such_a_file_is_refused_with_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(UnusableFile, match=sentence):
        read(raw)


def bad(raw: bytes, key: str = "email") -> list[tuple[int, str]]:
    """Number and problem of the bad lines; the others have to be whole."""
    _key, lines = read(raw, key)
    assert all("@" in identifier for _number, identifier, problem in lines if not problem)
    return [(number, problem) for number, _identifier, problem in lines if problem]


def good(raw: bytes) -> list[tuple[int, str]]:
    return [(number, identifier) for number, identifier, problem in read(raw)[1] if not problem]


LATIN_1 = "name,email\nAda,a@b\nZoë,zoe@b\nBob,c@d\n".encode("latin-1")


def test_a_line_that_is_not_utf_8_is_bad_and_the_others_are_read() -> None:
    assert bad(LATIN_1) == [(3, "encoding")]
    assert good(LATIN_1) == [(2, "a@b"), (4, "c@d")]
    assert read(LATIN_1)[1][1] == (3, "zoe@b", "encoding")


def test_a_header_that_is_not_utf_8_names_its_columns_all_the_same() -> None:
    assert read("größe,email\n1,a@b\n".encode("latin-1")) == ("email", [(2, "a@b", "")])


@pytest.mark.parametrize(
    ("raw", "number", "others"),
    [
        (b'a@b,"Ada\nb@c,"Bob"\n', 1, [(2, "b@c")]),
        (b'a@b,"A"da\nb@c,"Bob"\n', 1, [(2, "b@c")]),
        (b'a@b,x\nc@d,"never closed\ne@f,x\n', 2, [(1, "a@b"), (3, "e@f")]),
        (b'a@b,x\nc@d,"never closed', 2, [(1, "a@b")]),
        (b'a@b\n "b@c"\nc@d\n', 2, [(1, "a@b"), (3, "c@d")]),
        (b'a@b\nb"@c\nc@d\n', 2, [(1, "a@b"), (3, "c@d")]),
        (b'a@b,"' + b"x\n,y@z\n" * 300 + b'c@d,"e"\n', 1, None),
    ],
)
def test_quotation_marks_that_do_not_fit_cost_their_own_line_only(
    raw: bytes, number: int, others: list[tuple[int, str]] | None
) -> None:
    assert bad(raw)[0] == (number, "quotes")
    assert others is None or (good(raw) == others and len(bad(raw)) == 1)


def test_after_a_quotation_mark_that_is_never_closed_every_line_is_read() -> None:
    raw = b'email,name\na@b,"Ada\n' + b"".join(b"p%d@b,x\n" % number for number in range(500))
    assert bad(raw) == [(2, "quotes")]
    assert good(raw) == [(number + 3, f"p{number}@b") for number in range(500)]


def test_a_quotation_mark_in_the_middle_of_another_cell_is_a_letter() -> None:
    assert read('email,screen\na@b,19" wide\nb@c,"19"" wide"\n') == ("email", [(2, "a@b", ""), (3, "b@c", "")])
    assert read('customer_id\n"A""1"\n', "customer_id") == ("customer_id", [(2, 'A"1', "")])


@pytest.mark.parametrize("length", [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE, 300_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_of_any_length_is_one_line(length: int, end: bytes) -> None:
    raw = end.join([b"a@b", b"x" * length, b"c@d", b""])
    assert bad(raw) == [(2, "long")]
    assert good(raw) == [(1, "a@b"), (3, "c@d")]
    assert len(read(raw)[1][1][1]) == 320
    quoted = end.join([b"a@b", b'"' + b"x" * length + b'"', b"c@d", b""])
    assert (bad(quoted), good(quoted)) == ([(2, "long")], [(1, "a@b"), (3, "c@d")])


def test_bad_lines_in_a_cell_over_several_lines_are_counted() -> None:
    raw = 'name,email\n"Zoë\nLouise",a@b\n"1\n2",c@d\nx,e@f\n'.encode("latin-1")
    assert (bad(raw), good(raw)) == ([(2, "encoding")], [(4, "c@d"), (6, "e@f")])


def test_texts_are_lines_too() -> None:
    assert list(lines_of(["a@b", "", "c"], "email")) == [
        Line(1, "a@b"),
        Line(2, "", "empty"),
        Line(3, "c", "malformed"),
    ]


class Endless(RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


@pytest.mark.parametrize("line", [b"person%06d@example.com;x\n", b'person%06d@example.com;"never closed\n'])
def test_memory_doesnt_grow_with_the_file(line: bytes) -> None:
    piece = b"".join(line % number for number in range(1000))
    file: Any = Endless(piece for _ in range(200))
    gc.collect()
    tracemalloc.start()
    try:
        _key, found = read_file(file, "email")
        assert sum(1 for _ in found) == 200_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Other threads of the test's process are counted too, so the bound is a wide one.
    assert peak < 200 * len(piece) / 5
