"""Watched models: whose objects, saved, deleted, linked or moved, have objects of a source read again.

A watch is a model and a path from one of its objects to the source's. Besides the watched model itself, every link on
the path counts: the foreign keys on it, and the rows between two models of many to many. Where such a link moves from
one object to another, both are read again, so the old one is looked up in the database before the change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connections, models, transaction
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.manager import BaseManager

from ..exceptions import SourceError
from .base import Source
from .paths import read_path
from .relations import Step, are_kin, concrete_of, key_in, relation_steps

#: The keys of the objects to be read again, by their model.
Owners = dict[type[Model], set[Any]]


def rows_with(model: type[Model], keys: Iterable[Any], using: str) -> QuerySet[Any]:
    """The rows of `model`, all of them, whatever its managers hide."""
    return model._base_manager.using(using).filter(pk__in=list(keys))


@dataclass(frozen=True)
class Lookout:
    """A model on a watch path, and how it goes on from there to the source's object."""

    model: type[Model]
    steps: tuple[Step, ...]
    #: The foreign keys that link the model's rows with their neighbours on the path.
    links: tuple[ForeignKey[Any, Any], ...]
    #: Whether any save counts. Otherwise only one that changes a link.
    is_watched: bool

    @property
    def direct_link(self) -> ForeignKey[Any, Any] | None:
        """The foreign key that holds the owner's primary key itself, if there is one."""
        if len(self.steps) > 1 or not self.steps[0].is_forward:
            return None
        link: ForeignKey[Any, Any] = self.steps[0].relation
        return link if link.target_field.primary_key else None

    def owners_of(self, keys: Iterable[Any], using: str) -> Owners:
        """Where the path leads from these rows, as the database has them now."""
        return follow(self.model, self.steps, keys, using)

    def owners_before(self, row: dict[str, Any], key: Any, using: str) -> Owners:
        """As `owners_of`, for one row that is about to be changed, and of which the links are known."""
        if self.direct_link is not None:
            return _owners(self.steps[-1].target, [row[self.direct_link.attname]])
        return self.owners_of([key], using)

    def owners_saved(self, obj: Any, update_fields: Iterable[str] | None, using: str) -> Owners:
        """As `owners_of`, for an object that has just been saved."""
        link = self.direct_link
        if link is not None and _writes(link, update_fields):
            value = getattr(obj, link.attname)
            if not hasattr(value, "resolve_expression"):
                return _owners(self.steps[-1].target, [link.to_python(value)])
        return self.owners_of([key_in(self.model, obj)], using)


@dataclass(frozen=True)
class Guess:
    """A watched model whose path no query can follow: it is walked from object to object."""

    model: type[Model]
    path: str
    source: Source
    #: Whether objects of other models at its end are no mistake: it goes over a property or a generic relation.
    may_lead_elsewhere: bool
    links: tuple[ForeignKey[Any, Any], ...] = ()
    is_watched: bool = True

    def owners_before(self, row: dict[str, Any], key: Any, using: str) -> Owners:
        with transaction.atomic(using=using):
            return self.owners_of([key], using)

    def owners_of(self, keys: Iterable[Any], using: str) -> Owners:
        owners: Owners = {}
        for obj in rows_with(self.model, keys, using):
            merge(owners, self._owners_at_the_end(obj))
        return owners

    def owners_saved(self, obj: Any, update_fields: Iterable[str] | None, using: str) -> Owners:
        with transaction.atomic(using=using):
            return self._owners_at_the_end(obj)

    def _owners_at_the_end(self, obj: Any) -> Owners:
        owners: Owners = defaultdict(set)
        for owner in _objects_at(obj, self.path):
            if isinstance(owner, Model) and are_kin(owner._meta.model, self.source.model):
                owners[owner._meta.model].add(key_in(owner._meta.model, owner))
            elif not (isinstance(owner, Model) and self.may_lead_elsewhere):
                raise SourceError(
                    f"A path of {type(self.source).__name__}.watch leads to {type(owner).__name__}, "
                    f"not {self.source.label}."
                )
        return owners


@dataclass(frozen=True)
class End:
    """One end of a relation of many to many, and how it goes on from there to the source's object."""

    model: type[Model]
    steps: tuple[Step, ...]

    def owners_of(self, keys: Iterable[Any], using: str) -> Owners:
        return follow(self.model, self.steps, keys, using)


def follow(model: type[Model], steps: tuple[Step, ...], keys: Iterable[Any], using: str) -> Owners:
    """Where these steps lead from the objects of `model` with these keys, in a savepoint."""
    if not steps:
        return _owners(model, keys)
    lookup = "__".join([*(step.lookup for step in steps), "pk"])
    with transaction.atomic(using=using):
        return _owners(steps[-1].target, rows_with(model, keys, using).values_list(lookup, flat=True).distinct())


def merge(owners: Owners, more: Owners) -> None:
    """Adds `more` to `owners`."""
    for model, keys in more.items():
        owners.setdefault(model, set()).update(keys)


def _owners(model: type[Model], keys: Iterable[Any]) -> Owners:
    found = {key for key in keys if key is not None and not (isinstance(key, tuple) and None in key)}
    return {model: found} if found else {}


def _objects_at(obj: Any, path: str) -> Iterator[Any]:
    found = read_path(obj, path)
    if isinstance(found, BaseManager):
        found = found.all()
    if not isinstance(found, Iterable) or isinstance(found, Model | str):
        found = [found]
    yield from (owner for owner in found if owner is not None)


def _writes(link: ForeignKey[Any, Any], update_fields: Iterable[str] | None) -> bool:
    return update_fields is None or link.name in update_fields or link.attname in update_fields


# What there is to look out for, by path


def lookouts_of(source: Source, watched: type[Model], path: str) -> Iterator[Lookout | Guess]:
    """Whose saves and deletions have to do with this watch."""
    steps = relation_steps(watched, path)
    if steps is None or not are_kin(steps[-1].target, source.model):
        yield Guess(watched, path, source, may_lead_elsewhere=steps is None)
        return
    for position, step in enumerate(steps):
        rest = tuple(steps[position:])
        links = [step.relation] if step.is_forward else []
        before = steps[position - 1] if position else None
        if before is not None and isinstance(before.relation, models.ManyToOneRel):
            links.append(before.relation.field)
        yield Lookout(step.origin, rest, tuple(links), is_watched=position == 0)
        field = step.many_to_many
        if field is not None:
            yield _rows_between(step, rest[1:])
    if watched._meta.auto_created:
        yield from _other_ends(watched, steps)


def _rows_between(step: Step, rest: tuple[Step, ...]) -> Lookout:
    """The rows of a relation of many to many, which a site may save and delete by themselves."""
    links = _links_between(step.many_to_many)
    onward = links[1] if step.relation is step.many_to_many else links[0]
    through = step.many_to_many.remote_field.through
    return Lookout(through, (Step(through, step.target, onward.name, onward), *rest), links, is_watched=False)


def _links_between(field: Any) -> tuple[Any, Any]:
    """The foreign keys of a relation's rows: to the model that has the field, and to the other one."""
    get_field = field.remote_field.through._meta.get_field
    return get_field(field.m2m_field_name()), get_field(field.m2m_reverse_field_name())


def _other_ends(through: type[Model], steps: list[Step]) -> Iterator[Lookout]:
    """Rows that Django makes for itself go without a signal when the object at their other end is deleted."""
    for field in _fields_through(through):
        for link in _links_between(field):
            if link is not steps[0].relation:
                is_forward = link.related_model is field.model
                relation = field if is_forward else field.remote_field
                lookup = field.name if is_forward else field.related_query_name()
                across = Step(link.related_model, steps[0].target, lookup, relation)
                yield Lookout(link.related_model, (across, *steps[1:]), (), is_watched=False)


def ends_of(watched: type[Model], path: str) -> Iterator[tuple[type[Model], End]]:
    """The relations of many to many that have to do with this watch, by the model of their rows."""
    steps = relation_steps(watched, path) or []
    for position, step in enumerate(steps):
        if step.many_to_many is not None:
            yield step.many_to_many.remote_field.through, End(step.target, tuple(steps[position + 1 :]))
    if steps and _fields_through(watched):
        yield watched, End(steps[0].target, tuple(steps[1:]))


def _fields_through(through: type[Model]) -> list[Any]:
    """The fields of which `through` holds the rows."""
    return [
        field
        for model in apps.get_models()
        for field in model._meta.local_many_to_many
        if field.remote_field.through is through
    ]


# What a change does


@dataclass
class Before:
    """What is known of an object from before its change: whom it belonged to, and what it doesn't any more."""

    owners: Owners
    moved: set[Lookout | Guess]


def before_save(
    lookouts: Iterable[Lookout | Guess], obj: Any, update_fields: Iterable[str] | None, using: str
) -> Before:
    """Looks up whom `obj` belongs to, where the save may take it away from them."""
    before = Before({}, set())
    if _is_new(obj):
        return before
    for model, alike in _by_model(lookouts).items():
        key = key_in(model, obj)
        links = {link for lookout in alike for link in lookout.links if _writes(link, update_fields)}
        row = _row(model, key, links, using) if links else None
        moved = {link for link in links if row is not None and not _says(obj, link, row[link.attname])}
        for lookout in alike:
            if isinstance(lookout, Guess) or moved.intersection(lookout.links):
                before.moved.add(lookout)
                merge(before.owners, lookout.owners_before(row or {}, key, using))
    return before


def concerned(lookouts: Iterable[Lookout | Guess], before: Before, *, created: bool) -> list[Lookout | Guess]:
    """Those that a save has anything to do with: it was watched, or it made or moved a link."""
    return [
        lookout for lookout in lookouts if lookout.is_watched or lookout in before.moved or (created and lookout.links)
    ]


def after_save(
    lookouts: Iterable[Lookout | Guess], obj: Any, before: Before, update_fields: Iterable[str] | None, using: str
) -> Owners:
    """Whom the save of `obj` concerns: who had it, and who has it now."""
    owners = before.owners
    for lookout in lookouts:
        merge(owners, lookout.owners_saved(obj, update_fields, using))
    return owners


def before_delete(lookouts: Iterable[Lookout | Guess], obj: Any, using: str, *, is_fresh: bool) -> Owners:
    """Whom the deletion of `obj` concerns. `is_fresh`: it is as the database has it."""
    owners: Owners = {}
    for model, alike in _by_model(lookouts).items():
        key = key_in(model, obj)
        direct = {lookout.direct_link for lookout in alike if isinstance(lookout, Lookout)} - {None}
        if not direct:
            row: dict[str, Any] | None = {}
        elif is_fresh:
            row = {link.attname: getattr(obj, link.attname) for link in direct if link is not None}
        else:
            row = _row(model, key, direct, using)
        if row is not None:
            for lookout in alike:
                merge(owners, lookout.owners_before(row, key, using))
    return owners


def _is_new(obj: Any) -> bool:
    """Whether saving `obj` makes a row: by the rule by which Django itself spares the question."""
    fields = obj._meta.pk_fields
    return obj._state.adding and (
        obj.pk is None or all(field.has_default() or field.has_db_default() for field in fields)
    )


def _by_model(lookouts: Iterable[Lookout | Guess]) -> dict[type[Model], list[Lookout | Guess]]:
    grouped: dict[type[Model], list[Lookout | Guess]] = defaultdict(list)
    for lookout in lookouts:
        grouped[lookout.model].append(lookout)
    return grouped


def _row(model: type[Model], key: Any, links: Iterable[Any], using: str) -> dict[str, Any] | None:
    """What the database has in these columns. In a transaction the row is locked, as the change itself is about to."""
    rows = model._base_manager.using(using).filter(pk=key)
    connection = connections[using]
    if connection.in_atomic_block:
        rows = rows.select_for_update(no_key=connection.features.has_select_for_no_key_update)
    return rows.values(*(link.attname for link in links)).first() if key is not None else None


def _says(obj: Any, link: Any, value: Any) -> bool:
    """Whether `obj` has this value; one that only the database can tell is another one."""
    try:
        return bool(link.to_python(getattr(obj, link.attname)) == value)
    except (TypeError, ValueError, ValidationError):
        return False


# Relations of many to many


def linked_keys(through: type[Model], end: End, obj: Model, using: str) -> set[Any]:
    """The objects at this end of the rows that have `obj` at either end."""
    keys = set()
    for field in _fields_through(through):
        links = _links_between(field)
        for here, there in (links, links[::-1]):
            if are_kin(here.related_model, obj._meta.model) and are_kin(there.related_model, end.model):
                rows = through._base_manager.using(using).filter(**{here.attname: key_in(here.related_model, obj)})
                keys |= set(rows.values_list(there.attname, flat=True))
    return keys


def owners_of_change(end: End, obj: Model, others: type[Model], keys: Iterable[Any], using: str) -> Owners:
    """Whom it concerns that `obj` and the objects of `others` with these keys are linked, or no longer are."""
    changed = set(keys) if are_kin(others, end.model) else set()
    if are_kin(obj._meta.model, end.model):
        changed.add(key_in(end.model, obj) if isinstance(obj, concrete_of(end.model)) else obj.pk)
    return end.owners_of(changed, using)
