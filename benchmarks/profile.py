"""Where one worker's time goes: `make bench ARGS=profile`. Prints, and keeps nothing."""

from __future__ import annotations

from .harness import Outcome, Row, fill, measure, simulator

RECORDS = 10_000
CALLS = RECORDS / 50


def run() -> list[Row]:
    statements = _drain("statements")
    print(f"  {RECORDS / statements.seconds:,.0f} records/s; per call of 50 records:")
    print("  times      ms  statement")
    for statement, (count, seconds) in sorted(statements.result.items(), key=lambda entry: -entry[1][1]):
        print(f"  {count / CALLS:5.2f}  {seconds / CALLS * 1000:6.2f}  {statement}")
    in_all = sum(seconds for _, seconds in statements.result.values())
    print(f"  {in_all / CALLS * 1000:13.2f}  in statements, of {statements.seconds / CALLS * 1000:.2f} ms per call\n")
    print(_drain("functions").result)
    return []


def _drain(how: str) -> Outcome:
    fill(RECORDS)
    with simulator() as blueshift:
        return measure(f"profiled:{how}", blueshift={"BASE_URL": blueshift.url})
