"""Files of identifiers on their way to memberships: kept in parts, matched with customers, carried out or thrown away.

Like a run's records they are matched part by part, each in a transaction that also says how far it is. So it makes no
difference who goes on, when, or whether two do. The identifiers that were matched are forgotten with their part; what
remains of them are the customers, until the run has them, and the lines that mean nobody, for BODY_RETENTION_DAYS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..exceptions import BlueshiftSyncError, UnusableFile
from ..models import (
    Customer,
    ListImport,
    ListImportChunk,
    ListImportMatch,
    ListImportPart,
    ListMembership,
    SyncRun,
    SyncState,
)
from ..models.fields import EmailKeyField
from .claim import mirror
from .drain import never
from .gathering import SILENCE
from .identifier_files import EMAIL, NOTHING_IN_IT, Line
from .jobs import queue_quietly
from .locks import gives_way
from .redis import SITE_PATIENCE, WORKER_PATIENCE
from .selections import Selection
from .statements import delete_rows, find_rows, find_values, insert_rows
from .wake import DRAIN_SECONDS

State = ListImport.State
#: Lines in a part.
PART = 1000
#: Parts written in one transaction.
WRITTEN_AT_ONCE = 20
#: Rows deleted in one transaction: of customers, of parts, and of pieces of files.
SLICE = 5000
PARTS_SLICE = 50
CHUNKS_SLICE = 10
#: For so long a file waits for somebody's yes.
KEPT_FOR = timedelta(days=1)

#: What may be said of a line that isn't bad.
UNKNOWN, REPEATED = "unknown", "repeated"

NOT_READY = "The file isn't waiting to be carried out: it has been, or was thrown away, or is still being matched."
THROWN_AWAY = "The file was thrown away while it was being read. Nothing was changed."
IN_USE = "The file is being carried out; cancel its run instead."


# Keeping a file


def keep(list_import: ListImport, lines: Iterable[Line]) -> None:
    """Writes the lines down, to be matched; where they can't be read, nothing is kept and the error goes its way."""
    try:
        write(list_import, _some(lines))
        say_read(list_import)
    except BaseException:
        _forget(list_import.pk)
        ListImport.objects.using(mirror()).filter(pk=list_import.pk).delete()
        raise
    list_import.refresh_from_db()


def _some(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines. Raises UnusableFile where there are none."""
    line = None
    for line in lines:
        yield line
    if line is None:
        raise UnusableFile(NOTHING_IN_IT)


def write(list_import: ListImport, lines: Iterator[Line]) -> None:
    """Writes the lines down. Raises UnusableFile where somebody throws the file away, or begins to read it anew."""
    while few := list(islice(lines, WRITTEN_AT_ONCE * PART)):
        _write_parts(list_import, few)


def say_read(list_import: ListImport) -> None:
    """Has the lines matched that were written down. Raises UnusableFile as `write` does."""
    being_read = ListImport.objects.using(mirror()).filter(
        pk=list_import.pk, state=State.UPLOADING, readings=list_import.readings
    )
    if not being_read.update(state=State.MATCHING, heartbeat_at=timezone.now()):
        raise UnusableFile(THROWN_AWAY)


def _write_parts(list_import: ListImport, lines: Sequence[Line]) -> None:
    with transaction.atomic(using=mirror()):
        kept = locked(list_import.pk)
        if kept is None or (kept.state, kept.readings) != (State.UPLOADING, list_import.readings):
            raise UnusableFile(THROWN_AWAY)
        parts = []
        for start in range(0, len(lines), PART):
            few = lines[start : start + PART]
            problems = [list(line) for line in few if line.problem]
            good = [[line.number, line.identifier] for line in few if not line.problem]
            parts.append((list_import.pk, list_import.parts_read, good, problems, len(problems)))
            list_import.parts_read += 1
            list_import.lines += len(few)
            list_import.bad += len(problems)
        insert_rows(ListImportPart, ["list_import", "number", "lines", "problems", "problem_count"], parts)
        list_import.heartbeat_at = timezone.now()
        list_import.save(using=mirror(), update_fields=["parts_read", "lines", "bad", "heartbeat_at"])


# Matching


def match(import_id: int, *, seconds: float | None, asked_to_stop: Callable[[], bool] = never) -> bool:
    """Goes on with the import until all is matched, `seconds` are over or `asked_to_stop()`. False: there is more."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while _match_part(import_id):
        if (deadline is not None and time.monotonic() >= deadline) or asked_to_stop():
            return False
    return True


def match_in_job(import_id: int, asked_to_stop: Callable[[], bool]) -> None:
    """As `match`, and has a fresh job do what is left."""
    if not match(import_id, seconds=DRAIN_SECONDS, asked_to_stop=asked_to_stop):
        match_later(import_id)


def match_later(import_id: int) -> None:
    """Has a job go on with the import once the transaction commits. Where it can't be queued, the sweep does it."""
    transaction.on_commit(lambda: _queue(import_id, SITE_PATIENCE), using=mirror(), robust=True)


def _queue(import_id: int, patience: float) -> None:
    queue_quietly("match_import", f"import {import_id}", patience, import_id=import_id)


@gives_way
def _match_part(import_id: int) -> bool:
    """Returns whether there may be more to do."""
    row = locked(import_id)
    if row is None or row.state != State.MATCHING:
        return False
    parts = ListImportPart.objects.using(mirror()).select_for_update()
    part = parts.filter(list_import=row, number=row.parts_matched).first()
    if part is None:
        row.state = State.READY
        row.save(using=mirror(), update_fields=["state"])
        return False
    customers_of = _customers_of(row, [identifier for _number, identifier in part.lines])
    problems = list(_match_lines(row, part, customers_of))
    part.problems = sorted([*part.problems, *problems])
    part.problem_count = len(part.problems)
    part.lines = []
    part.save(using=mirror())
    row.parts_matched += 1
    row.heartbeat_at = timezone.now()
    row.save(using=mirror())
    return True


def _customers_of(row: ListImport, identifiers: Iterable[str]) -> Mapping[str, list[int]]:
    """The customers whom each identifier means. Of an e-mail address these may be several."""
    column = "email_key" if row.identifier_key == EMAIL else "customer_id"
    found: dict[str, list[int]] = {}
    keys = sorted({_key(row, identifier) for identifier in identifiers})
    for key, pk in find_values(Customer, [column, "id"], **{column: keys}):
        found.setdefault(key, []).append(pk)
    return found


def _key(row: ListImport, identifier: str) -> str:
    return key_of_email(identifier) if row.identifier_key == EMAIL else identifier


def key_of_email(email: str) -> str:
    """What the mirror finds a customer by, whatever the case of the letters."""
    return EmailKeyField.key_of(email)


def _match_lines(row: ListImport, part: ListImportPart, customers_of: Mapping[str, list[int]]) -> Iterator[list[Any]]:
    """Notes whom the part's lines mean, and counts them. Yields those that mean nobody new."""
    everybody = [pk for pks in customers_of.values() for pk in pks]
    seen = {pk for (pk,) in find_values(ListImportMatch, ["customer"], list_import=row.pk, customer=everybody)}
    new: list[int] = []
    for number, identifier in part.lines:
        pks = customers_of.get(_key(row, identifier), [])
        fresh = [pk for pk in pks if pk not in seen]
        if not pks:
            row.unknown += 1
            yield [number, identifier, UNKNOWN]
        elif not fresh:
            row.repeated += 1
            yield [number, identifier, REPEATED]
        else:
            row.matched += 1
            seen.update(fresh)
            new += fresh
    insert_rows(ListImportMatch, ["list_import", "customer"], [(row.pk, pk) for pk in sorted(new)])
    row.customers += len(new)
    found = standing(row.customer_list_id, new, is_member=row.is_member)
    row.in_step += len(found.as_wanted)
    row.excluded += len(found.excluded)


class Standing(NamedTuple):
    """Of some customers, those with whom there is nothing to do, and those of whom nothing would be sent."""

    as_wanted: set[int]
    excluded: set[int]


def standing(customer_list: int, customers: Sequence[int], *, is_member: bool) -> Standing:
    """How they stand to what is wanted of them: as it is, done or on its way; or it can't be done, as somebody or the
    customer's source has excluded the membership or the customer. An excluded customer is still taken off a list.
    """
    memberships = find_values(
        ListMembership, ["customer", "is_member", "state"], customer_list=customer_list, customer=list(customers)
    )
    wanted = {pk: state for pk, wanted, state in memberships if bool(wanted) is is_member}
    excluded = {pk for pk, _wanted, state in memberships if state == SyncState.State.EXCLUDED}
    if is_member:
        withdrawn = find_rows(Customer, id=list(customers), state=SyncState.State.EXCLUDED.value)
        excluded |= {pk for pk in withdrawn if wanted.get(pk) != SyncState.State.SYNCED}
    failed = SyncState.State.FAILED
    return Standing({pk for pk, state in wanted.items() if state != failed} - excluded, excluded)


# Carrying it out


def start(import_id: int, run: SyncRun) -> Selection:
    """Says that the run carries the import out. Returns what it has to go through. Raises BlueshiftSyncError.

    For the transaction in which the run is made.
    """
    row = locked(import_id)
    if row is None or row.state != State.READY:
        raise BlueshiftSyncError(NOT_READY)
    row.state = State.STARTED
    row.run = run
    row.heartbeat_at = timezone.now()
    row.save(using=mirror(), update_fields=["state", "run", "heartbeat_at"])
    return Selection(ListImportMatch, Q(list_import=row.pk))


def cancel(import_id: int) -> None:
    """Throws the file away. Raises BlueshiftSyncError for one that is carried out, or was."""
    _say_cancelled(import_id)
    _forget(import_id)


@gives_way
def _say_cancelled(import_id: int) -> None:
    row = locked(import_id)
    if row is None or row.state in {State.STARTED, State.DONE}:
        raise BlueshiftSyncError(IN_USE)
    row.state = State.CANCELLED
    row.save(using=mirror(), update_fields=["state"])


def tidy() -> None:
    """For the sweep: queues jobs for imports that nobody goes on with, and forgets what nobody needs any more."""
    now = timezone.now()
    imports = ListImport.objects.using(mirror())
    to_go_on_with = Q(state=State.MATCHING) | Q(
        state=State.UPLOADING, pk__in=ListImportChunk.objects.values("list_import")
    )
    for pk in _pks(imports.filter(to_go_on_with, heartbeat_at__lt=now - timedelta(seconds=SILENCE))):
        # Not again before it has had its time.
        imports.filter(pk=pk).update(heartbeat_at=now)
        _queue(pk, WORKER_PATIENCE)
    for pk in _pks(imports.filter(state__in=ListImport.OPEN_STATES, heartbeat_at__lt=now - KEPT_FOR)):
        with suppress(BlueshiftSyncError):  # somebody has just said yes to it
            cancel(pk)
    for pk in _pks(imports.filter(Q(run=None) | Q(run__closed_at__isnull=False), state=State.STARTED)):
        _delete_slices(ListImportMatch, pk, SLICE)  # a cancelled run leaves some
        imports.filter(pk=pk, state=State.STARTED).update(state=State.DONE)


# What is kept


def problem_lines(list_import: ListImport) -> Iterator[tuple[int, str, str]]:
    """Number, identifier and what is wrong, of the lines that mean nobody new, in their order; part by part."""
    parts = ListImportPart.objects.using(mirror()).filter(list_import=list_import, problem_count__gt=0)
    after = -1
    while (part := parts.filter(number__gt=after).order_by("number").first()) is not None:
        after = part.number
        yield from (tuple(line) for line in part.problems)


def erase_from_imports(customer: int, identifiers: Collection[str], erased: str) -> int:
    """Has no file name this person any more; `erased` stands for it. Returns how many lines were emptied."""
    keys = {key_of_email(identifier) for identifier in identifiers}
    open_imports = _pks(ListImport.objects.using(mirror()).filter(state__in=[*ListImport.OPEN_STATES, State.STARTED]))
    delete_rows(ListImportMatch, list_import=open_imports, customer=customer)
    emptied = 0
    last = 0
    while pks := _pks(ListImportPart.objects.using(mirror()).filter(pk__gt=last), PARTS_SLICE):
        last = pks[-1]
        emptied += sum(_erase_from_part(pk, keys, erased) for pk in pks)
    return emptied


@gives_way
def _erase_from_part(pk: int, keys: Collection[str], erased: str) -> int:
    part = ListImportPart.objects.using(mirror()).select_for_update().filter(pk=pk).first()
    if part is None:
        return 0
    named = [line for line in [*part.lines, *part.problems] if key_of_email(line[1]) in keys]
    for line in named:
        line[1] = erased
    if named:
        part.save(using=mirror(), update_fields=["lines", "problems"])
    return len(named)


def _forget(import_id: int) -> None:
    _delete_slices(ListImportChunk, import_id, CHUNKS_SLICE)
    _delete_slices(ListImportPart, import_id, PARTS_SLICE)
    _delete_slices(ListImportMatch, import_id, SLICE)


def _delete_slices(model: type[Any], import_id: int, size: int) -> None:
    rows: QuerySet[Any] = model._default_manager.using(mirror()).filter(list_import=import_id)
    while pks := _pks(rows, size):
        _delete(model, pks)


@gives_way
def _delete(model: type[Any], pks: Sequence[int]) -> None:
    delete_rows(model, id=pks)


def _pks(rows: QuerySet[Any], at_most: int | None = None) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[:at_most])


def locked(import_id: int) -> ListImport | None:
    """The import, under a lock until the transaction ends."""
    return ListImport.objects.using(mirror()).select_for_update().filter(pk=import_id).first()
