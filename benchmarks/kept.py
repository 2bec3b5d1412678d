"""The figures of the last runs: kept in results.json, and shown as the table of README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
README = Path(__file__).parent / "README.md"
#: The benchmarks, in the order in which they run and stand in the table.
NAMES = ("throughput", "lists", "rate", "save", "memory", "audit_size", "limiter", "backfill", "admin", "api")

_HEADING = "| what | figure | target | |\n| --- | --- | --- | --- |\n"


def results() -> dict[str, Any]:
    """What is kept: nothing, before the first run."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def keep(found: dict[str, Any]) -> None:
    """Keeps these results instead of the former ones, and shows them in the table."""
    RESULTS.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    README.write_text(with_table(README.read_text(), found))


def with_table(page: str, found: dict[str, Any]) -> str:
    """The page with these results in its table."""
    before, _, rest = page.partition(_HEADING)
    after = rest[rest.index("\n\n") :]
    return before + _HEADING + "\n".join(_lines(found)) + after


def figure(value: float, unit: str) -> str:
    """With as many digits as one needs to see."""
    if unit == "×" and value < 0.1:
        return f"{value:.3f}"
    return f"{value:,.2f}" if unit in {"×", "commands"} else f"{value:,.0f}"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    benchmarks = found["benchmarks"]
    for name in NAMES:
        for row in benchmarks[name]["rows"] if name in benchmarks else []:
            cells = (row["what"], f"{figure(row['value'], row['unit'])} {row['unit']}", _target(row), row["note"])
            yield f"| {' | '.join(cells)} |"


def _target(row: dict[str, Any]) -> str:
    if row["target"] is None:
        return ""
    target = f"{'≤' if row['at_most'] else '≥'} {row['target']:g}"
    return target if row["met"] else f"{target}, **missed**"
