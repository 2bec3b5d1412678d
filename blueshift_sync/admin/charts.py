"""Charts of calls as SVG that needs no script and no style of its own: how it looks is the stylesheet's.

A plot is stretched to its place, so its words aren't in it but around it. Coordinates are text, as no language's way to
write numbers is SVG's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from ..delivery.call_sums import Bar, History, Tally
from .display import Table, milliseconds

#: The plot's own units: the width of a bar with the gap to the next one, the gap, and the height of it all.
STEP, GAP, HEIGHT = 10, 2, 100
#: The time is written below each sixth of the plot.
LABELS = 6

MEDIAN, PERCENTILE = 0.5, 0.95


class Block(NamedTuple):
    """A rectangle of the plot; `kind` decides the colour."""

    kind: str
    x: str
    y: str
    width: str
    height: str


class Column(NamedTuple):
    """One bar of the plot: its parts, and what is read of who points at it."""

    x: str
    title: str
    blocks: Sequence[Block]


class Line(NamedTuple):
    kind: str
    path: str


class Key(NamedTuple):
    """What a colour stands for."""

    kind: str
    text: str


@dataclass(frozen=True)
class Plot:
    """One picture: its title, what it shows in a sentence, and its parts. `scale` is read from the top downwards."""

    name: str
    title: str
    description: str
    scale: Sequence[str]
    times: Sequence[str]
    keys: Sequence[Key]
    columns: Sequence[Column] = ()
    lines: Sequence[Line] = ()
    width: str = ""
    height: str = str(HEIGHT)


@dataclass(frozen=True)
class Chart:
    """The calls of one span of time, as pictures and as a table of the same numbers. No pictures without calls."""

    name: str
    title: str
    plots: Sequence[Plot]
    table: Table


@dataclass(frozen=True)
class Span:
    """What a chart is drawn from. `label` is written below the plot, `heading` names a bar in the table."""

    name: str
    title: str
    bars: Sequence[Bar]
    label: Callable[[datetime], str]
    heading: Callable[[Bar], str]

    @cached_property
    def total(self) -> Tally:
        result = Tally()
        for bar in self.bars:
            result += bar.tally
        return result

    @property
    def times(self) -> list[str]:
        return [self.label(bar.begin) for bar in self.bars[:: len(self.bars) // LABELS]]

    @property
    def width(self) -> str:
        return str(len(self.bars) * STEP)


def charts_of(history: History) -> list[Chart]:
    """The charts of the last hour, day and month."""
    spans = [
        Span("hour", _("The last hour"), history.hour, _clock, _clocks),
        Span("day", _("The last 24 hours"), history.day, _clock, _clocks),
        Span("month", _("The last 30 days"), history.month, _day, _whole_day),
    ]
    return [
        Chart(
            name=span.name,
            title=span.title,
            plots=[_records(span), _durations(span)] if span.total.calls else [],
            table=_table(span),
        )
        for span in spans
    ]


def _records(span: Span) -> Plot:
    top = rounded_up(max(bar.tally.records for bar in span.bars))
    return Plot(
        name=f"{span.name}-records",
        title=_("Records"),
        description=f"{span.title}: {_sentence(span.total)}",
        scale=[_digits(top), _digits(top // 2), _digits(0)],
        times=span.times,
        keys=[
            Key("accepted", _("%(number)s accepted") % {"number": _digits(span.total.accepted)}),
            Key("rejected", _("%(number)s rejected") % {"number": _digits(span.total.rejected)}),
            Key("retried", _("%(number)s to be sent again") % {"number": _digits(span.total.retried)}),
        ],
        columns=[
            Column(
                x=str(number * STEP),
                title=f"{span.heading(bar)}: {_sentence(bar.tally)}",
                blocks=list(_blocks(number, bar.tally, top)),
            )
            for number, bar in enumerate(span.bars)
            if bar.tally.calls
        ],
        width=span.width,
    )


def _blocks(number: int, tally: Tally, top: int) -> Iterator[Block]:
    base = float(HEIGHT)
    for kind, value in (("accepted", tally.accepted), ("rejected", tally.rejected), ("retried", tally.retried)):
        if value:
            # What is there can be seen, however much more there is of the others.
            height = max(1.0, value / top * HEIGHT)
            base -= height
            yield Block(kind, str(number * STEP + GAP // 2), _short(base), str(STEP - GAP), _short(height))


def _durations(span: Span) -> Plot:
    medians = [bar.tally.duration(MEDIAN) for bar in span.bars]
    percentiles = [bar.tally.duration(PERCENTILE) for bar in span.bars]
    top = rounded_up(max((value for value in percentiles if value is not None), default=0))
    keys = [
        Key("median", _("median %(time)s") % {"time": milliseconds(span.total.duration(MEDIAN))}),
        Key("percentile", _("95 %% within %(time)s") % {"time": milliseconds(span.total.duration(PERCENTILE))}),
    ]
    return Plot(
        name=f"{span.name}-durations",
        title=_("Duration of a call"),
        description=_("%(title)s, duration of a call: %(durations)s")
        % {"title": span.title, "durations": ", ".join(key.text for key in keys)},
        scale=[milliseconds(top), milliseconds(top // 2), milliseconds(0)],
        times=span.times,
        keys=keys,
        columns=[
            Column(str(number * STEP), f"{span.heading(bar)}: {milliseconds(median)}, 95 %: {milliseconds(high)}", ())
            for number, (bar, median, high) in enumerate(zip(span.bars, medians, percentiles, strict=True))
            if median is not None
        ],
        lines=[Line("percentile", _path(percentiles, top)), Line("median", _path(medians, top))],
        width=span.width,
    )


def _path(values: Iterable[int | None], top: int) -> str:
    """A line from value to value, interrupted where there is none. Each value is as wide as a bar, so one is seen."""
    parts, is_drawing = [], False
    for number, value in enumerate(values):
        if value is not None:
            y = _short(HEIGHT - value / top * HEIGHT)
            begin = number * STEP + GAP // 2
            parts.append(f"{'L' if is_drawing else 'M'}{begin} {y}H{begin + STEP - GAP}")
        is_drawing = value is not None
    return "".join(parts)


def _table(span: Span) -> Table:
    return Table(
        title=_("%(title)s in numbers") % {"title": span.title},
        headings=[
            _("Time"),
            _("Calls"),
            _("Failed calls"),
            _("Accepted"),
            _("Rejected"),
            _("To be sent again"),
            _("Median"),
            _("95 % within"),
        ],
        rows=[[span.heading(bar), *_cells(bar.tally)] for bar in span.bars],
        empty="",
    )


def _cells(tally: Tally) -> list[str]:
    numbers = (tally.calls, tally.failed_calls, tally.accepted, tally.rejected, tally.retried)
    return [*map(_digits, numbers), *(milliseconds(tally.duration(share)) for share in (MEDIAN, PERCENTILE))]


def rounded_up(value: int) -> int:
    """The top of a scale: 2, 4, 6, 8 or 10 with as many zeros as it takes, so that half of it is a number as well."""
    unit = 1
    while value > 10 * unit:
        unit *= 10
    return next(digit * unit for digit in (2, 4, 6, 8, 10) if value <= digit * unit)


def _sentence(tally: Tally) -> str:
    return _("%(accepted)s accepted, %(rejected)s rejected, %(retried)s to be sent again") % {
        "accepted": _digits(tally.accepted),
        "rejected": _digits(tally.rejected),
        "retried": _digits(tally.retried),
    }


def _short(number: float) -> str:
    return f"{number:.2f}"


def _digits(number: int) -> str:
    return number_format(number, force_grouping=True)


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M}"


def _clocks(bar: Bar) -> str:
    return f"{_clock(bar.begin)}–{_clock(bar.end)}"


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "j M")


def _whole_day(bar: Bar) -> str:
    return date_format(timezone.localtime(bar.begin), "MONTH_DAY_FORMAT")
