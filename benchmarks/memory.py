"""The peak memory of a worker that drains many customers, against one that drains few."""

from __future__ import annotations

from .harness import Outcome, Row, check_all_delivered, fill, measure, simulator

FEW = 10_000
MANY = 60_000
MEGABYTE = 2**20


def run() -> list[Row]:
    with simulator() as blueshift:
        few = [_drain(FEW, blueshift.url)]
        many = _drain(MANY, blueshift.url)
        few.append(_drain(FEW, blueshift.url))
    least = min(outcome.resident_peak for outcome in few)
    return [
        Row(
            f"peak memory of a worker that drains {MANY:,} customers, against {FEW:,}",
            many.resident_peak / least,
            target=1.1,
            at_most=True,
            note=(
                f"{many.resident_peak / MEGABYTE:.1f} MB against {least / MEGABYTE:.1f} MB, "
                f"of which {many.resident_before / MEGABYTE:.1f} MB before the first record"
            ),
            details={
                "few_mb": [round(outcome.resident_peak / MEGABYTE, 1) for outcome in few],
                "many_mb": round(many.resident_peak / MEGABYTE, 1),
                "records_per_second": {
                    "few": [round(FEW / outcome.seconds) for outcome in few],
                    "many": round(MANY / many.seconds),
                },
            },
        )
    ]


def _drain(count: int, url: str) -> Outcome:
    fill(count)
    outcome = measure("ours:draining", blueshift={"BASE_URL": url})
    check_all_delivered(count)
    return outcome
