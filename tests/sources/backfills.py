"""What the tests of backfills do again and again."""

from __future__ import annotations

from io import StringIO
from typing import Any

from django.core.management import call_command

from tests.site.models import Person


def backfill(*labels: str, **options: Any) -> str:
    """What the command says."""
    out = StringIO()
    call_command("blueshift_backfill", *labels, stdout=out, **options)
    return out.getvalue()


def read_and_changed(*labels: str) -> tuple[int, int]:
    words = backfill(*labels).split()
    return int(words[1]), int(words[3])


def make_people(count: int, **fields: Any) -> list[Person]:
    """People whom nobody has told the mirror of."""
    people = [Person(**{"email": f"{number}@example.com", **fields}) for number in range(count)]
    return Person.objects.bulk_create(people)
