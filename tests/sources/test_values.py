"""Each kind of value becomes one kind of JSON, or a sentence that says why it can't."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage
from django.db import models
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from blueshift_sync.exceptions import ValueNotSendable
from blueshift_sync.sources import to_json
from blueshift_sync.sources.values import DEEPEST, LARGEST, check_size
from tests.site.models import Person


class Plan(models.TextChoices):
    GOLD = "gold", "Gold plan"


class Level(models.IntegerChoices):
    HIGH = 3, "High"


class Colour(enum.Enum):
    RED = "red"


class OldText(str, enum.Enum):  # noqa: UP042 - as many a site has it
    GOLD = "gold"


class NewText(enum.StrEnum):
    GOLD = "gold"


class Many(enum.Flag):
    ONE = 1


class Day(enum.Enum):
    FIRST = dt.date(2026, 1, 1)


UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
CEST = dt.timezone(dt.timedelta(hours=2))

KINDS = [
    (None, None),
    (True, True),
    (0, 0),
    (-7, -7),
    (2**63, 2**63),
    (10**300, 10**300),
    (0.5, 0.5),
    (1e308, 1e308),
    ("", ""),
    ("Zoë 👩🏽‍🚀", "Zoë 👩🏽‍🚀"),
    (mark_safe("<b>"), "<b>"),
    (gettext_lazy("Yes"), "Yes"),
    (Decimal("12.50"), 12.5),
    (Decimal("10"), 10.0),
    (UUID, "12345678-1234-5678-1234-567812345678"),
    (Plan.GOLD, "gold"),
    (Level.HIGH, 3),
    (Colour.RED, "red"),
    (OldText.GOLD, "gold"),
    (NewText.GOLD, "gold"),
    (Many.ONE, 1),
    (Day.FIRST, "2026-01-01"),
    (dt.datetime(2026, 7, 1, 12, tzinfo=CEST), "2026-07-01T10:00:00+00:00"),
    (dt.datetime(2026, 7, 1, 12), "2026-07-01T12:00:00+00:00"),  # noqa: DTZ001
    (dt.date(2026, 7, 1), "2026-07-01"),
    (dt.time(12, 30), "12:30:00"),
    (dt.timedelta(days=1, hours=2), "P1DT02H00M00S"),
    ([1, "a", None], [1, "a", None]),
    ((Decimal(1), UUID), [1.0, str(UUID)]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({"a": {"b": [dt.date(2026, 1, 1)]}}, {"a": {"b": ["2026-01-01"]}}),
    ({1: "a", OldText.GOLD: "b", UUID: "c"}, {"1": "a", "gold": "b", str(UUID): "c"}),
]


@pytest.mark.parametrize(
    ("value", "expected"), KINDS, ids=[f"{type(value).__name__}-{expected!r}" for value, expected in KINDS]
)
def test_each_kind_has_one_json_form(value: Any, expected: Any) -> None:
    converted = to_json(value)
    assert converted == expected
    assert type(converted) is type(expected)
    assert json.loads(json.dumps(converted, allow_nan=False)) == expected


def test_a_decimal_is_a_float_even_when_it_is_whole() -> None:
    assert json.dumps(to_json(Decimal("10"))) == "10.0"


def test_a_naive_time_is_in_the_sites_time_zone_not_in_the_requests(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    with timezone.override("Asia/Tokyo"):
        assert to_json(dt.datetime(2026, 1, 1, 12)) == "2026-01-01T11:00:00+00:00"  # noqa: DTZ001


def test_a_file_is_its_address_and_no_file_is_nothing() -> None:
    storage = InMemoryStorage(base_url="/media/")
    field = SimpleNamespace(storage=storage, name="photo")
    assert to_json(FieldFile(None, field, "ada.png")) == "/media/ada.png"  # type: ignore[arg-type]
    assert to_json(FieldFile(None, field, "")) is None  # type: ignore[arg-type]


def test_a_site_may_say_what_a_file_is_sent_as() -> None:
    """Where the storage signs its addresses, say."""

    class SignedFile(FieldFile):
        url = property(lambda file: f"/media/{file.name}?signature={uuid.uuid4()}")  # type: ignore[assignment]

    field = SimpleNamespace(storage=InMemoryStorage(), name="photo")
    file = SignedFile(None, field, "ada.png")  # type: ignore[arg-type]
    assert to_json(file) != to_json(file)
    to_json.register(SignedFile, lambda file: f"https://cdn.example.com/{file.name}" if file else None)
    assert to_json(file) == "https://cdn.example.com/ada.png"


UNSENDABLE = [
    (float("nan"), "nan has no JSON form"),
    (float("inf"), "inf has no JSON form"),
    (Decimal("NaN"), "NaN has no JSON form"),
    (Decimal("sNaN"), "NaN has no JSON form"),
    (Decimal("-Infinity"), "-inf has no JSON form"),
    (Decimal("1e400"), "inf has no JSON form"),
    ("half \ud800", "lone surrogate"),
    ("a\0b", "NUL"),
    ({"a\0": 1}, "NUL"),
    ([1, [float("nan")]], "nan has no JSON form"),
    (10**5000, "too many digits"),
    (-(10**5000), "too many digits"),
    (b"bytes", "bytes has no JSON form"),
    (object(), "object has no JSON form"),
    ((number for number in [1]), "generator has no JSON form"),
    (1 + 2j, "complex has no JSON form"),
    (Person(name="Ada"), "the value is a Person object"),
]


@pytest.mark.parametrize(("value", "reason"), UNSENDABLE, ids=[type(value).__name__ for value, _ in UNSENDABLE])
def test_what_has_no_json_form_is_refused_with_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(ValueNotSendable, match=reason):
        to_json(value)


class TestTypesOfTheSitesOwn:
    def test_by_a_decorator(self) -> None:
        class Money:
            pence = 250

        @to_json.register(Money)
        def money_to_json(money: Money) -> Decimal:
            return Decimal(money.pence) / 100

        assert to_json([Money()]) == [2.5]  # what the function returns is turned into JSON in its turn
        assert money_to_json(Money()) == Decimal("2.5")

    def test_by_an_annotation(self) -> None:
        @to_json.register
        def ratio_to_json(ratio: Fraction) -> float:
            return float(ratio)

        assert to_json(Fraction(1, 2)) == 0.5

    def test_by_a_function(self) -> None:
        class PhoneNumber(str):
            as_e164 = "+441632960001"

        to_json.register(PhoneNumber, lambda number: str(number.as_e164))
        assert to_json({"phone": PhoneNumber("01632 960001")}) == {"phone": "+441632960001"}

    def test_what_has_no_json_form_then_either(self) -> None:
        class Money:
            pass

        to_json.register(Money, lambda money: object())
        with pytest.raises(ValueNotSendable, match="object has no JSON form"):
            to_json(Money())


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_as_deep_as_every_database_takes_it_is_fine_and_deeper_is_not() -> None:
    check_size(nested(DEEPEST))
    check_size({"a": [{"b": 1}]})
    with pytest.raises(ValueNotSendable, match="nested more than 20 levels"):
        check_size({"a": nested(DEEPEST)})


@pytest.mark.parametrize(
    "value",
    ["a" * LARGEST, ["a" * 10] * (LARGEST // 11), [1] * (LARGEST // 2), {"a" * (LARGEST - 1): 1}],
    ids=["text", "texts", "numbers", "key"],
)
def test_as_large_as_it_may_be_and_larger(value: Any) -> None:
    assert LARGEST - 20 < check_size(value) <= LARGEST
    with pytest.raises(ValueNotSendable, match="more than 200,000 can't be sent"):
        check_size([value, value])
    with pytest.raises(ValueNotSendable, match="together with the attributes before it"):
        check_size(value, others=20)
