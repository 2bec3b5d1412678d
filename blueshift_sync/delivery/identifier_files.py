"""Reading files of identifiers: what each line says, and what is wrong with it. Knows no database.

They are read by pieces of bounded size, however long they are, and whatever they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

from ..exceptions import UnusableFile
from ..models import CustomerList
from ..models.fields import LONGEST_EMAIL

EMAIL = CustomerList.IdentifierKey.EMAIL.value
CUSTOMER_ID = CustomerList.IdentifierKey.CUSTOMER_ID.value

#: Bytes read at a time.
CHUNK = 64 * 1024
#: Bytes of one line.
LONGEST_LINE = 64 * 1024
LONGEST = {EMAIL: LONGEST_EMAIL, CUSTOMER_ID: 255}
DELIMITERS = (",", ";", "\t")
#: What files in UTF-16 begin with.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

#: What is wrong with a line, by what is kept of it.
EMPTY, LONG, MALFORMED, INVISIBLE = "empty", "long", "malformed", "invisible"
BAD = (EMPTY, LONG, MALFORMED, INVISIBLE)


class Line(NamedTuple):
    """An identifier and the number of the line that it begins on; `problem` is one of BAD, or empty."""

    number: int
    identifier: str
    problem: str = ""


def read_file(file: IO[bytes], identifier_key: str) -> tuple[str, Iterator[Line]]:
    """By which identifier the file names its customers, and its lines; blank ones aren't among them.

    `identifier_key` is what the list knows its customers by, if anything: the one that is taken where the file has both
    or has no header. Raises UnusableFile, while it is gone through too, with a sentence that names the line.
    """
    lines = _decoded(file)
    skipped, first = _first_line(lines)
    rows = _rows(chain([first], lines), _delimiter(first), skipped)
    number, cells = next(rows)
    key, column, has_header = _column(number, cells, identifier_key)
    if not has_header:
        rows = chain([(number, cells)], rows)
    return key, _identifiers(rows, key, column)


def _first_line(lines: Iterator[str]) -> tuple[int, str]:
    """The first line that says something, and how many are before it. Excel writes one that names the delimiter."""
    for skipped, line in enumerate(lines):
        if line.strip() and not line.lower().startswith("sep="):
            return skipped, line
    raise UnusableFile("The file is empty.")


def _delimiter(first_line: str) -> str:
    """What stands between the cells: what makes a header of the line, or else the first that is in it."""
    for delimiter in DELIMITERS:
        if not {EMAIL, CUSTOMER_ID}.isdisjoint(map(_name, next(csv.reader([first_line], delimiter=delimiter)))):
            return delimiter
    unquoted = re.sub(r'"[^"]*"', "", first_line)
    return min(DELIMITERS, key=lambda delimiter: unquoted.find(delimiter) % (len(unquoted) + 1))


def _name(cell: str) -> str:
    """What a header says, as the identifiers are written."""
    return cell.strip().lower().replace(" ", "_").replace("e-mail", EMAIL)


def lines_of(identifiers: Iterable[str], identifier_key: str) -> Iterator[Line]:
    """The lines of a file that would hold these identifiers and no header. Raises UnusableFile for what is no text."""
    if isinstance(identifiers, str | bytes):
        raise UnusableFile("Hand over the identifiers one by one, in a list, or an opened file; not one text of them.")
    for number, identifier in enumerate(identifiers, start=1):
        if not isinstance(identifier, str):
            raise UnusableFile(
                f"Identifiers are texts, and number {number} is of the type {type(identifier).__name__}."
            )
        yield _line(number, identifier, identifier_key)


def _decoded(file: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(_raw_lines(file), start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UnusableFile(
                f"Line {number} isn't written in UTF-8. Save the file as “CSV UTF-8” and upload it again."
            ) from None


def _raw_lines(file: IO[Any]) -> Iterator[bytes]:
    begun = b""
    number = 0  # of the lines that are complete
    while chunk := file.read(CHUNK):
        if isinstance(chunk, str):
            raise UnusableFile('The file was opened for reading text. Open it for reading bytes, with the mode "rb".')
        if not number and not begun and chunk.startswith(UTF_16):
            raise UnusableFile("The file is written in UTF-16. Save it as “CSV UTF-8” and upload it again.")
        if b"\0" in chunk:
            before = (begun + chunk).partition(b"\0")[0]
            raise UnusableFile(
                f"Line {number + len((before + b'.').splitlines())} has a NUL byte: this is no text file. "
                "Save it as “CSV UTF-8”, a workbook too, and upload that."
            )
        lines = (begun + chunk).splitlines(keepends=True)
        begun = lines.pop()  # it may go on
        number += len(lines)
        if len(begun) > LONGEST_LINE:
            raise UnusableFile(f"Line {number + 1} is longer than {LONGEST_LINE:,} bytes: that is no identifier.")
        yield from lines
    if begun:
        yield begun


def _rows(lines: Iterable[str], delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that aren't blank, each with the number of its first line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = skipped + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = skipped + reader.line_num + 1
    except csv.Error as error:
        raise UnusableFile(f"The quotation marks from line {number} on don't fit together ({error}).") from None


def _column(number: int, cells: list[str], identifier_key: str) -> tuple[str, int, bool]:
    """The identifier, its column, and whether this first row is a header."""
    names = [_name(cell) for cell in cells]
    for key in (identifier_key, CUSTOMER_ID, EMAIL):
        if key in names:
            return key, names.index(key), True
    key = identifier_key or (EMAIL if "@" in cells[0] else CUSTOMER_ID)
    if key == EMAIL and "@" not in cells[0]:
        raise UnusableFile(
            f"Line {number} names no column “{EMAIL}” or “{CUSTOMER_ID}”, and begins with no e-mail address. "
            "Give the column with the identifiers one of these names."
        )
    return key, 0, False


def _identifiers(rows: Iterable[tuple[int, list[str]]], key: str, column: int) -> Iterator[Line]:
    for number, cells in rows:
        yield _line(number, cells[column] if column < len(cells) else "", key)


def _line(number: int, cell: str, key: str) -> Line:
    identifier = cell.strip()
    longest = LONGEST[key]
    if not identifier:
        return Line(number, "", EMPTY)
    if not identifier.isprintable():
        return Line(number, "".join(filter(str.isprintable, identifier))[:longest], INVISIBLE)
    if len(identifier) > longest:
        return Line(number, identifier[:longest], LONG)
    if key == EMAIL and ("@" not in identifier.strip("@") or " " in identifier):
        return Line(number, identifier, MALFORMED)
    return Line(number, identifier)
