"""What became of the calls of the last hour, day and month, and how long they took.

Nobody reads the calls of a month for that. The sweep sums up each quarter of an hour that is over, once. Only the calls
of the last hour are read themselves; those that aren't summed up yet are among them.

How long calls took is kept as a histogram, whose classes are four to a doubling. So a median or a percentile that is
taken from it is 9 % off at most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from itertools import pairwise
from math import ceil, log
from typing import NamedTuple

from django.db import connections
from django.db.models import Count, FloatField, IntegerField, Q, QuerySet, Sum
from django.db.models.functions import Cast, Floor, Ln, TruncMinute

from ..conf import app_settings
from ..models import ApiCall, CallSum
from .claim import mirror

#: Midnight is at a whole quarter of an hour in every time zone.
PERIOD = timedelta(minutes=15)
#: A period is summed up once it is over for as long as calls are waited for, but for no longer than this. Together with
#: PERIOD it is less than an hour, so the last hour's calls have those that aren't summed up.
LONGEST_WAIT = timedelta(minutes=30)
#: By so much the clocks of the workers' machines may differ.
CLOCKS_DIFFER = timedelta(minutes=1)
#: Periods that one sweep sums up; after days without a sweep the next ones go on.
PERIODS_AT_ONCE = 20
#: Sums are kept for longer than the longest chart shows.
KEPT = timedelta(days=40)

HOUR = timedelta(hours=1)
MINUTES_PER_BAR = 2
DAYS = 30

CLASSES_PER_DOUBLING = 4
State = ApiCall.State
#: Their records count as neither accepted nor rejected: nobody knows whether the calls arrived.
UNANSWERED = (State.OPEN, State.UNKNOWN)
UNSUCCESSFUL = (State.FAILED, State.UNKNOWN)


@dataclass
class Tally:
    """Calls, what became of the records that they carried, and how many calls took how long, by class of duration.

    `failed_calls` failed as a whole, or got no answer. `retried` records were neither accepted nor rejected. Those of a
    call that is on its way count once it has ended.
    """

    calls: int = 0
    failed_calls: int = 0
    accepted: int = 0
    rejected: int = 0
    retried: int = 0
    durations: Counter[int] = field(default_factory=Counter)

    def __iadd__(self, other: Tally) -> Tally:
        self.calls += other.calls
        self.failed_calls += other.failed_calls
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.retried += other.retried
        self.durations.update(other.durations)
        return self

    @property
    def records(self) -> int:
        return self.accepted + self.rejected + self.retried

    def duration(self, share: float) -> int | None:
        """The milliseconds within which this share of the calls was answered, 9 % off at most; None without any."""
        missing = ceil(share * self.durations.total())
        for number, count in sorted(self.durations.items()):
            missing -= count
            if missing <= 0:
                return middle_of_class(number)
        return None


def middle_of_class(number: int) -> int:
    """The milliseconds from which no duration of this class is further away than by 9 %. Classes count from 0."""
    middle: float = 2.0 ** ((number + 0.5) / CLASSES_PER_DOUBLING)
    return round(middle - 1)


#: The class of a call's duration. One millisecond more, for zero has no logarithm.
DURATION_CLASS = Cast(
    Floor(Ln(Cast("duration_ms", FloatField()) + 1.0) * (CLASSES_PER_DOUBLING / log(2))), IntegerField()
)


def tallies_by_minute(calls: QuerySet[ApiCall]) -> dict[datetime, Tally]:
    """The tallies of the calls, by the minute in which these started. The database adds them up."""
    # In the database's own time zone, for from one to another not every MariaDB can convert.
    minute = TruncMinute("started_at", tzinfo=connections[calls.db].timezone)
    answered = ~Q(state__in=UNANSWERED)
    groups = (
        calls.order_by()
        .annotate(minute=minute, duration_class=DURATION_CLASS)
        .values_list("minute", "duration_class")
        .annotate(
            calls=Count("pk"),
            failed=Count("pk", filter=Q(state__in=UNSUCCESSFUL)),
            ended=Sum("record_count", filter=~Q(state=State.OPEN), default=0),
            carried=Sum("record_count", filter=answered, default=0),
            errors=Sum("error_count", filter=answered, default=0),
            rejected=Sum("rejected_count", filter=answered, default=0),
        )
    )
    tallies: dict[datetime, Tally] = {}
    for begin, number, count, failed, ended, carried, errors, rejected in groups:
        accepted = carried - errors
        durations = Counter[int]() if number is None else Counter({number: count})
        tally = tallies.setdefault(begin, Tally())
        tally += Tally(count, failed, accepted, rejected, ended - accepted - rejected, durations)
    return tallies


# Summing up


def sum_up_calls(now: datetime) -> None:
    """Sums up the periods that are over, the oldest first. Safe to run at any time, and twice at once."""
    wait = min(LONGEST_WAIT, timedelta(seconds=app_settings().LEASE_SECONDS)) + CLOCKS_DIFFER
    for _ in range(PERIODS_AT_ONCE):
        begin = _next_period(now)
        if begin is None or begin + PERIOD + wait > now:
            return
        _sum_up(begin)
        CallSum.objects.using(mirror()).filter(starts_at__lt=now - KEPT - PERIOD).delete()


def _next_period(now: datetime) -> datetime | None:
    """The first period with calls that isn't summed up yet; None where there are no such calls."""
    first = _first_call(summed_up_to(now))
    if first is None:
        return None
    minutes = first.minute % (PERIOD // timedelta(minutes=1))
    return first - timedelta(minutes=minutes, seconds=first.second, microseconds=first.microsecond)


def summed_up_to(now: datetime) -> datetime:
    """Every call before this moment is in the sums, or too old for them."""
    last = CallSum.objects.using(mirror()).order_by("-starts_at").values_list("starts_at", flat=True).first()
    return now - KEPT if last is None else last + PERIOD


def _first_call(since: datetime) -> datetime | None:
    calls = ApiCall.objects.using(mirror()).filter(started_at__gte=since)
    return calls.order_by("started_at", "id").values_list("started_at", flat=True).first()


def _sum_up(begin: datetime) -> None:
    total = Tally()
    calls = ApiCall.objects.using(mirror()).filter(started_at__gte=begin, started_at__lt=begin + PERIOD)
    for tally in tallies_by_minute(calls).values():
        total += tally
    row = CallSum(
        starts_at=begin,
        calls=total.calls,
        failed_calls=total.failed_calls,
        accepted=total.accepted,
        rejected=total.rejected,
        retried=total.retried,
        durations={str(number): count for number, count in sorted(total.durations.items())},
    )
    # Another sweep may have been quicker, with the same numbers.
    CallSum.objects.using(mirror()).bulk_create([row], ignore_conflicts=True)


# Looking back


class Bar(NamedTuple):
    """One span of a chart, and the calls that started within it."""

    begin: datetime
    end: datetime
    tally: Tally


class History(NamedTuple):
    """The calls of the last hour, day and month, the oldest first.

    `missing_since`: calls from then on, until an hour ago, are in none of them but will be: nothing has summed them up.
    """

    hour: Sequence[Bar]
    day: Sequence[Bar]
    month: Sequence[Bar]
    missing_since: datetime | None


def call_history(now: datetime, zone: tzinfo) -> History:
    """What became of the calls until now. Days and hours begin as they do in the time zone."""
    hour, day, month = _minutes(now), _hours(now, zone), _days(now, zone)
    minutes = tallies_by_minute(ApiCall.objects.using(mirror()).filter(started_at__gte=hour[0]))
    done = summed_up_to(now)
    missing = _first_call(done) if done < hour[0] else None
    parts = [*_sums(min(day[0], month[0])), *((begin, tally) for begin, tally in minutes.items() if begin >= done)]
    return History(
        hour=_bars(hour, minutes.items()),
        day=_bars(day, parts),
        month=_bars(month, parts),
        missing_since=missing if missing is not None and missing < hour[0] else None,
    )


def _sums(since: datetime) -> Iterator[tuple[datetime, Tally]]:
    columns = ("starts_at", "calls", "failed_calls", "accepted", "rejected", "retried", "durations")
    for begin, *numbers, durations in (
        CallSum.objects.using(mirror()).filter(starts_at__gte=since).values_list(*columns)
    ):
        tally = Tally(*numbers)
        tally.durations.update({int(number): count for number, count in durations.items()})
        yield begin, tally


def _bars(limits: Sequence[datetime], parts: Iterable[tuple[datetime, Tally]]) -> list[Bar]:
    """Between each two of the limits a bar. What is later than the last one has a clock that is ahead: it is there."""
    bars = [Bar(begin, end, Tally()) for begin, end in pairwise(limits)]
    for moment, tally in parts:
        number = bisect_right(limits, moment) - 1
        if number >= 0:
            total = bars[min(number, len(bars) - 1)].tally
            total += tally
    return bars


def _minutes(now: datetime) -> list[datetime]:
    step = timedelta(minutes=MINUTES_PER_BAR)
    end = now.replace(minute=now.minute - now.minute % MINUTES_PER_BAR, second=0, microsecond=0) + step
    return [end - number * step for number in range(HOUR // step, -1, -1)]


def _hours(now: datetime, zone: tzinfo) -> list[datetime]:
    local = now.astimezone(zone)
    end = now - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond) + HOUR
    return [end - number * HOUR for number in range(24, -1, -1)]


def _days(now: datetime, zone: tzinfo) -> list[datetime]:
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    days = (tomorrow - timedelta(days=number) for number in range(DAYS, -1, -1))
    return [datetime.combine(day, time.min, tzinfo=zone) for day in days]
