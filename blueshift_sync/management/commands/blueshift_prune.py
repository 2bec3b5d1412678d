"""manage.py blueshift_prune: takes the audit away that is too old."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from blueshift_sync.delivery.retention import Part, Slice, parts

NOTHING_TO_DO = (
    "Nothing is ever too old: BLUESHIFT_SYNC['BODY_RETENTION_DAYS'] and BLUESHIFT_SYNC['CALL_RETENTION_DAYS'] are None."
)


class Command(BaseCommand):
    help = (
        "Takes the audit away that is older than BODY_RETENTION_DAYS and CALL_RETENTION_DAYS say: first bodies, then "
        "calls with their results, then runs. Safe to run, to stop and to run again at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        too_old = parts(timezone.now())
        if not too_old:
            self.stdout.write(NOTHING_TO_DO)
        held = sum([self._prune(part) for part in too_old])
        if held:
            raise CommandError(f"{held} rows were left, as somebody is working on them. Run this again.")

    def _prune(self, part: Part) -> int:
        """Returns how many rows were left."""
        done = results = held = 0
        with _bar(part) as bar:
            for each in part.prune():
                done, results, held = done + each.done, results + each.results, held + each.held
                bar.update(_seen(each))
        with_results = f" with {results} results" if results else ""
        self.stdout.write(f"{done} {part.unit} {part.verb}{with_results}.")
        return held


def _seen(each: Slice) -> int:
    return each.done + each.held


def _bar(part: Part) -> Any:
    """The rows done with, their rate and the time left. Silent where nobody looks at a terminal."""
    bar = tqdm(desc=part.unit, unit=f" {part.unit}", disable=None)
    if not bar.disable:
        bar.reset(part.count())
    return bar
