"""manage.py blueshift_backfill: mirrors every object of the sources."""

import json
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from blueshift_sync.sources.backfill import Part, backfill, parts_of, preview
from blueshift_sync.sources.captured import Captured, Change, Kind
from blueshift_sync.sources.registry import all_sources

#: So many of the rows that would change are shown, for each part of the mirror, and so much of each value.
SHOWN = 5
LONGEST_VALUE = 60


class Command(BaseCommand):
    help = (
        "Mirrors every object of the sources and repairs what the mirror has missed: raw SQL, update(), a crash. "
        "What differs is sent; what doesn't is left alone. Safe to run, to stop and to run again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="app.Model", help="only these models; all, if none is named")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = _chosen(options["models"])
        if options["dry_run"]:
            for part in parts:
                self._preview(part)
            self.stdout.write("Nothing was written.")
        else:
            self._backfill(parts)

    def _backfill(self, parts: list[Part]) -> None:
        total = Captured()
        for part in parts:
            with _bar(part) as bar:
                total += backfill(part, bar.update)
        self.stdout.write(f"Read {total.read} objects; {total.changed} records of the mirror were changed.")
        if total.failed:
            self.stdout.write(f"{total.failed} objects can't be sent as they are; their records or the log say why.")
        if total.lost:
            raise CommandError(f"{total.lost} objects could not be captured. The log says which; run this again.")

    def _preview(self, part: Part) -> None:
        counts: Counter[Kind] = Counter()
        shown: list[Change] = []
        with _bar(part) as bar:
            for change in preview(part, bar.update):
                counts[change.kind] += 1
                if change.kind is Kind.CHANGED and len(shown) < SHOWN:
                    shown.append(change)
        self.stdout.write(f"{part}: {', '.join(f'{counts[kind]} {kind}' for kind in Kind)}")
        for change in shown:
            self.stdout.write(f"  {self._described(change)}")

    def _described(self, change: Change) -> str:
        """With keys and values, which are personal data, on a terminal only: what isn't one may be kept."""
        if not self.stdout.isatty():
            return ", ".join(change.differences)
        values = (f"{name}: {_short(old)} → {_short(new)}" for name, (old, new) in change.differences.items())
        return f"{change.source_id}  {'; '.join(values)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _bar(part: Part) -> Any:
    """The objects read, their rate and the time left. Silent where nobody looks at a terminal."""
    return tqdm(total=part.count(), desc=str(part), unit=" objects", disable=None)


def _chosen(labels: list[str]) -> list[Part]:
    sources = list(all_sources())
    if not sources:
        raise CommandError("There is no source yet: write a blueshift.py in one of your apps.")
    known = {source.label for source in sources}
    for label in labels:
        if label.lower() not in known:
            raise CommandError(f"{label} has no source. There are sources for: {', '.join(sorted(known))}.")
    wanted = {label.lower() for label in labels} or known
    return parts_of(source for source in sources if source.label in wanted)
