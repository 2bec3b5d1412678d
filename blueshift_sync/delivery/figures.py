"""What the sweep writes down beside its work, so that pages and `blueshift_status` can tell how everything stands."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from ..models import SweepRecord
from .call_sums import sum_up_calls
from .claim import mirror
from .runs import MODELS
from .state_counts import count_states

#: The record of the sweep is written no more often than this.
NOTED_EVERY = timedelta(seconds=5)


def keep_figures() -> None:
    """Writes down that a sweep has ended, and takes the numbers whose time has come. Safe to run twice at once."""
    now = timezone.now()
    note_sweep(now)
    sum_up_calls(now)
    count_states(MODELS)


def note_sweep(now: datetime) -> None:
    """Writes down that a sweep has ended."""
    record = SweepRecord.objects.using(mirror()).filter(pk=SweepRecord.ONLY)
    # A time that lies ahead is another machine's, or was written before somebody set the clock back.
    if record.exclude(finished_at__range=(now - NOTED_EVERY, now)).update(finished_at=now) or record.exists():
        return
    row = SweepRecord(pk=SweepRecord.ONLY, finished_at=now)
    SweepRecord.objects.using(mirror()).bulk_create([row], ignore_conflicts=True)


def last_sweep() -> datetime | None:
    """When a sweep last ended; None where none ever has."""
    ended = SweepRecord.objects.using(mirror()).filter(pk=SweepRecord.ONLY).values_list("finished_at", flat=True)
    return ended.first()
