"""Files of identifiers, whose customers are put on a list, or taken off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import IO, Any, cast

from django.db import router, transaction

from ..delivery import gathering, identifier_files, imports, uploads
from ..exceptions import BlueshiftSyncError
from ..models import CustomerList, ListImport, ListMembership, SyncRun
from .runs import Trigger, go_on_gathering, new_run


def import_members(
    customer_list: CustomerList,
    identifiers: IO[bytes] | Iterable[str],
    requested_by: Any = None,
    *,
    is_member: bool = True,
    identifier_key: str = "",
    trigger: Trigger = Trigger.COMMAND,
) -> SyncRun:
    """Puts the customers with these identifiers on the list, or takes them off, and sends that.

    `identifiers` are a CSV file, opened for reading bytes, or texts, which are then `identifier_key` ("email" or
    "customer_id", else the list's own). Returns once all of them are matched, which takes about half a minute for each
    million; who isn't known is passed over: `run.imports.get()` counts the lines. Raises UnusableFile for a file that
    can't be read, and BlueshiftSyncError where there is not one identifier.
    """
    row = _keep_import(customer_list, identifiers, requested_by, is_member=is_member, identifier_key=identifier_key)
    imports.match(row.pk, seconds=None)
    return start_import(row, requested_by, trigger=trigger)


def prepare_import(
    customer_list: CustomerList,
    file: IO[bytes],
    requested_by: Any = None,
    *,
    is_member: bool = True,
    filename: str = "",
) -> ListImport:
    """Keeps a CSV file of identifiers for somebody to look at before anything happens: see `start_import`.

    It says how many lines match a customer, and which don't, once it is READY. A small file is read at once, and so
    much of it is matched as a request may take; a job does the rest. Of a larger one its bytes are kept, and a job does
    it all. Raises UnusableFile for a file that can't be read, of which nothing is kept.
    """
    beginning, is_all = uploads.beginning_of(file)
    if is_all:
        file = BytesIO(beginning)
        row = _keep_import(customer_list, file, requested_by, is_member=is_member, filename=filename)
        if not imports.match(row.pk, seconds=gathering.REQUEST_SECONDS):
            imports.match_later(row.pk)
    else:
        key, _lines = identifier_files.read_file(BytesIO(beginning), customer_list.identifier_key)
        row = _new_import(customer_list, requested_by, key, is_member=is_member, filename=filename)
        uploads.keep_file(row, beginning, file)
        imports.match_later(row.pk)
    row.refresh_from_db()
    return row


def _new_import(
    customer_list: CustomerList, requested_by: Any, key: str, *, is_member: bool, filename: str
) -> ListImport:
    """One that isn't saved yet."""
    return ListImport(
        customer_list=customer_list,
        is_member=is_member,
        identifier_key=key,
        filename=filename[-255:],
        requested_by=requested_by,
    )


def _keep_import(
    customer_list: CustomerList,
    identifiers: IO[bytes] | Iterable[str],
    requested_by: Any,
    *,
    identifier_key: str = "",
    filename: str = "",
    is_member: bool,
) -> ListImport:
    if identifier_key and identifier_key not in CustomerList.IdentifierKey.values:
        known = " or ".join(CustomerList.IdentifierKey.values)
        raise BlueshiftSyncError(f"The identifiers are {known}, not {identifier_key!r}.")
    key = identifier_key or customer_list.identifier_key
    if hasattr(identifiers, "read"):
        key, lines = identifier_files.read_file(cast("IO[bytes]", identifiers), key)
    elif key:
        lines = identifier_files.lines_of(identifiers, key)
    else:
        raise BlueshiftSyncError("The list hasn't been read from Blueshift yet: say which identifier is given.")
    row = _new_import(customer_list, requested_by, key, is_member=is_member, filename=filename)
    row.save()
    imports.keep(row, lines)
    return row


def start_import(list_import: ListImport, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Does what `prepare_import` was asked to prepare. Returns the run, which has its customers bit by bit, as `push`
    does it. Raises BlueshiftSyncError for an import that isn't READY.
    """
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        run = new_run(ListMembership, trigger, requested_by)
        selection = imports.start(list_import.pk, run)
        options = {"list": list_import.customer_list_id, "is_member": list_import.is_member}
        gathering.begin(run, [selection], "import_members", **options)
    list_import.refresh_from_db()
    return go_on_gathering(run)


def cancel_import(list_import: ListImport) -> None:
    """Throws away what `prepare_import` kept. Raises BlueshiftSyncError once it has been started."""
    imports.cancel(list_import.pk)
    list_import.refresh_from_db()


def go_on_matching(import_id: int, asked_to_stop: Callable[[], bool]) -> None:
    """Goes on with an import that hasn't been read or matched to the end. For the job that does so."""
    if uploads.read_kept_file(import_id, asked_to_stop):
        imports.match_in_job(import_id, asked_to_stop)
    else:
        imports.match_later(import_id)
