"""What is done to the records of one slice, in its transaction; `services` makes actions for `gathering` of it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.utils import timezone

from ..models import Customer, CustomerList, ListImportMatch, ListMembership, SyncRun, SyncState
from ..models.lists import MEMBERSHIP_COLUMNS
from .gathering import Done
from .imports import standing
from .push import make_due, runs_of_waiting, sendable
from .runs import SentModel
from .selections import SelectionLost
from .statements import delete_rows, find_values, insert_copies, update_each

State = SyncState.State
EXCLUDED_BY_OPERATOR = SyncState.EXCLUDED_BY_OPERATOR
EXCLUDED_MESSAGE = "Somebody excluded it in the admin. It isn't sent until somebody includes it again."


def send(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Has these records sent. With `only_changed` in the run's scope those stay as they are that are in step."""
    # What several rows lead to, as results do, is sent once in a run.
    rows = _rows(model, pks).exclude(run=run)
    unchanged = 0
    if run.scope.get("only_changed"):
        unchanged = rows.filter(state=State.SYNCED).count()
        rows = rows.exclude(state=State.SYNCED)
    asked_for = sendable(rows)
    overtaken = runs_of_waiting(asked_for)
    return Done(added=make_due(asked_for, run), unchanged=unchanged, overtaken=overtaken)


def set_members(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Says whether these customers should be on the list, as the run's scope has it, and has that sent."""
    return _send_said(run, say_members(run.scope["list"], pks, is_member=run.scope["is_member"], run=run))


def import_members(run: SyncRun, pks: Sequence[int]) -> Done:
    """As `set_members`, for the customers of an import, which are done with then. Not of those who are as wanted."""
    found = find_values(ListImportMatch, ["customer"], id=list(pks))
    # Somebody may have deleted some of them since they were found.
    customers = list(_rows(Customer, [pk for (pk,) in found]).order_by("pk").values_list("pk", flat=True))
    in_step = standing(run.scope["list"], customers, is_member=run.scope["is_member"]).as_wanted
    to_change = [pk for pk in customers if pk not in in_step]
    done = set_members(run, Customer, to_change) if to_change else Done()
    done.unchanged += len(in_step)
    delete_rows(ListImportMatch, id=list(pks))
    return done


def change_memberships(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Says of these memberships whether the customer should be on the list, and has that sent."""
    return _send_said(run, _say(_rows(ListMembership, pks), is_member=run.scope["is_member"]))


def send_anew(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Has these memberships sent as if none of them had ever been: their list is another one now."""
    _rows(ListMembership, pks).update(
        version=F("version") + 1,
        synced_version=0,
        synced_fingerprint="",
        synced_is_member=None,
        synced_identifier="",
        synced_asynchronously=False,
    )
    return send(run, ListMembership, pks)


def _send_said(run: SyncRun, said: Said) -> Done:
    done = send(run, ListMembership, said.to_send)
    return replace(
        done,
        added=done.added + said.in_run,
        unchanged=done.unchanged + said.in_step,
        overtaken=done.overtaken | said.overtaken,
    )


def exclude(run: SyncRun, model: SentModel, pks: Sequence[int]) -> Done:
    """Has the records not sent any more, until `include`. What Blueshift has of them it keeps."""
    rows = _rows(model, pks).exclude(error_code__in=[EXCLUDED_BY_OPERATOR, "source_deleted"])
    overtaken = runs_of_waiting(rows)
    being_sent = When(state=State.SENDING, then=F("due_at"))
    changed = rows.update(
        # A call that carries it now is settled by that: the record has changed since, see `mark_changed`.
        version=F("version") + 1,
        run=Case(When(state=State.SENDING, then=F("run_id")), default=Value(None)),
        due_at=Case(being_sent, default=Value(None)),
        waiting_since=Case(When(state=State.SENDING, then=F("waiting_since")), default=Value(None)),
        state=Case(When(state=State.SENDING, then=Value(State.SENDING)), default=Value(State.EXCLUDED)),
        attempts=0,
        batch_limit=None,
        error_code=EXCLUDED_BY_OPERATOR,
        error_message=EXCLUDED_MESSAGE,
        error_cause="",
    )
    return Done(changed=changed, overtaken=overtaken)


def include(run: SyncRun, rows: QuerySet[Any]) -> int:
    """Has those of the rows sent again that an operator excluded. Returns how many that are.

    Those of which Blueshift has the newest are in step at once.
    """
    excluded = rows.filter(error_code=EXCLUDED_BY_OPERATOR)
    excluded.filter(state=State.SENDING).update(error_code="", error_message="")
    known = Q(fingerprint=F("synced_fingerprint")) & ~Q(fingerprint="")
    in_step = excluded.filter(known).update(
        state=State.SYNCED, synced_version=F("version"), error_code="", error_message=""
    )
    now = timezone.now()
    in_no_other_run = {"left_run": None} if rows.model is ListMembership else {}
    waiting = excluded.update(
        **in_no_other_run,
        state=State.PENDING,
        run=run,
        due_at=now,
        waiting_since=now,
        error_code="",
        error_message="",
    )
    return in_step + waiting


@dataclass(frozen=True)
class Said:
    """Memberships of which somebody has said what they should be: the keys of those that have to be sent for it.

    `in_step` counts the others, of whom Blueshift is known to have it so. `overtaken` are the runs that they waited in.
    `in_run` counts those that were made in the run that asks for it, and are due in it.
    """

    to_send: list[int]
    in_step: int
    overtaken: set[int]
    in_run: int = 0


def say_members(customer_list: int, customers: Sequence[int], *, is_member: bool, run: SyncRun | None = None) -> Said:
    """Says whether these customers should be on the list. Memberships that aren't there are made, in `run` if given.

    Raises SelectionLost where there is no such list any more.
    """
    using = router.db_for_write(ListMembership)
    if not CustomerList.objects.using(using).filter(pk=customer_list).exists():
        raise SelectionLost("The customer list was deleted on this site.")
    memberships = ListMembership.objects.using(using).filter(customer_list=customer_list, customer__in=customers)
    known = set(memberships.values_list("customer_id", flat=True))
    new = [pk for pk in customers if pk not in known]
    template = ListMembership(customer_list_id=customer_list, version=0, run=run)
    template.set_member(is_member, due_at=timezone.now())
    if _insert(template, new) and run is not None:
        memberships = memberships.filter(customer__in=known)
        made = len(new)
    else:
        made = 0
    columns = ("pk", "customer_id", "is_member", "run_id")
    rows = list(memberships.select_for_update().order_by("pk").values_list(*columns))
    # Of those that weren't known, somebody else may have just said the opposite.
    to_say = {pk for pk, customer, wanted, _run in rows if customer in known or wanted != is_member}
    in_run = {pk for pk, _customer, _wanted, run_id in rows if run is not None and run_id == run.pk} - to_say
    said = _say(_rows(ListMembership, sorted(to_say)), is_member=is_member)
    as_said = {pk for pk, *_ in rows} - to_say - in_run
    return replace(said, to_send=sorted(as_said.union(said.to_send)), in_run=len(in_run) + made)


def _insert(template: ListMembership, customers: Sequence[int]) -> bool:
    """Makes a membership like this for each of these customers. False: somebody else has made some of them since."""
    using = router.db_for_write(ListMembership)
    try:
        with transaction.atomic(using=using):
            insert_copies(template, "customer_id", customers)
    except IntegrityError:
        new = [copy(template) for _ in customers]
        for row, customer in zip(new, customers, strict=True):
            row.customer_id = customer
        ListMembership.objects.using(using).bulk_create(new, ignore_conflicts=True)
        return False
    return True


def _say(memberships: QuerySet[ListMembership], *, is_member: bool) -> Said:
    rows = list(memberships.select_for_update().order_by("pk"))
    now = timezone.now()
    overtaken = {row.run_id for row in rows if row.state == State.PENDING and row.run_id is not None}
    for row in rows:
        if row.state == State.PENDING:  # it leaves its run: what was asked for there isn't wanted any more
            row.run = None
        row.set_member(is_member, due_at=now)
    update_each(rows, MEMBERSHIP_COLUMNS)
    to_send = [row.pk for row in rows if row.state != State.SYNCED]
    return Said(to_send, len(rows) - len(to_send), overtaken)


def _rows(model: type[Model], pks: Sequence[int]) -> QuerySet[Any]:
    rows: QuerySet[Any] = model._default_manager.using(router.db_for_write(model)).filter(pk__in=pks)
    return rows
