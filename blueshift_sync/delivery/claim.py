"""Claiming: what claims of customers and of memberships have in common.

A claim is a lease: the records of one call are SENDING and carry its token until `claim_expires_at`. Due records are
read under a lock, and marked in the same transaction. Where the database can, rows that another worker is just
claiming are skipped instead of waited for.

What a claim returns is sent as it was read under that lock.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from ..conf import app_settings
from ..models import Customer, SyncRun, SyncState
from ..models.state import failure
from .lease import Lease
from .locks import gives_way
from .policy import Isolate, next_batch_limit
from .runs import note_outcomes
from .statements import ByKey, update_rows

#: What is said of a record that can't be written down.
NOT_JSON = (
    "value_not_sendable",
    "This record can't be written as JSON: its attributes are no object, or hold a value that JSON doesn't know.",
)

RunForChanges = Callable[[SyncRun.Kind], int]

#: The columns of a record that belongs to no claim.
RELEASED: dict[str, Any] = {"claim_token": None, "claim_expires_at": None, "claimed_version": None}  # nosec B105  # a claim's token is no password


@dataclass
class Claim:
    """Records that belong to one call, in the order in which they are sent."""

    token: uuid.UUID
    run_id: int
    records: Sequence[Any]
    lease: Lease = field(default_factory=Lease)

    @property
    def attempt(self) -> int:
        """The number of this attempt for the record that was tried most often."""
        return 1 + max(int(record.attempts) for record in self.records)


def mirror() -> str:
    """The database of the mirror."""
    return router.db_for_write(Customer)


def due(model: type[Any], of_run: int | None = None) -> QuerySet[Any]:
    """The records that are to be sent now, those that are due for longest first; all of them, or those of one run."""
    queryset: QuerySet[Any] = (
        model.objects.using(mirror())
        .filter(state=SyncState.State.PENDING, due_at__lte=timezone.now())
        .order_by("due_at", "pk")
    )
    return queryset if of_run is None else queryset.filter(run=of_run)


def locked(rows: QuerySet[Any]) -> QuerySet[Any]:
    """`rows` under a lock until the transaction ends, without those that others hold where the database can tell."""
    can_skip = connections[rows.db].features.has_select_for_update_skip_locked
    return rows.select_for_update(skip_locked=can_skip)


def into_calls(rows: Iterable[Any], size: int, calls: int) -> list[list[Any]]:
    """The rows of each of up to so many calls: of one run, and in no larger company than each of them may go in.

    Rows that don't fit are left out. Those of a call are in the order of their primary keys.
    """
    filled: list[list[Any]] = []
    open_for: dict[int | None, tuple[list[Any], int]] = {}
    for row in rows:
        limit = row.batch_limit or size
        call, smallest = open_for.get(row.run_id, ([], 0))
        if len(call) >= min(limit, smallest):
            if len(filled) == calls:
                continue
            call, smallest = [], size
            filled.append(call)
        call.append(row)
        open_for[row.run_id] = call, min(limit, smallest)
    for call in filled:
        call.sort(key=lambda row: row.pk)
    return filled


def take(
    model: type[Any],
    calls: Sequence[list[Any]],
    kind: SyncRun.Kind,
    name_run: RunForChanges,
    **columns: Callable[[Any], Any],
) -> list[Claim]:
    """Marks the rows of each call as SENDING. Only for rows that were read under a lock in this transaction.

    `columns` say what else becomes of a row by that.
    """
    if not calls:
        return []
    new_in_run = sum(len(rows) for rows in calls if rows[0].run_id is None)
    run_for_changes = name_run(kind) if new_in_run else 0
    claims = [Claim(uuid.uuid4(), rows[0].run_id or run_for_changes, rows) for rows in calls]
    rows = [row for call in calls for row in call]
    _lease(model, claims, {name: ByKey.of({row.pk: value(row) for row in rows}) for name, value in columns.items()})
    if new_in_run:
        SyncRun.objects.filter(pk=run_for_changes).update(total=F("total") + new_in_run, heartbeat_at=timezone.now())
    return claims


def _lease(model: type[Any], claims: Sequence[Claim], columns: Mapping[str, Any]) -> None:
    keys = [[row.pk for row in claim.records] for claim in claims]
    run_ids = ByKey.of_groups((claim.run_id, its_keys) for claim, its_keys in zip(claims, keys, strict=True))
    tokens = ByKey.of_groups((claim.token, its_keys) for claim, its_keys in zip(claims, keys, strict=True))
    values = {
        "state": SyncState.State.SENDING.value,
        "claim_token": tokens,
        # By the database's clock, for those of two workers may differ.
        "claim_expires_at": Now() + timedelta(seconds=app_settings().LEASE_SECONDS),
        "claimed_version": F("version"),
        "synced_fingerprint": "",  # from here on nobody knows what Blueshift holds, until it answers
        "error_code": "",
        "error_message": "",
        "run": run_ids,
        **columns,
    }
    update_rows(model, [row.pk for claim in claims for row in claim.records], values)


def give_back(model: type[Any], claim: Claim, claimed: Sequence[Any]) -> None:
    """Returns those of the `claimed` records that the claim doesn't hold any more; they are due in a second."""
    kept = {record.pk for record in claim.records}
    returned = [record.pk for record in claimed if record.pk not in kept]
    let_go(model, claim, returned, **next_state(timezone.now() + timedelta(seconds=1)))


def release(model: type[Any], claim: Claim) -> None:
    """Gives up a claim that was not sent: its records are due as before."""
    let_go(model, claim, [record.pk for record in claim.records], **next_state(timezone.now()))


def put_aside(model: type[Any], claim: Claim, code: str, message: str) -> None:
    """No call can be made of the claim's records together. One that stands alone is FAILED, with code and sentence."""
    pks = [record.pk for record in claim.records]
    if len(pks) == 1:
        refuse(claim, model, pks, code, message)
    else:
        let_go(model, claim, pks, **next_state(timezone.now()), batch_limit=next_batch_limit(Isolate.HALVES, len(pks)))


def refuse(claim: Claim, model: type[Any], pks: Sequence[int], code: str, message: str) -> None:
    """Marks records FAILED that could never be matched, without asking Blueshift."""
    refused = let_go(model, claim, pks, **failure(code, message, timezone.now()))
    if refused:
        note_outcomes(claim.run_id, accepted=0, rejected=refused)


def let_go(model: type[Any], claim: Claim, pks: Sequence[int], **columns: Any) -> int:
    """Takes records out of the claim, as PENDING or as `columns` say. Returns how many were still in it."""
    return _let_go(model, claim, pks, {"state": SyncState.State.PENDING, **columns, **RELEASED}) if pks else 0


@gives_way
def _let_go(model: type[Any], claim: Claim, pks: Sequence[int], columns: Mapping[str, Any]) -> int:
    rows = model.objects.using(mirror()).filter(pk__in=pks, claim_token=claim.token)
    updated: int = rows.update(**columns)
    return updated


def next_state(due_at: datetime, *, waiting_since: Any = None) -> dict[str, Any]:
    """Where a record goes that may have been changed since it was claimed: its error code says it, see `mark_changed`.

    One that is still to be sent is due at `due_at`, and waits since `waiting_since`, or as long as it did.
    """
    excluded = Q(error_code__in=SyncState.EXCLUDED_CODES)
    unsendable = Q(error_code__in=SyncState.UNSENDABLE_CODES)
    return {
        "state": Case(
            When(excluded, then=Value(SyncState.State.EXCLUDED)),
            When(unsendable, then=Value(SyncState.State.FAILED)),
            default=Value(SyncState.State.PENDING),
        ),
        "due_at": Case(When(excluded | unsendable, then=Value(None)), default=Value(due_at)),
        "waiting_since": Case(
            When(excluded | unsendable, then=Value(None)), default=waiting_since or F("waiting_since")
        ),
    }
