"""Files that are too large to be read by a request: kept as they are, until a job has read them.

Who reads one begins at its beginning, whatever became of those who did so before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO, RawIOBase
from typing import IO, Any, cast

from django.db import transaction

from ..exceptions import UnusableFile
from ..models import ListImport, ListImportChunk, ListImportPart
from . import imports
from .claim import mirror
from .drain import never
from .identifier_files import Line, as_bytes, raw_lines, read_file
from .locks import gives_way
from .statements import delete_rows

State = ListImport.State
#: Bytes of a file that a request reads itself.
SMALL = 512 * 1024
#: Bytes of a piece, about.
CHUNK = 1024 * 1024


class AskedToStop(Exception):  # noqa: N818 - a finding, not a fault
    """The worker shuts down."""


def beginning_of(file: IO[bytes]) -> tuple[bytes, bool]:
    """What a request reads of the file by itself, and whether that is all of it."""
    beginning = b""
    while len(beginning) <= SMALL and (more := file.read(SMALL + 1 - len(beginning))):
        beginning += as_bytes(more)
    return beginning, len(beginning) <= SMALL


def keep_file(list_import: ListImport, beginning: bytes, rest: IO[bytes]) -> None:
    """Saves a new import with the bytes of its file, or nothing. Raises UnusableFile for what is no text."""
    whole = cast("IO[bytes]", _Joined(BytesIO(beginning), rest))
    with transaction.atomic(using=mirror()):
        list_import.save(using=mirror())
        for number, content in enumerate(_in_chunks(raw_lines(whole))):
            ListImportChunk.objects.using(mirror()).create(list_import=list_import, number=number, content=content)


class _Joined(RawIOBase):
    """Two files, one after the other."""

    def __init__(self, *files: IO[bytes]) -> None:
        self._files = files

    def read(self, size: int = -1, /) -> Any:
        return next(filter(None, (file.read(size) for file in self._files)), b"")


def _in_chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)


def read_kept_file(import_id: int, asked_to_stop: Callable[[], bool] = never) -> bool:
    """Reads the file of an import, if one is kept. False: the worker is to stop, and another one has to begin anew."""
    row = _begin(import_id)
    if row is None:
        return True
    try:
        _key, lines = read_file(cast("IO[bytes]", _KeptFile(import_id)), row.identifier_key)
        imports.write(row, _until(asked_to_stop, lines))
        _end(row)
    except AskedToStop:
        return False
    except UnusableFile:  # thrown away, or somebody else has begun anew
        return True
    return True


def read_all_kept_files() -> None:
    """Has no file kept as it was uploaded: for who looks for somebody in them."""
    waiting = ListImportChunk.objects.using(mirror()).order_by().values_list("list_import", flat=True).distinct()
    for import_id in list(waiting):
        read_kept_file(import_id)


@gives_way
def _begin(import_id: int) -> ListImport | None:
    row = imports.locked(import_id)
    chunks = ListImportChunk.objects.using(mirror()).filter(list_import=import_id)
    if row is None or row.state != State.UPLOADING or not chunks.exists():
        return None
    delete_rows(ListImportPart, list_import=import_id)
    row.readings += 1
    row.parts_read = row.lines = row.bad = 0
    row.save(using=mirror(), update_fields=["readings", "parts_read", "lines", "bad"])
    return row


@gives_way
def _end(row: ListImport) -> None:
    imports.say_read(row)
    delete_rows(ListImportChunk, list_import=row.pk)


def _until(asked_to_stop: Callable[[], bool], lines: Iterator[Line]) -> Iterator[Line]:
    for number, line in enumerate(lines):
        if number % imports.PART == 0 and asked_to_stop():
            raise AskedToStop
        yield line


class _KeptFile(RawIOBase):
    """The bytes of an import's file, one piece at a time."""

    def __init__(self, import_id: int) -> None:
        self._chunks = ListImportChunk.objects.using(mirror()).filter(list_import=import_id)
        self._number = 0
        self._piece = BytesIO()

    def read(self, size: int = -1, /) -> Any:
        if not (found := self._piece.read(size)):
            contents = self._chunks.filter(number=self._number).values_list("content", flat=True)
            self._number += 1
            self._piece = BytesIO(next(iter(contents), b""))
            found = self._piece.read(size)
        return found
