"""Members per second of one worker without a limit, put on a list in calls of either mode, the full audit included."""

from __future__ import annotations

import sys
from functools import partial
from statistics import median

from django.db import connection
from django.utils import timezone

from blueshift_sync.client.limits import LIST_MEMBERS_PER_CALL
from blueshift_sync.models import Customer, CustomerList, ListMembership, RecordResult, SyncState

from .harness import FILL_BATCH, Row, alternate, empty, measure, median_ratio, simulator, spread
from .people import email

LIST_ID = 35869
#: Members that are put on the list: enough calls of each mode for a figure.
MEMBERS = {"async": 25_000, "sync": 5_000}
ROUNDS = 5


def run() -> list[Row]:
    with simulator() as blueshift:
        blueshift.create_list(LIST_ID)
        sides = {}
        for mode in MEMBERS:
            sides[f"ours, {mode}"] = partial(_ours, blueshift.url, mode)
            sides[f"plain, {mode}"] = partial(_plain, blueshift.url, mode)
        measured = alternate(ROUNDS, **sides)
    rates = {name: median(values) for name, values in measured.items()}
    return [
        *(
            Row(
                f"members/s of one worker, {mode}, against a plain requests loop",
                median_ratio(measured[f"ours, {mode}"], measured[f"plain, {mode}"]),
                note=f"{rates[f'ours, {mode}']:,.0f}/s against {rates[f'plain, {mode}']:,.0f}/s, "
                f"{LIST_MEMBERS_PER_CALL[mode]} a call",
                details={name: spread(values) for name, values in measured.items() if name.endswith(mode)},
            )
            for mode in MEMBERS
        ),
        Row(
            "members/s of one worker, async against sync",
            median_ratio(measured["ours, async"], measured["ours, sync"]),
            note="at 5 calls/s Blueshift itself allows 2,500/s against 125/s: 20 ×",
        ),
    ]


def _ours(url: str, mode: str) -> float:
    count = MEMBERS[mode]
    fill(count, mode)
    outcome = measure("ours:draining", blueshift={"BASE_URL": url})
    _check_all_delivered(count)
    return count / outcome.seconds


def _plain(url: str, mode: str) -> float:
    count = MEMBERS[mode]
    outcome = measure(
        "rivals:plain_list_loop", rival=True, url=url, list_id=LIST_ID, count=count, size=LIST_MEMBERS_PER_CALL[mode]
    )
    if outcome.result != count:
        sys.exit(f"Of {count} members {outcome.result} arrived: the figure would mean nothing.")
    return count / outcome.seconds


def fill(count: int, mode: str) -> None:
    """Empties everything and makes so many customers in step, who are due to be put on one list."""
    empty()
    members = CustomerList.objects.create(
        list_id=LIST_ID, mode=mode, identifier_key=CustomerList.IdentifierKey.EMAIL, is_ready=True, read_due_at=None
    )
    now = timezone.now()
    for start in range(0, count, FILL_BATCH):
        customers = Customer.objects.bulk_create(
            Customer(email=email(number), state=SyncState.State.SYNCED, due_at=None, waiting_since=None)
            for number in range(start, min(start + FILL_BATCH, count))
        )
        memberships = [ListMembership(customer_list=members, customer=customer) for customer in customers]
        for membership in memberships:
            membership.set_member(True, due_at=now)
        ListMembership.objects.bulk_create(memberships)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _check_all_delivered(count: int) -> None:
    in_step = ListMembership.objects.filter(state=SyncState.State.SYNCED, synced_is_member=True).count()
    results = RecordResult.objects.filter(outcome=RecordResult.Outcome.ACCEPTED).count()
    if (in_step, results) != (count, count):
        sys.exit(f"Of {count} members {in_step} are in step, with {results} results: the figure would mean nothing.")
