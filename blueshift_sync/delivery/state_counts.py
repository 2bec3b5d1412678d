"""How many records are in which state, without counting millions of them for a page.

Up to a bound they are counted when asked for, from an index. Beyond it, the sweep's last count is told, with its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from ..models import StateCount, SyncState
from .claim import mirror
from .runs import SentModel

#: So many records of one state are counted when asked for.
BOUND = 1000
#: Among so many whose turn is next the one that has waited longest is looked for.
OLDEST_AMONG = 250
#: For who has a number that there shouldn't be more of: so many at most.
LARGEST_BOUND = 100_000
#: The sweep counts no more often than this, and for one part of its time: what took a second isn't repeated for 100.
COUNTED_EVERY = timedelta(minutes=1)
SHARE_OF_TIME = 0.01
#: A count that somebody began and didn't finish is begun anew after this.
GIVEN_UP_AFTER = timedelta(hours=1)

State = SyncState.State

#: Where a record can stand. Waiting for something else isn't waiting for its turn: it has no due time.
GROUPS: dict[str, Q] = {
    "in_step": Q(state=State.SYNCED),
    "waiting": Q(state=State.PENDING, due_at__isnull=False),
    "parked": Q(state=State.PENDING, due_at__isnull=True),
    "sending": Q(state=State.SENDING),
    "failed": Q(state=State.FAILED),
    "excluded": Q(state=State.EXCLUDED),
}


class Number(NamedTuple):
    """How many: exactly now, or what was counted at `counted_at`, or, without that, more than `value`."""

    value: int
    is_exact: bool = True
    counted_at: datetime | None = None


@dataclass(frozen=True)
class StateNumbers:
    """How many records of one model are in each of the `GROUPS`.

    `oldest` is since when the longest-waiting one waits, of the first `OLDEST_AMONG` whose turn it is.
    """

    model: SentModel
    numbers: Mapping[str, Number]
    oldest: datetime | None

    @property
    def is_empty(self) -> bool:
        return not any(number.value for number in self.numbers.values())


def state_numbers(models: Sequence[SentModel], up_to: Mapping[str, int] | None = None) -> list[StateNumbers]:
    """The numbers of these models. Reads no more than `BOUND` rows of an index for each of them.

    `up_to` says for some of the `GROUPS` of how many the exact number is wanted; up to `LARGEST_BOUND` it is.
    """
    wanted = up_to or {}
    bounds = {name: max(BOUND, min(wanted.get(name, 0), LARGEST_BOUND)) for name in GROUPS}
    groups = {
        (model, name): (rows_by_state(model).filter(group), bounds[name] + 1)
        for model in models
        for name, group in GROUPS.items()
    }
    counted = count_up_to(groups)
    stored = {row.of: row for row in StateCount.objects.using(mirror()).filter(of__in=map(_label, models))}
    return [
        StateNumbers(
            model,
            {name: _number(counted[model, name], bounds[name], stored.get(_label(model)), name) for name in GROUPS},
            oldest=_oldest(model) if counted[model, "waiting"] else None,
        )
        for model in models
    ]


def _number(counted: int, bound: int, stored: StateCount | None, name: str) -> Number:
    if counted <= bound:
        return Number(counted)
    value = stored.counts.get(name, 0) if stored is not None and stored.counted_at else 0
    if stored is None or value <= bound:  # there were fewer then
        return Number(bound, is_exact=False)
    return Number(value, is_exact=False, counted_at=stored.counted_at)


def rows_by_state(model: SentModel) -> QuerySet[Any]:
    """In the order of the index by state, so that it is read however many are in one state."""
    return model._default_manager.using(mirror()).order_by("state", "due_at", "id")


def _oldest(model: SentModel) -> datetime | None:
    first = rows_by_state(model).filter(GROUPS["waiting"])[:OLDEST_AMONG]
    oldest: datetime | None = first.aggregate(oldest=Min("waiting_since"))["oldest"]
    return oldest


def count_up_to(rows: Mapping[Any, tuple[QuerySet[Any], int]]) -> dict[Any, int]:
    """How many rows each of the querysets has, counted up to its bound. One statement for all of them."""
    if not rows:
        return {}
    counts, parameters = [], []
    for queryset, bound in rows.values():
        sql, its_parameters = queryset.values("pk")[:bound].query.get_compiler(mirror()).as_sql()
        counts.append(f"(SELECT COUNT(*) FROM ({sql}) few)")  # nosec B608  # noqa: S608 - the ORM's own
        parameters += its_parameters
    with connections[mirror()].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(counts)}", parameters)
        return dict(zip(rows, cursor.fetchone(), strict=True))


# Counting all of them


def count_states(models: Sequence[SentModel]) -> None:
    """Counts each model's records by state, unless that was done a short while ago."""
    for model in models:
        if _claim_count(model):
            began = monotonic()
            counts = _count(model)
            pause = max(COUNTED_EVERY, timedelta(seconds=(monotonic() - began) / SHARE_OF_TIME))
            now = timezone.now()
            _stored(model).update(counts=counts, counted_at=now, due_at=now + pause)


def _claim_count(model: SentModel) -> bool:
    """Of all sweeps, one counts."""
    now = timezone.now()
    if _stored(model).filter(due_at__lte=now).update(due_at=now + GIVEN_UP_AFTER):
        return True
    if _stored(model).exists():
        return False
    row = StateCount(of=_label(model), due_at=now)
    StateCount.objects.using(mirror()).bulk_create([row], ignore_conflicts=True)
    return bool(_stored(model).filter(due_at__lte=now).update(due_at=now + GIVEN_UP_AFTER))


def _count(model: SentModel) -> dict[str, int]:
    each = {name: Count("pk", filter=group) for name, group in GROUPS.items()}
    counts: dict[str, int] = model._default_manager.using(mirror()).aggregate(**each)
    return counts


def _stored(model: SentModel) -> QuerySet[StateCount]:
    return StateCount.objects.using(mirror()).filter(of=_label(model))


def _label(model: SentModel) -> str:
    return str(model._meta.label_lower)
