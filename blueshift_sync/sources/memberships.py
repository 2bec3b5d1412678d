"""From the site's objects to list memberships."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import DatabaseError, models, router, transaction
from django.db.models import Model
from django.utils import timezone

from ..delivery.locks import gives_way, is_in_transaction
from ..delivery.statements import Statement, insert_each, insert_of, update_each, update_of
from ..delivery.wake import wake_on_commit
from ..exceptions import SourceError
from ..models import Customer, CustomerList, ListMembership
from ..models.lists import MEMBERSHIP_COLUMNS
from .base import CustomerSource, MembershipSource, Source
from .captured import Captured, Change, Kind
from .clashes import speaking_of
from .customers import capture_customers, due_after_debounce
from .fresh import fresh_objects, keys_of_child
from .mistakes import describe, is_mistake, loggable_key
from .queries import Select
from .readings import key_text
from .reads import changes_afterwards, read_settled
from .registry import customer_source_of, customer_sources_of_children
from .relations import kept_beside
from .trips import is_undone, savepoint, savepoint_within

logger = logging.getLogger(__name__)


_CUSTOMER_OF_SOURCE = Select(Customer.objects.all(), "source_type", "source_id")
_LIST = Select(CustomerList.objects.all(), "list_id")
_MEMBERSHIP_OF_PAIR = Select(ListMembership.objects.select_for_update(), "customer_list", "customer")
_MEMBERSHIPS_OF_SOURCE = Select(ListMembership.objects.select_for_update().order_by("pk"), "source_type", "source_id")

#: The primary keys of a list and a customer.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Wish:
    """What one source object says: this customer on that list, or not."""

    source_id: str
    list_id: int
    customer_source: CustomerSource
    customer_key: Any
    #: The database that has the customer's object.
    customer_alias: str
    is_member: bool

    @property
    def customer_name(self) -> tuple[str, str]:
        """The source type and key under which the mirror has the customer."""
        return self.customer_source.label, key_text(self.customer_key)


Reader = Callable[[MembershipSource, Model, str], Wish | None]
CustomerMaker = Callable[[Sequence[Wish], str], dict[tuple[str, str], Customer]]
ListMaker = Callable[[set[int], str], Iterable[CustomerList]]


@dataclass(frozen=True)
class Mistake:
    """A source that failed at one object."""

    key: Any
    source_name: str
    error: Exception

    @property
    def message(self) -> str:
        return f"The source {self.source_name} failed: {describe(self.error)}"

    def log(self, model: type[Model]) -> None:
        """Without a row that could be FAILED, the log alone tells of it."""
        logger.error(
            "The source %s failed at %s %s (%s). Mend it, then run blueshift_backfill.",
            self.source_name,
            model._meta.label,
            loggable_key(self.key),
            type(self.error).__name__,
            extra={
                "event": "source_failed",
                "source": self.source_name,
                "model": model._meta.label,
                "key": loggable_key(self.key),
                "error": type(self.error).__name__,
            },
        )


@dataclass
class Wishes:
    """What a chunk of source objects says, and by source key what failed."""

    stated: list[Wish] = field(default_factory=list)
    mistakes: dict[str, Mistake] = field(default_factory=dict)


def capture_memberships(
    sources: Sequence[MembershipSource], keys: Sequence[Any], using: str, *, patiently: bool = False
) -> Captured:
    """Brings the memberships of these objects up to date.

    `sources` are all membership sources of one model, so that what one of them wants isn't removed by another.
    `keys` are as their `key_of` gives them.
    `patiently`: where there is no transaction, in one that gives way to those of the site.
    """
    capture = gives_way(_capture_memberships) if patiently and not is_in_transaction() else _capture_memberships
    with changes_afterwards():
        try:
            return capture(sources, keys, using, read_wish)
        except DatabaseError:
            if is_undone(router.db_for_write(ListMembership)):
                raise
            # As with customers: a row made in between can be seen now, and a source's mistake in the database is kept
            # to its own object.
            return capture(sources, keys, using, read_wish_alone)


def compare_memberships(sources: Sequence[MembershipSource], keys: Sequence[Any], using: str) -> _Capture:
    """What `capture_memberships` would change. Nothing is locked or written."""
    with changes_afterwards():
        try:
            with savepoint_within(using):
                return _compare(sources, keys, using, read_wish)
        except DatabaseError:
            return _compare(sources, keys, using, read_wish_alone)


def _compare(sources: Sequence[MembershipSource], keys: Sequence[Any], using: str, read: Reader) -> _Capture:
    mirror = router.db_for_write(ListMembership)
    wishes = _read_wishes(sources, keys, using, read)
    by_pair = _by_pair(_of_children(wishes.stated), mirror, _unsaved_customers, _unsaved_lists)
    return _Capture(sources[0].label, keys, wishes, by_pair, mirror, locked=False)


def _capture_memberships(
    sources: Sequence[MembershipSource], keys: Sequence[Any], using: str, read: Reader
) -> Captured:
    mirror = router.db_for_write(ListMembership)
    with savepoint(mirror) as write:
        wishes = _read_wishes(sources, keys, using, read)
        by_pair = _by_pair(_of_children(wishes.stated), mirror, _make_customers, _make_lists)
        capture = _Capture(sources[0].label, keys, wishes, by_pair, mirror)
        _write(capture.changed, mirror, write)
        if capture.changed:
            wake_on_commit(mirror)
            _hand_on(capture.taken_off, mirror)
    for mistake in wishes.mistakes.values():
        mistake.log(sources[0].model)
    return Captured(changed=len(capture.changed), failed=len(wishes.mistakes))


def capture_memberships_of(source: CustomerSource, keys: Sequence[Any]) -> None:
    """Captures what puts these customers on lists: they are mirrored by another row than before."""
    mirror = router.db_for_write(Customer)
    names = [key_text(key) for key in keys]
    rows = Customer.objects.using(mirror).filter(source_type=source.label, source_id__in=names)
    _hand_on(set(rows.values_list("pk", flat=True)), mirror)


def _hand_on(customers: set[int], mirror: str) -> None:
    """Who put these customers on a list has taken them off again: another object may want them there all the same."""
    if customers:
        for sources, keys, using in speaking_of(customers, mirror):
            capture_memberships(sources, keys, using)


def _read_wishes(sources: Sequence[MembershipSource], keys: Sequence[Any], using: str, read: Reader) -> Wishes:
    wishes = Wishes()
    for source, objects in _objects_by_source(sources, keys, using):
        for obj in objects:
            try:
                wish = read(source, obj, using)
            except Exception as error:
                if not is_mistake(error):
                    raise
                wishes.mistakes[key_text(obj.pk)] = Mistake(obj.pk, type(source).__name__, error)
                continue
            if wish is not None:
                wishes.stated.append(wish)
    return wishes


def _objects_by_source(
    sources: Sequence[MembershipSource], keys: Sequence[Any], using: str
) -> Iterator[tuple[MembershipSource, Sequence[Model]]]:
    """The objects for each source; read once for all those that ask for nothing of their own."""
    plain: Sequence[Model] | None = None
    for source in sources:
        if type(source).get_queryset is not Source.get_queryset:
            yield source, fresh_objects(source, keys, using)
        else:
            plain = fresh_objects(source, keys, using) if plain is None else plain
            yield source, plain


def read_wish(source: MembershipSource, obj: Model, using: str) -> Wish | None:
    """What `obj` says through `source`; None where it names no list or no customer.

    Raises SourceError where no source mirrors the customer, the list's number is none, or the source doesn't only read.
    """
    wish, complaint = read_settled(obj, lambda: _read_wish(source, obj, using))
    if complaint:
        raise SourceError(complaint)
    return wish


def _read_wish(source: MembershipSource, obj: Model, using: str) -> Wish | None:
    list_id = source.read_list_id(obj)
    customer = source.read_field(obj, "customer")
    if list_id in (None, "") or customer is None:
        return None
    customer_source = customer_source_of(customer._meta.model)
    if customer_source is None:
        raise SourceError(f"No CustomerSource is registered for {customer._meta.label}.")
    return Wish(
        source_id=key_text(obj.pk),
        list_id=_list_number(list_id),
        customer_source=customer_source,
        customer_key=customer_source.key_of(customer),
        customer_alias=kept_beside(source.model, using, customer_source.model),
        is_member=bool(source.include(obj)),
    )


def read_wish_alone(source: MembershipSource, obj: Model, using: str) -> Wish | None:
    """As `read_wish`, in a savepoint. Raises SourceError for a database error in the source's code."""
    try:
        with transaction.atomic(using=using):
            return read_wish(source, obj, using)
    except DatabaseError as error:
        raise SourceError(describe(error)) from error


def _list_number(list_id: Any) -> int:
    number = int(list_id)
    if isinstance(list_id, bool) or (not isinstance(list_id, str) and number != list_id):
        raise SourceError(f"{list_id} can't be the number of a list.")
    if not 0 < number <= models.BigIntegerField.MAX_BIGINT:
        raise SourceError(f"{number} can't be the number of a list.")
    return number


def _by_pair(
    wishes: Sequence[Wish], mirror: str, make_customers: CustomerMaker, make_lists: ListMaker
) -> dict[Pair, list[Wish]]:
    """The wishes by the rows that they are about; what isn't mirrored yet is made by these two."""
    customers = _find_customers(wishes, mirror)
    if missing := [wish for wish in wishes if wish.customer_name not in customers]:
        customers |= make_customers(missing, mirror)
    lists = _rows_of_lists({wish.list_id for wish in wishes}, mirror, make_lists)
    pairs: dict[Pair, list[Wish]] = defaultdict(list)
    for wish in wishes:
        if wish.customer_name in customers:
            pairs[lists[wish.list_id].pk, customers[wish.customer_name].pk].append(wish)
    return pairs


def _make_customers(wishes: Sequence[Wish], mirror: str) -> dict[tuple[str, str], Customer]:
    """Captures the customers of these wishes."""
    missing: dict[tuple[CustomerSource, str], set[Any]] = defaultdict(set)
    for wish in wishes:
        missing[wish.customer_source, wish.customer_alias].add(wish.customer_key)
    for (source, using), keys in missing.items():
        capture_customers(source, list(keys), using)
    return _find_customers(wishes, mirror)


def _unsaved_customers(wishes: Sequence[Wish], mirror: str) -> dict[tuple[str, str], Customer]:
    """Customers for these wishes, with keys that no row has."""
    names = {wish.customer_name for wish in wishes}
    return {name: Customer(pk=-number) for number, name in enumerate(names, start=1)}


def _of_children(wishes: Sequence[Wish]) -> Sequence[Wish]:
    """The wishes, with each customer under the source of the child of its model that it is an object of."""
    for parent, using in {(wish.customer_source, wish.customer_alias) for wish in wishes}:
        for child in customer_sources_of_children(parent.model):
            keys = {wish.customer_key for wish in wishes if wish.customer_source is parent}
            theirs = keys_of_child(child, keys, parent, using)
            wishes = [
                replace(wish, customer_source=child, customer_key=theirs[wish.customer_key])
                if wish.customer_source is parent and wish.customer_key in theirs
                else wish
                for wish in wishes
            ]
    return wishes


def _find_customers(wishes: Iterable[Wish], mirror: str) -> dict[tuple[str, str], Customer]:
    by_type: dict[str, set[str]] = defaultdict(set)
    for wish in wishes:
        source_type, source_id = wish.customer_name
        by_type[source_type].add(source_id)
    return {
        (source_type, row.source_id or ""): row
        for source_type, source_ids in by_type.items()
        for row in _customers_of(source_type, source_ids, mirror)
    }


def _customers_of(source_type: str, source_ids: set[str], mirror: str) -> Iterable[Customer]:
    if len(source_ids) == 1:
        return _CUSTOMER_OF_SOURCE.query(mirror, source_type, *source_ids).rows()
    return Customer.objects.using(mirror).filter(source_type=source_type, source_id__in=source_ids)


def _rows_of_lists(wanted: set[int], mirror: str, make: ListMaker) -> dict[int, CustomerList]:
    known = (
        _LIST.query(mirror, *wanted).rows()
        if len(wanted) == 1
        else CustomerList.objects.using(mirror).filter(list_id__in=wanted)
    )
    rows = {row.list_id: row for row in known if row.list_id is not None}
    if missing := wanted - rows.keys():
        rows |= {row.list_id: row for row in make(missing, mirror) if row.list_id is not None}
    return rows


def _make_lists(numbers: set[int], mirror: str) -> Iterable[CustomerList]:
    """The identifier of a new list is read from Blueshift before the first call."""
    lists = CustomerList.objects.using(mirror)
    lists.bulk_create([CustomerList(list_id=number) for number in numbers], ignore_conflicts=True)
    return lists.filter(list_id__in=numbers)


def _unsaved_lists(numbers: set[int], mirror: str) -> Iterable[CustomerList]:
    return [CustomerList(pk=-number, list_id=number) for number in numbers]


class _Capture:
    """What the memberships of a chunk of source objects should be, against the mirror's rows of them."""

    def __init__(
        self,
        label: str,
        keys: Sequence[Any],
        wishes: Wishes,
        by_pair: dict[Pair, list[Wish]],
        mirror: str,
        *,
        locked: bool = True,
    ) -> None:
        self.label = label
        self.names = {key_text(key) for key in keys} | {wish.source_id for wish in wishes.stated}
        self.due_at = due_after_debounce()
        self.rows: dict[Pair, ListMembership] = {}
        self.changed: list[ListMembership] = []
        #: The objects that a capture has to do with: those that differ, and those that fail.
        self.source_ids: set[str] = set(wishes.mistakes)
        #: The customers that were taken off a list.
        self.taken_off: set[int] = set()
        for row in self._find(by_pair, mirror, locked=locked):
            self.rows.setdefault((row.customer_list_id, row.customer_id), row)
        self._before = {row.pk: (row.source_id, _said_by(row)) for row in self.rows.values()}
        self._follow(by_pair)
        self._withdraw({(pair, wish.source_id) for pair in by_pair for wish in by_pair[pair]}, wishes.mistakes)

    @property
    def changes(self) -> Iterator[Change]:
        """What a capture would do."""
        for row in self.changed:
            source_id, before = self._before.get(row.pk, (row.source_id, None))
            if before is None:
                yield Change(Kind.NEW, source_id)
            elif row.source_id is None:
                yield Change(Kind.GONE, source_id)
            else:
                yield Change(Kind.CHANGED, source_id, before, _said_by(row))

    def _find(self, pairs: Collection[Pair], mirror: str, *, locked: bool) -> list[ListMembership]:
        """The rows of these pairs and those that the source objects own."""
        if len(pairs) == len(self.names) == 1 and locked:
            (pair,) = pairs
            wished, owned = _MEMBERSHIP_OF_PAIR.query(mirror, *pair).rows_with(
                _MEMBERSHIPS_OF_SOURCE.query(mirror, self.label, *self.names)
            )
            return [*wished, *owned]
        rows = ListMembership.objects.using(mirror).order_by("pk")
        if locked:
            rows = rows.select_for_update()
        list_pks, customer_pks = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
        return [
            *rows.filter(customer_list__in=list_pks, customer__in=customer_pks),
            *rows.filter(source_type=self.label, source_id__in=self.names),
        ]

    def _follow(self, by_pair: dict[Pair, list[Wish]]) -> None:
        """Makes each row say what is wished of it."""
        for (list_pk, customer_pk), wishes in by_pair.items():
            row = self.rows.get((list_pk, customer_pk))
            if row is None:
                row = ListMembership(customer_list_id=list_pk, customer_id=customer_pk, version=0)
            wish = self._deciding(wishes, row)
            if self._is_anothers(row) and row.is_member >= wish.is_member:
                continue  # who put the customer on the list is the one to take it off again
            says = (row.is_member, row.source_type, row.source_id, row.error_code == "source_error")
            if row.pk and says == (wish.is_member, self.label, wish.source_id, False):
                continue
            self.source_ids.update(each.source_id for each in wishes)
            if row.source_type == self.label and row.source_id is not None:
                self.source_ids.add(row.source_id)
            row.source_type, row.source_id = self.label, wish.source_id
            if row.pk and row.is_member and not wish.is_member:
                self.taken_off.add(row.customer_id)
            row.set_member(wish.is_member, due_at=self.due_at)
            self.changed.append(row)

    def _withdraw(self, wished: set[tuple[Pair, str]], mistakes: Mapping[str, Mistake]) -> None:
        """Removes the memberships that these objects once wanted and no longer do: another list or customer.

        Those of objects that can't be read are FAILED until they can.
        """
        for row in self.rows.values():
            owner = row.source_id if row.source_type == self.label else None
            if owner not in self.names or ((row.customer_list_id, row.customer_id), owner) in wished:
                continue
            mistake = mistakes.get(owner)
            if mistake is None:
                self.source_ids.add(owner)
                self.taken_off.add(row.customer_id)
                _disown(row, self.due_at)
            elif row.is_excluded_by_operator or _says(row, mistake):
                continue
            else:
                row.mark_changed(due_at=self.due_at, error_code="source_error", error_message=mistake.message)
            self.changed.append(row)

    def _is_anothers(self, row: ListMembership) -> bool:
        return row.source_id is not None and (row.source_type != self.label or row.source_id not in self.names)

    def _deciding(self, wishes: Sequence[Wish], row: ListMembership) -> Wish:
        """Of several wishes one that puts the customer on the list, and rather that of the object that owns the row."""
        return max(wishes, key=lambda wish: (wish.is_member, wish.source_id == row.source_id))


def _says(row: ListMembership, mistake: Mistake) -> bool:
    return (row.error_code, row.error_message) == ("source_error", mistake.message)


def _said_by(row: ListMembership) -> dict[str, Any]:
    return {"is_member": row.is_member, "error": row.error_message or None, "source": row.source_id}


def _disown(row: ListMembership, due_at: datetime) -> None:
    row.source_id = None
    if row.is_member:
        row.set_member(False, due_at=due_at)


def _write(rows: Sequence[ListMembership], mirror: str, write: Callable[[Statement], None]) -> None:
    if len(rows) == 1:
        (row,) = rows
        write(insert_of([row]) if row.pk is None else update_of(row, MEMBERSHIP_COLUMNS))
        return
    update_each([row for row in rows if row.pk is not None], MEMBERSHIP_COLUMNS)
    insert_each([row for row in rows if row.pk is None])


def withdraw_memberships(source: MembershipSource, key: Any) -> None:
    """The source object is gone: its customer leaves the list."""
    mirror = router.db_for_write(ListMembership)
    with savepoint(mirror) as write:
        rows = list(
            ListMembership.objects.using(mirror)
            .select_for_update()
            .filter(source_type=source.label, source_id=key_text(key))
            .order_by("pk")
        )
        for row in rows:
            _disown(row, timezone.now())
        _write(rows, mirror, write)
        if rows:
            wake_on_commit(mirror)
            _hand_on({row.customer_id for row in rows}, mirror)
