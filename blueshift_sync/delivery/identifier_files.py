"""Reading files of identifiers: what each line says, and what is wrong with it. Knows no database.

They are read by pieces of bounded size, however long they are, and whatever they are. A broken line costs nobody but
itself: it is reported, and the next one is read as if nothing had happened.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any, NamedTuple

from ..exceptions import UnusableFile
from ..models import CustomerList
from ..models.fields import LONGEST_EMAIL

EMAIL = CustomerList.IdentifierKey.EMAIL.value
CUSTOMER_ID = CustomerList.IdentifierKey.CUSTOMER_ID.value

#: Bytes read at a time.
CHUNK = 64 * 1024
#: Bytes of one line; what is beyond is passed over.
LONGEST_LINE = 64 * 1024
#: Lines over which one cell may go. A quotation mark that isn't closed within them won't be any more.
LONGEST_CELL = 100
LONGEST = {EMAIL: LONGEST_EMAIL, CUSTOMER_ID: 255}
DELIMITERS = (",", ";", "\t")
#: An e-mail address that may have quotation marks.
_QUOTED_EMAIL = re.compile(r'"[^"]+"@[^"]+')
#: What files in UTF-16 begin with.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

NOTHING_IN_IT = "There is not one identifier in it."

#: What is wrong with a line, by what is kept of it.
EMPTY, LONG, MALFORMED, INVISIBLE = "empty", "long", "malformed", "invisible"
ENCODING, QUOTES = "encoding", "quotes"
BAD = (EMPTY, LONG, MALFORMED, INVISIBLE, ENCODING, QUOTES)


class Line(NamedTuple):
    """An identifier and the number of the line that it begins on; `problem` is one of BAD, or empty."""

    number: int
    identifier: str
    problem: str = ""


class BrokenText(str):
    """A line of the file, as far as it can be read; `problem` is one of BAD."""

    problem: str

    @classmethod
    def of(cls, raw: bytes, problem: str) -> BrokenText:
        text = cls(raw.decode("utf-8", errors="replace"))
        text.problem = problem
        return text


class Row(NamedTuple):
    """The cells of one row, and the number of the line that it begins on; `problem` is one of BAD, or empty."""

    number: int
    cells: Sequence[str]
    problem: str = ""


def read_file(file: IO[bytes], identifier_key: str) -> tuple[str, Iterator[Line]]:
    """By which identifier the file names its customers, and its lines; blank ones aren't among them.

    `identifier_key` is what the list knows its customers by, if anything: the one that is taken where the file has both
    or has no header. Raises UnusableFile for what is no such file, while it is gone through too.
    """
    lines = _decoded(file)
    skipped, first = _first_line(lines)
    rows = _rows(chain([first], lines), _delimiter(first), skipped)
    row = next(rows, None)
    if row is None:
        raise UnusableFile(NOTHING_IN_IT)
    key, column, has_header = _column(row, identifier_key)
    if not has_header:
        rows = chain([row], rows)
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
    """The file's lines with their ends; broken ones as BrokenText."""
    for number, line in enumerate(raw_lines(file), start=1):
        if len(line) > LONGEST_LINE:
            yield BrokenText.of(line[:LONGEST_LINE], LONG)
            continue
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield BrokenText.of(line, ENCODING)


def raw_lines(file: IO[Any]) -> Iterator[bytes]:
    """The file's lines, as bytes. Of one that is longer than it may be only the beginning, which is too long as well.

    Raises UnusableFile for what is no text.
    """
    begun = b""
    number = 0  # of the lines that are complete
    while chunk := file.read(CHUNK):
        chunk = as_bytes(chunk)
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
        if len(begun) > LONGEST_LINE:
            begun = begun[:LONGEST_LINE] + begun[-1:]  # which may be its end
        number += len(lines)
        yield from lines
    if begun:
        yield begun


def as_bytes(read: Any) -> bytes:
    """What was read of a file. Raises UnusableFile for text."""
    if isinstance(read, str):
        raise UnusableFile('The file was opened for reading text. Open it for reading bytes, with the mode "rb".')
    return bytes(read)


def _rows(lines: Iterable[str], delimiter: str, skipped: int) -> Iterator[Row]:
    """The rows that aren't blank. A line in which the quotation marks don't fit together is one by itself."""
    to_come = _ToCome(lines)
    number = skipped + 1
    for first in to_come:
        problem = first.problem if isinstance(first, BrokenText) else ""
        cells, read = first.rstrip("\r\n").split(delimiter), 1
        if '"' in first and problem != LONG:
            try:
                cells, read = _quoted_cells(first, to_come, delimiter)
            except csv.Error:
                cells, problem = [cell.strip('"') for cell in cells], problem or QUOTES
            else:
                problem_further_on = to_come.pass_over(read - 1)
                problem = problem or problem_further_on
        if problem or any(cell.strip() for cell in cells):
            yield Row(number, cells, problem)
        number += read


def _quoted_cells(first: str, to_come: _ToCome, delimiter: str) -> tuple[list[str], int]:
    """The cells of the row that begins with this line, and of how many lines it is. Raises csv.Error."""
    reader = csv.reader(chain([first], to_come.ahead(LONGEST_CELL - 1)), delimiter=delimiter, strict=True)
    return next(reader), reader.line_num


class _ToCome:
    """Lines that can be looked at before it is their turn."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._seen: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._seen.popleft() if self._seen else next(self._lines)

    def ahead(self, count: int) -> Iterator[str]:
        """Up to so many of the next lines, no longer than one line may be in all; they are still to come."""
        size = 0
        for number in range(count):
            if number == len(self._seen):
                self._seen.extend(islice(self._lines, 1))
            if number == len(self._seen) or (size := size + len(self._seen[number])) > LONGEST_LINE:
                return
            yield self._seen[number]

    def pass_over(self, count: int) -> str:
        """Leaves out so many of the next lines. Returns what is wrong with the first of them that is broken, if any."""
        problems = [getattr(next(self), "problem", "") for _ in range(count)]
        return next(filter(None, problems), "")


def _column(row: Row, identifier_key: str) -> tuple[str, int, bool]:
    """The identifier, its column, and whether this first row is a header."""
    names = [_name(cell) for cell in row.cells]
    for key in (identifier_key, CUSTOMER_ID, EMAIL):
        if key in names:
            return key, names.index(key), True
    key = identifier_key or (EMAIL if "@" in row.cells[0] else CUSTOMER_ID)
    if key == EMAIL and "@" not in row.cells[0]:
        raise UnusableFile(
            f"Line {row.number} names no column “{EMAIL}” or “{CUSTOMER_ID}”, and begins with no e-mail address. "
            "Give the column with the identifiers one of these names."
        )
    return key, 0, False


def _identifiers(rows: Iterable[Row], key: str, column: int) -> Iterator[Line]:
    for number, cells, problem in rows:
        cell = cells[column] if column < len(cells) else ""
        yield Line(number, _visible(cell)[: LONGEST[key]], problem) if problem else _line(number, cell, key)


def _line(number: int, cell: str, key: str) -> Line:
    identifier = cell.strip()
    longest = LONGEST[key]
    if not identifier:
        return Line(number, "", EMPTY)
    if not identifier.isprintable():
        return Line(number, _visible(identifier)[:longest], INVISIBLE)
    if len(identifier) > longest:
        return Line(number, identifier[:longest], LONG)
    if key == EMAIL and '"' in identifier and not _QUOTED_EMAIL.fullmatch(identifier):
        return Line(number, identifier, QUOTES)
    if key == EMAIL and ("@" not in identifier.strip("@") or " " in identifier):
        return Line(number, identifier, MALFORMED)
    return Line(number, identifier)


def _visible(text: str) -> str:
    return "".join(filter(str.isprintable, text)).strip()
