"""Where one worker's time goes: `make bench ARGS=profile`. Prints, and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import lists
from .harness import Outcome, Row, fill, measure, simulator

RECORDS = 10_000
MEMBERS = 25_000


def run() -> list[Row]:
    _show("customers", RECORDS, 50, partial(fill, RECORDS))
    _show("members, asynchronously", MEMBERS, 500, partial(lists.fill, MEMBERS, "async"))
    return []


def _show(what: str, count: int, size: int, fill_up: Callable[[], None]) -> None:
    calls = count / size
    statements = _drain("statements", fill_up)
    print(f"  {count / statements.seconds:,.0f} {what} a second; per call of {size}:")
    print("  times      ms  statement")
    for statement, (times, seconds) in sorted(statements.result.items(), key=lambda entry: -entry[1][1]):
        print(f"  {times / calls:5.2f}  {seconds / calls * 1000:6.2f}  {statement}")
    in_all = sum(seconds for _, seconds in statements.result.values())
    print(f"  {in_all / calls * 1000:13.2f}  in statements, of {statements.seconds / calls * 1000:.2f} ms per call\n")
    print(_drain("functions", fill_up).result)


def _drain(how: str, fill_up: Callable[[], None]) -> Outcome:
    fill_up()
    with simulator() as blueshift:
        blueshift.create_list(lists.LIST_ID)
        return measure(f"profiled:{how}", blueshift={"BASE_URL": blueshift.url})
