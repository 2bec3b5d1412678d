"""manage.py blueshift_push: sends what isn't in step."""

import time
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from tqdm import tqdm

from blueshift_sync import services
from blueshift_sync.conf import app_settings
from blueshift_sync.delivery.standstill import current_standstill
from blueshift_sync.delivery.workers import workers
from blueshift_sync.exceptions import RedisUnavailable
from blueshift_sync.models import Customer, ListMembership, SyncRun, SyncState

#: Seconds between two looks at runs that are waited for.
PERIOD = 0.5

#: What a run of each kind sends.
WHAT: dict[str, str] = {SyncRun.Kind.CUSTOMERS: "customers", SyncRun.Kind.LISTS: "list memberships"}
NOT_IN_STEP = Q(state__in=[SyncState.State.PENDING, SyncState.State.FAILED])


class Command(BaseCommand):
    help = "Sends now the customers and list memberships that aren't in step with Blueshift, but for excluded ones."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--failed", action="store_true", help="only those that failed, after reading them again")
        which.add_argument("--all", action="store_true", help="all of them, changed or not")
        parser.add_argument("--wait", action="store_true", help="wait until workers have sent them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["wait"]:
            _demand_that_something_sends()
        runs = [_push(model, **options) for model in (Customer, ListMembership)]
        if options["wait"]:
            self._wait_for(runs)
        else:
            for run in runs:
                self.stdout.write(f"Run {run.pk} sends {run.total} {WHAT[run.kind]}{_and_more(run)}.")

    def _wait_for(self, runs: list[SyncRun]) -> None:
        with tqdm(desc="Records", unit=" records", disable=None) as bar:
            while not _have_ended(runs):
                _show(runs, bar)
                time.sleep(PERIOD)
            _show(runs, bar)
        for run in runs:
            said = f"{run.accepted} of {run.total} {WHAT[run.kind]} accepted"
            self.stdout.write(f"Run {run.pk} {run.get_state_display().lower()}: {said}.")
        if any(run.state != SyncRun.State.SUCCEEDED for run in runs):
            raise CommandError("Not all were sent. The runs' pages in the admin say why; --failed tries again.")


def _push(model: type[Customer] | type[ListMembership], **options: Any) -> SyncRun:
    if options["failed"]:
        return services.retry_failed(services.Selection(model))
    return services.push(services.Selection(model, Q() if options["all"] else NOT_IN_STEP))


def _and_more(run: SyncRun) -> str:
    return ", and a worker finds the rest" if run.closed_at is None else ""


def _demand_that_something_sends() -> None:
    """There is nothing to wait for where nobody sends."""
    if standstill := current_standstill():
        raise CommandError(standstill.sentence)
    try:
        alive = workers().alive
    except RedisUnavailable as error:
        raise CommandError(f"{error} Nothing is sent without Redis.") from None
    if not alive:
        queue = app_settings().QUEUE
        raise CommandError(f"No worker is running for the queue {queue!r}: start one with manage.py rqworker {queue}.")


def _have_ended(runs: Iterable[SyncRun]) -> bool:
    for run in runs:
        run.refresh_from_db()
    return all(run.state not in SyncRun.OPEN_STATES for run in runs)


def _show(runs: Iterable[SyncRun], bar: Any) -> None:
    bar.total = sum(run.total for run in runs)
    bar.n = sum(run.accepted + run.rejected for run in runs)
    bar.refresh()
