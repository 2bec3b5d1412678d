"""Sums of calls: each call is counted once, whenever the sweep runs, and the charts add up to the calls."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from blueshift_sync.delivery import call_sums
from blueshift_sync.delivery.call_sums import Bar, Tally, call_history, sum_up_calls, tallies_by_minute
from blueshift_sync.models import ApiCall, CallSum
from tests.factories import make_call

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 29, 12, 34, 56, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def _one_sweep_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_sums, "PERIODS_AT_ONCE", 100)


def make_calls(*ages: timedelta, **fields: Any) -> None:
    for age in ages:
        make_call(started_at=NOW - age, **fields)


def total(bars: Any) -> Tally:
    result = Tally()
    for bar in bars:
        result += bar.tally
    return result


def test_a_quarter_of_an_hour_is_summed_up_when_its_calls_have_ended() -> None:
    make_call(started_at=NOW, record_count=50, error_count=5, rejected_count=3, duration_ms=100)
    make_call(started_at=NOW + timedelta(seconds=3), state="FAILED", record_count=10, error_count=10)
    sum_up_calls(NOW + timedelta(minutes=10))
    assert not CallSum.objects.exists()
    sum_up_calls(NOW + timedelta(minutes=20))
    row = CallSum.objects.get()
    assert row.starts_at == NOW.replace(minute=30, second=0)
    assert (row.calls, row.failed_calls) == (2, 1)
    assert (row.accepted, row.rejected, row.retried) == (45, 3, 12)
    assert sum(row.durations.values()) == 2


@pytest.mark.parametrize("state", ["OPEN", "UNKNOWN"])
def test_nothing_counts_as_accepted_without_an_answer(state: str) -> None:
    make_call(started_at=NOW, state=state, record_count=50, duration_ms=None)
    [tally] = tallies_by_minute(ApiCall.objects.all()).values()
    assert (tally.calls, tally.accepted, tally.rejected) == (1, 0, 0)
    assert tally.retried == (50 if state == "UNKNOWN" else 0)  # those on their way may yet be accepted
    assert tally.duration(0.5) is None


def test_each_call_is_counted_once_however_often_and_late_the_sweep_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_sums, "PERIODS_AT_ONCE", 3)
    chance = random.Random(7)
    ages = [timedelta(minutes=chance.uniform(60, 5000)) for _ in range(40)]
    make_calls(*ages)
    for _ in range(30):
        sum_up_calls(NOW)
        sum_up_calls(NOW)
    assert sum(CallSum.objects.values_list("calls", flat=True)) == 40
    for row in CallSum.objects.all():
        assert ApiCall.objects.filter(started_at__range=(row.starts_at, row.starts_at + QUARTER)).count() == row.calls
    before = list(CallSum.objects.values_list("starts_at", "calls"))
    sum_up_calls(NOW)
    assert list(CallSum.objects.values_list("starts_at", "calls")) == before


def test_one_sweep_sums_up_no_more_than_so_many_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_sums, "PERIODS_AT_ONCE", 3)
    make_calls(*(timedelta(hours=hours) for hours in range(2, 12)))
    sum_up_calls(NOW)
    assert CallSum.objects.count() == 3


def test_a_sweep_that_lost_the_race_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    make_calls(timedelta(hours=2))
    sum_up_calls(NOW)
    row = CallSum.objects.get()
    call_sums._sum_up(row.starts_at)
    assert CallSum.objects.get() == row


def test_old_sums_go_and_calls_older_than_that_are_left_out() -> None:
    make_calls(timedelta(days=41))
    sum_up_calls(NOW - timedelta(days=40))
    assert CallSum.objects.count() == 1
    make_calls(timedelta(days=2))
    sum_up_calls(NOW)
    assert [row.starts_at > NOW - timedelta(days=3) for row in CallSum.objects.all()] == [True]


def test_the_first_sums_of_a_site_with_older_calls_stay() -> None:
    make_calls(*(call_sums.KEPT + minutes * timedelta(minutes=1) for minutes in range(-60, 60, 2)))
    sum_up_calls(NOW)
    assert CallSum.objects.count() == 5
    rows = list(CallSum.objects.values())
    sum_up_calls(NOW)
    assert list(CallSum.objects.values()) == rows


def test_a_long_lease_doesnt_keep_calls_out_of_every_chart(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "LEASE_SECONDS": 10**9}
    make_calls(*(timedelta(minutes=minutes) for minutes in range(0, 120, 5)))
    sum_up_calls(NOW)
    history = call_history(NOW, UTC)
    assert history.missing_since is None
    assert total(history.day).calls == total(history.month).calls == 24


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
def test_the_charts_add_up_to_the_calls(zone: str) -> None:
    chance = random.Random(3)
    ages = [timedelta(minutes=chance.uniform(0, 59)) for _ in range(20)]
    ages += [timedelta(hours=chance.uniform(1, 22.9)) for _ in range(20)]
    ages += [timedelta(days=chance.uniform(1, 28)) for _ in range(20)]
    make_calls(*ages, record_count=3, error_count=1, rejected_count=1)
    sum_up_calls(NOW)
    history = call_history(NOW, ZoneInfo(zone))
    assert (len(history.hour), len(history.day), len(history.month)) == (30, 24, 30)
    for bars in (history.hour, history.day, history.month):
        calls = ApiCall.objects.filter(started_at__gte=bars[0].begin)
        assert total(bars).calls == calls.count()
        assert total(bars).accepted == 2 * calls.count()
        for bar in bars:
            within = calls.filter(started_at__gte=bar.begin, started_at__lt=bar.end)
            assert bar.tally.calls == within.count()


def test_hours_and_days_begin_as_in_the_time_zone() -> None:
    history = call_history(NOW, ZoneInfo("Asia/Kathmandu"))  # five and three quarters of an hour ahead
    assert {bar.begin.astimezone(ZoneInfo("Asia/Kathmandu")).minute for bar in history.day} == {0}
    assert {bar.begin.astimezone(ZoneInfo("Asia/Kathmandu")).hour for bar in history.month} == {0}
    assert history.day[-1].begin <= NOW < history.day[-1].end
    assert history.month[-1].begin <= NOW < history.month[-1].end


def test_the_day_on_which_the_clocks_change_has_23_hours() -> None:
    today: Bar = call_history(NOW, ZoneInfo("Europe/Berlin")).month[-1]
    assert today.end.timestamp() - today.begin.timestamp() == 23 * 3600


def test_calls_that_no_sweep_has_summed_up_are_told() -> None:
    make_calls(timedelta(hours=5), timedelta(minutes=5))
    assert call_history(NOW, UTC).missing_since == NOW - timedelta(hours=5)
    sum_up_calls(NOW)
    assert call_history(NOW, UTC).missing_since is None


def test_a_call_of_a_clock_that_is_ahead_is_in_the_last_bar() -> None:
    make_calls(timedelta(minutes=-7))
    history = call_history(NOW, UTC)
    assert [bars[-1].tally.calls for bars in (history.hour, history.day, history.month)] == [1, 1, 1]


def test_median_and_percentile_are_nearly_those_of_the_calls() -> None:
    chance = random.Random(5)
    durations = sorted(round(chance.lognormvariate(5, 1)) for _ in range(200))
    ApiCall.objects.bulk_create(ApiCall(started_at=NOW, duration_ms=milliseconds) for milliseconds in durations)
    [tally] = tallies_by_minute(ApiCall.objects.all()).values()
    for share, exact in ((0.5, durations[99]), (0.95, durations[189])):
        assert tally.duration(share) == pytest.approx(exact, rel=0.095, abs=1)
    assert Tally().duration(0.5) is None


def test_every_duration_has_a_class_from_which_it_isnt_far() -> None:
    for milliseconds in (0, 1, 2, 3, 10, 999, 30_000, 10**6, 2**31 - 1):
        ApiCall.objects.all().delete()
        make_call(duration_ms=milliseconds)
        [tally] = tallies_by_minute(ApiCall.objects.all()).values()
        assert tally.duration(0.95) == pytest.approx(milliseconds, rel=0.095, abs=1)
