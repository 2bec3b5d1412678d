"""What is done to the rows of one slice: each function is an action for `gathering`, in the slice's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import router
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.utils import timezone

from ..models import ApiCall, Customer, ListMembership, RecordResult, SyncRun, SyncState
from ..models.lists import MEMBERSHIP_COLUMNS
from .gathering import Done
from .push import make_due, runs_of_waiting, sendable
from .runs import SentModel
from .statements import update_each

State = SyncState.State
EXCLUDED_BY_OPERATOR = SyncState.EXCLUDED_BY_OPERATOR
EXCLUDED_MESSAGE = "Somebody excluded it in the admin. It isn't sent until somebody includes it again."


def send(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
    """Has the records sent that the rows are, or that these calls carried, or that these results are of.

    With `only_changed` in the run's scope those stay as they are that are in step.
    """
    target, keys = _sent(run, model, pks)
    # What several rows lead to, as results do, is sent once in a run.
    rows = _rows(target, keys).exclude(run=run)
    unchanged = 0
    if run.scope.get("only_changed"):
        unchanged = rows.filter(state=State.SYNCED).count()
        rows = rows.exclude(state=State.SYNCED)
    asked_for = sendable(rows)
    overtaken = runs_of_waiting(asked_for)
    return Done(added=make_due(asked_for, run), unchanged=unchanged, overtaken=overtaken)


def set_members(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
    """Says whether these customers should be on the list, as the run's scope has it, and has that sent."""
    memberships = say_members(run.scope["list"], pks, is_member=run.scope["is_member"])
    return send(run, ListMembership, memberships)


def change_memberships(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
    """Says of these memberships whether the customer should be on the list, and has that sent."""
    _say(_rows(ListMembership, pks), is_member=run.scope["is_member"])
    return send(run, ListMembership, pks)


def exclude(run: SyncRun, model: type[Model], pks: Sequence[int]) -> Done:
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
    waiting = excluded.update(
        state=State.PENDING, run=run, due_at=now, waiting_since=now, error_code="", error_message=""
    )
    return in_step + waiting


def say_members(customer_list: int, customers: Sequence[int], *, is_member: bool) -> list[int]:
    """Says whether these customers should be on the list. Returns the keys of their memberships."""
    using = router.db_for_write(ListMembership)
    memberships = ListMembership.objects.using(using).filter(customer_list=customer_list, customer__in=customers)
    known = set(memberships.values_list("customer_id", flat=True))
    ListMembership.objects.using(using).bulk_create(
        [
            ListMembership(customer_list_id=customer_list, customer_id=pk, is_member=is_member, version=0)
            for pk in customers
            if pk not in known
        ],
        ignore_conflicts=True,
    )
    return _say(memberships, is_member=is_member)


def _say(memberships: QuerySet[ListMembership], *, is_member: bool) -> list[int]:
    rows = list(memberships.select_for_update().order_by("pk"))
    now = timezone.now()
    for row in rows:
        row.set_member(is_member, due_at=now)
    update_each(rows, MEMBERSHIP_COLUMNS)
    return [row.pk for row in rows]


def _sent(run: SyncRun, model: type[Model], pks: Sequence[int]) -> tuple[SentModel, list[int]]:
    """What the run sends for these rows."""
    if model not in {ApiCall, RecordResult}:
        return model, list(pks)  # type: ignore[return-value]
    results = RecordResult.objects.using(router.db_for_write(RecordResult)).order_by()
    results = results.filter(call__in=pks) if model is ApiCall else results.filter(pk__in=pks)
    if run.kind == SyncRun.Kind.LISTS:
        found = results.filter(membership__isnull=False).values_list("membership_id", flat=True)
        return ListMembership, list(found.distinct())
    found = results.filter(membership=None, customer__isnull=False).values_list("customer_id", flat=True)
    return Customer, list(found.distinct())


def _rows(model: type[Model], pks: Sequence[int]) -> QuerySet[Any]:
    rows: QuerySet[Any] = model._default_manager.using(router.db_for_write(model)).filter(pk__in=pks)
    return rows
