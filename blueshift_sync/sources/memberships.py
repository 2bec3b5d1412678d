"""From the site's objects to list memberships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import Model
from django.utils import timezone

from ..delivery.wake import wake_on_commit
from ..exceptions import SourceError
from ..models import Customer, CustomerList, ListMembership
from ..models.lists import MEMBERSHIP_COLUMNS
from .base import MembershipSource
from .customers import capture_customers, due_after_debounce
from .fresh import fresh_objects
from .readings import key_text
from .registry import customer_source_of


@dataclass(frozen=True)
class Wish:
    """What one source object says: this customer on that list, or not."""

    source_type: str
    source_id: str
    list_id: int
    customer: Model
    is_member: bool

    @property
    def customer_key(self) -> tuple[str, str]:
        return customer_key(self.customer)


def customer_key(obj: Model) -> tuple[str, str]:
    """The source type and key under which the mirror has `obj`. Raises SourceError where no source mirrors it."""
    source = customer_source_of(type(obj))
    if source is None:
        raise SourceError(f"No CustomerSource is registered for {type(obj)._meta.label}.")
    return source.label, key_text(obj.pk)


def capture_memberships(sources: Sequence[MembershipSource], keys: Sequence[Any], using: str | None) -> int:
    """Brings the memberships of these objects up to date; returns how many had to be changed.

    `sources` are all membership sources of one model, so that what one of them wants isn't removed by another.
    """
    mirror = router.db_for_write(ListMembership)
    with transaction.atomic(using=mirror):
        wishes = [
            wish
            for source in sources
            for obj in fresh_objects(source, keys, using)
            if (wish := read_wish(source, obj)) is not None
        ]
        customers = _rows_of_customers(wishes, using)
        lists = _rows_of_lists(wishes)
        changed = _apply(wishes, customers, lists, due_after_debounce())
        changed += _withdraw(sources[0], keys, wishes, due_after_debounce())
        _write(changed, mirror)
        if changed:
            wake_on_commit(mirror)
    return len(changed)


def read_wish(source: MembershipSource, obj: Model) -> Wish | None:
    """What `obj` says through `source`; None where it names no list or no customer."""
    list_id = source.read_list_id(obj)
    customer = source.read_field(obj, "customer")
    if list_id in (None, "") or customer is None:
        return None
    return Wish(source.label, key_text(obj.pk), int(list_id), customer, bool(source.include(obj)))


def _rows_of_customers(wishes: Sequence[Wish], using: str | None) -> dict[tuple[str, str], Customer]:
    """The mirror's row of each customer object; one that isn't mirrored yet is captured now."""
    rows = _find_customers(wish.customer_key for wish in wishes)
    for wish in wishes:
        if wish.customer_key not in rows:
            source = customer_source_of(type(wish.customer))
            assert source is not None  # customer_key has seen to it  # noqa: S101
            capture_customers(source, [wish.customer.pk], using)
            rows |= _find_customers([wish.customer_key])
    return rows


def _find_customers(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Customer]:
    by_type: dict[str, set[str]] = {}
    for source_type, source_id in keys:
        by_type.setdefault(source_type, set()).add(source_id)
    return {
        (source_type, row.source_id or ""): row
        for source_type, source_ids in by_type.items()
        for row in Customer.objects.filter(source_type=source_type, source_id__in=source_ids)
    }


def _rows_of_lists(wishes: Sequence[Wish]) -> dict[int, CustomerList]:
    """The row of each list; made at first sight, its identifier is read from Blueshift before the first call."""
    wanted = {wish.list_id for wish in wishes}
    rows = {row.list_id: row for row in CustomerList.objects.filter(list_id__in=wanted)}
    if missing := wanted - rows.keys():
        CustomerList.objects.bulk_create(
            [CustomerList(list_id=number) for number in missing], ignore_conflicts=True
        )
        rows |= {row.list_id: row for row in CustomerList.objects.filter(list_id__in=missing)}
    return rows


def _apply(
    wishes: Sequence[Wish],
    customers: dict[tuple[str, str], Customer],
    lists: dict[int, CustomerList],
    due_at: datetime,
) -> list[ListMembership]:
    rows = {
        (row.customer_list_id, row.customer_id): row
        for row in ListMembership.objects.select_for_update()
        .filter(
            customer_list__in={row.pk for row in lists.values()},
            customer__in={row.pk for row in customers.values()},
        )
        .order_by("pk")
    }
    changed: dict[tuple[int, int], ListMembership] = {}
    for wish in wishes:
        if wish.customer_key not in customers:
            continue
        pair = (lists[wish.list_id].pk, customers[wish.customer_key].pk)
        row = rows.setdefault(pair, ListMembership(customer_list_id=pair[0], customer_id=pair[1], version=0))
        if row.pk and (row.is_member, row.source_type, row.source_id) == (
            wish.is_member,
            wish.source_type,
            wish.source_id,
        ):
            continue
        row.source_type, row.source_id = wish.source_type, wish.source_id
        row.set_member(wish.is_member, due_at=due_at)
        changed[pair] = row
    return list(changed.values())


def _withdraw(
    source: MembershipSource, keys: Sequence[Any], wishes: Sequence[Wish], due_at: datetime
) -> list[ListMembership]:
    """Removes the memberships that these objects once wanted and no longer do: another list, another customer."""
    names = [key_text(key) for key in keys]
    wanted = {(wish.source_id, wish.list_id, *wish.customer_key) for wish in wishes}
    stale = [
        row
        for row in ListMembership.objects.filter(
            source_type=source.label, source_id__in=names
        ).select_related("customer", "customer_list")
        if (row.source_id, row.customer_list.list_id, row.customer.source_type, row.customer.source_id)
        not in wanted
    ]
    for row in stale:
        _disown(row, due_at)
    return stale


def _disown(row: ListMembership, due_at: datetime) -> None:
    row.source_id = None
    if row.is_member:
        row.set_member(False, due_at=due_at)


def _write(rows: Sequence[ListMembership], mirror: str) -> None:
    known = [row for row in rows if row.pk is not None]
    if known:
        ListMembership.objects.using(mirror).bulk_update(known, MEMBERSHIP_COLUMNS)
    ListMembership.objects.using(mirror).bulk_create([row for row in rows if row.pk is None])


def withdraw_memberships(source: MembershipSource, obj: Model) -> None:
    """The source object is gone: its customer leaves the list."""
    mirror = router.db_for_write(ListMembership)
    with transaction.atomic(using=mirror):
        rows = list(
            ListMembership.objects.using(mirror)
            .select_for_update()
            .filter(source_type=source.label, source_id=key_text(obj.pk))
            .order_by("pk")
        )
        for row in rows:
            _disown(row, timezone.now())
        _write(rows, mirror)
        if rows:
            wake_on_commit(mirror)
