"""How far the mirror is: counted from its own rows, which is where the truth is."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Count, Q
from tqdm import tqdm

from blueshift_sync.models import Customer, ListMembership, SyncState
from project.demo.errors import DemoError

POLL_SECONDS = 0.25
STALLED_SECONDS = 120.0

State = SyncState.State
ON_THE_WAY = Q(state__in=[State.PENDING, State.SENDING])
# A membership of a customer who can't be sent waits, and says so; nothing more will come of it by itself.
CUSTOMER_IS_OUT = Q(customer__state__in=[State.FAILED, State.EXCLUDED])
# So does one of a list that has stopped, until somebody has the list tried again.
LIST_HAS_STOPPED = Q(customer_list__stopped_at__isnull=False, due_at=None)


@dataclass(frozen=True)
class Tally:
    """Records in the mirror, and how many of them are where they can get."""

    total: int
    settled: int


def take_tally() -> Tally:
    customers = Customer.objects.aggregate(total=Count("pk"), open=Count("pk", filter=ON_THE_WAY))
    memberships = ListMembership.objects.aggregate(
        total=Count("pk"), open=Count("pk", filter=ON_THE_WAY & ~CUSTOMER_IS_OUT & ~LIST_HAS_STOPPED)
    )
    total = customers["total"] + memberships["total"]
    return Tally(total, total - customers["open"] - memberships["open"])


def wait_until_settled(check: Callable[[], None]) -> Tally:
    """Shows a progress bar on a terminal until every record is settled; calls `check` all the while.

    Raises DemoError if nothing moves for two minutes.
    """
    tally = take_tally()
    moved_at = time.monotonic()
    with tqdm(total=tally.total, unit=" records", file=sys.stdout, disable=None) as bar:
        while tally.settled < tally.total:
            bar.update(tally.settled - bar.n)
            time.sleep(POLL_SECONDS)
            check()
            before, tally = tally, take_tally()
            if tally != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                raise DemoError(
                    f"Nothing has moved for {STALLED_SECONDS:.0f} s; "
                    f"{tally.total - tally.settled} records are still on the way."
                )
        bar.total = tally.total
        bar.update(tally.settled - bar.n)
    return tally
