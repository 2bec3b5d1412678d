"""manage.py blueshift_status: says how everything stands."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from blueshift_sync.delivery.state_counts import StateNumbers
from blueshift_sync.delivery.status import Status, quantity, take_status
from blueshift_sync.delivery.status_json import as_json


class Command(BaseCommand):
    help = (
        "Says how everything stands. Ends with 1 if something has to be mended: the key is missing or refused, "
        "Blueshift or Redis doesn't answer, no worker runs, or the sweep hasn't run for five minutes. What waits or "
        "failed, or that sending is switched off, is told and no reason for that."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="say it as one JSON object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        status = take_status()
        if options["json"]:
            self.stdout.write(json.dumps(as_json(status), indent=2))
        else:
            for line in _lines(status):
                self.stdout.write(line)
        if status.faults:
            raise CommandError(" ".join(problem.sentence for problem in status.faults))


def _lines(status: Status) -> list[str]:
    return [
        *(problem.sentence for problem in status.problems if not problem.is_fault),
        *status.summary,
        *(_records_line(numbers) for numbers in status.records if not numbers.is_empty),
        *(f"{label}: {value}" for label, value in [*status.machinery, status.calls]),
    ]


def _records_line(numbers: StateNumbers) -> str:
    text = _(
        "%(records)s: %(in_step)s in step, %(waiting)s waiting, %(parked)s waiting for something else, "
        "%(sending)s being sent, %(failed)s failed, %(excluded)s excluded"
    )
    quantities = {group: quantity(number) for group, number in numbers.numbers.items()}
    return text % {"records": capfirst(str(numbers.model._meta.verbose_name_plural)), **quantities}
