"""Objects whose key is made of two columns."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from blueshift_sync import services
from blueshift_sync.models import Customer

from .models import Seat

pytestmark = pytest.mark.django_db


def rows() -> list[tuple[str | None, str, str]]:
    return list(Customer.objects.order_by("pk").values_list("source_id", "email", "state"))


def backfill() -> str:
    out = StringIO()
    call_command("blueshift_backfill", "club.Seat", stdout=out)
    return out.getvalue()


def test_they_are_mirrored_under_both_columns_however_these_are_written() -> None:
    Seat.objects.create(hall="A", number=1, holder="ada@example.com")
    Seat(hall="A", number="1", holder="bob@example.com").save()
    assert rows() == [('["A", "1"]', "bob@example.com", "PENDING")]
    Seat(hall="A", number="1").delete()
    assert rows() == [(None, "bob@example.com", "EXCLUDED")]


def test_a_backfill_finds_what_is_new_changed_and_gone() -> None:
    with services.disabled():
        Seat.objects.create(hall="A", number=1, holder="ada@example.com")
        Seat.objects.create(hall="A", number=2, holder="bob@example.com")
    assert "2 records of the mirror were changed" in backfill()
    assert "0 records of the mirror were changed" in backfill()
    Seat.objects.filter(number=1).update(holder="new@example.com")
    Seat.objects.filter(number=2)._raw_delete("default")  # type: ignore[attr-defined]
    backfill()
    assert [(email, state) for _, email, state in rows()] == [
        ("new@example.com", "PENDING"),
        ("bob@example.com", "EXCLUDED"),
    ]
    assert "0 records of the mirror were changed" in backfill()
