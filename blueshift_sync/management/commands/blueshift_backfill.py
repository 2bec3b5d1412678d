"""manage.py blueshift_backfill"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from blueshift_sync.sources.backfill import backfill
from blueshift_sync.sources.base import Source
from blueshift_sync.sources.capture import Captured
from blueshift_sync.sources.registry import all_sources


class Command(BaseCommand):
    help = (
        "Mirrors every object of the sources and repairs what the mirror has missed: raw SQL, update(), a crash. "
        "What differs is sent; what doesn't is left alone. Safe to run at any time, and again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="app.Model", help="only these models; all, if none is named")

    def handle(self, *args: Any, **options: Any) -> None:
        total = Captured()
        for source in _chosen(options["models"]):
            count = source.get_queryset().count()
            # tqdm is silent where nobody looks at a terminal.
            with tqdm(total=count, desc=source.model._meta.label, unit=" objects", disable=None) as bar:
                total += backfill(source, bar.update)
        self.stdout.write(f"Read {total.read} objects; {total.changed} records of the mirror were changed.")


def _chosen(labels: list[str]) -> list[Source]:
    sources = list(all_sources())
    if not sources:
        raise CommandError("There is no source yet: write a blueshift.py in one of your apps.")
    known = {source.label for source in sources}
    for label in labels:
        if label.lower() not in known:
            raise CommandError(f"{label} has no source. There are sources for: {', '.join(sorted(known))}.")
    wanted = {label.lower() for label in labels} or known
    return [source for source in sources if source.label in wanted]
