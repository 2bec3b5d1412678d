"""Doing for a run what it was asked for, to all rows of its selections, slice by slice.

How far it is stands in the run's scope, and moves on in the transaction of each slice. So it makes no difference who
goes on, when, or whether two do: each row is dealt with once. The request that asks goes as far as it may take, a job
does the rest, and the sweep finds what a lost job left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import router, transaction
from django.db.models import F, Q
from django.utils import timezone

from ..models import ApiCall, SyncRun
from .drain import never
from .jobs import queue_quietly
from .locks import HeldBySomebody, gives_up, gives_way
from .redis import SITE_PATIENCE, WORKER_PATIENCE
from .runs import GATHERING, SELECTED, close_run, finish_if_done
from .selections import AnySelection, SelectionLost, selection_from_json
from .wake import DRAIN_SECONDS, wake_quietly

#: Rows dealt with in one transaction.
SLICE = 1000
#: Calls are of up to 500 records each.
CALLS_IN_A_SLICE = 10
#: Seconds that a request works on it before a job goes on.
REQUEST_SECONDS = 1.0
#: Seconds without progress after which the job is taken for lost.
SILENCE = 60.0


@dataclass
class Done:
    """What became of a slice: how many records the run gets, how many were in step, and how many were changed.

    `overtaken` are the runs from which records were taken over.
    """

    added: int = 0
    unchanged: int = 0
    changed: int = 0
    overtaken: set[int] = field(default_factory=set)


#: Deals with the rows of a selection that have these keys, in the transaction of their slice.
Action = Callable[[SyncRun, AnySelection, Sequence[Any]], Done]


class Overtaken(Exception):  # noqa: N818 - a finding, not a fault
    """Somebody else went on with the run, or cancelled it."""


def begin(run: SyncRun, selections: Sequence[AnySelection], do: str, **options: Any) -> None:
    """Saves a new run with what is to be done for it. `do` names the action, and `options` are for it."""
    run.scope = {
        **options,
        "do": do,
        "rows": [{"model": each.model._meta.label_lower, "where": each.impersonal} for each in selections],
        SELECTED: [selection.to_json() for selection in selections],
        "looked_at": 0,
        "changed": 0,
        GATHERING: [selection.whole for selection in selections],
    }
    run.save(using=_database())


def gather(
    run_id: int,
    actions: Mapping[str, Action],
    *,
    seconds: float,
    asked_to_stop: Callable[[], bool] = never,
    is_job: bool = False,
) -> bool:
    """Goes on with the run until all is done, `seconds` are over or `asked_to_stop()`. False: there is more to do.

    Only a job waits for as long as it takes until others let go of the rows.
    """
    deadline = time.monotonic() + seconds
    do_slice = (gives_way if is_job else gives_up)(_do_slice)
    try:
        while _gather_slice(partial(do_slice, run_id, actions)):
            if time.monotonic() >= deadline or asked_to_stop():
                return False
    except HeldBySomebody:
        return False
    except Overtaken:
        finish_if_done(run_id)
        return True
    except SelectionLost as error:
        SyncRun.objects.using(_database()).filter(pk=run_id).update(error=f"Not all was gathered. {error}")
    close_run(run_id)
    return True


def _gather_slice(do_slice: Callable[[], Done | None]) -> bool:
    done = do_slice()
    if done is None:
        return False
    for overtaken in done.overtaken:
        finish_if_done(overtaken)
    if done.added:
        wake_quietly()
    return True


def _do_slice(run_id: int, actions: Mapping[str, Action]) -> Done | None:
    """None: there was nothing more to do."""
    run = SyncRun.objects.using(_database()).filter(pk=run_id).first()
    where_it_is = run.scope.get(GATHERING) if run is not None else None
    if run is None or not where_it_is or run.closed_at is not None:
        return None
    scope = dict(run.scope)
    number = len(scope[SELECTED]) - len(where_it_is)
    selection = selection_from_json(scope[SELECTED][number])
    size = CALLS_IN_A_SLICE if selection.model is ApiCall else SLICE
    pks, to_come = selection.next_keys(where_it_is[0], size)
    done = actions[scope["do"]](run, selection, pks) if pks else Done()
    rest = where_it_is[1:] if to_come is None else [to_come, *where_it_is[1:]]
    scope |= {GATHERING: rest, "looked_at": scope["looked_at"] + len(pks), "changed": scope["changed"] + done.changed}
    if not rest:
        del scope[GATHERING]
    _move_on(run, scope, done)
    return done


def _move_on(run: SyncRun, scope: dict[str, Any], done: Done) -> None:
    """Only now is the run locked, as workers do it: after the records."""
    now = SyncRun.objects.using(_database()).select_for_update().get(pk=run.pk)
    if now.scope != run.scope or now.closed_at is not None:
        raise Overtaken
    SyncRun.objects.using(_database()).filter(pk=run.pk).update(
        scope=scope,
        total=F("total") + done.added,
        unchanged=F("unchanged") + done.unchanged,
        heartbeat_at=timezone.now(),
    )


def _database() -> str:
    return router.db_for_write(SyncRun)


# In the background


def go_on_later(run_id: int) -> None:
    """Has a job go on with the run once the transaction commits. Where it can't be queued, the sweep does it."""
    transaction.on_commit(lambda: _queue_quietly(run_id, SITE_PATIENCE), using=_database(), robust=True)


def resume_lost() -> None:
    """Queues a job for every run that nobody goes on with."""
    deadline = timezone.now() - timedelta(seconds=SILENCE)
    silent = Q(heartbeat_at__lt=deadline) | Q(heartbeat_at=None, created_at__lt=deadline)
    open_runs = SyncRun.objects.using(_database()).filter(silent, state__in=SyncRun.OPEN_STATES, closed_at=None)
    for run_id in list(open_runs.filter(scope__has_key=GATHERING).values_list("pk", flat=True)):
        # Not again before it has had its time.
        SyncRun.objects.using(_database()).filter(pk=run_id).update(heartbeat_at=timezone.now())
        _queue_quietly(run_id, WORKER_PATIENCE)


def _queue_quietly(run_id: int, patience: float) -> None:
    queue_quietly("gather", f"run {run_id}", patience, run_id=run_id)


def gather_in_job(run_id: int, actions: Mapping[str, Action], asked_to_stop: Callable[[], bool]) -> None:
    """As `gather`, and has a fresh job do what is left."""
    if not gather(run_id, actions, seconds=DRAIN_SECONDS, asked_to_stop=asked_to_stop, is_job=True):
        go_on_later(run_id)
