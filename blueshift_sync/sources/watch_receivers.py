"""Django's signals of watched models, turned into captures of the objects that they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import Model
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save
from rq.timeouts import BaseTimeoutException

from .base import Source
from .capture import capture_keys
from .memory import Memory
from .receivers import capture_change, capture_safely, database_of, is_noticed, note_captured
from .relations import concrete_of, family, kept_beside
from .watching import (
    Before,
    End,
    Guess,
    Lookout,
    Owners,
    after_save,
    before_delete,
    before_save,
    concerned,
    ends_of,
    linked_keys,
    lookouts_of,
    merge,
    owners_of_change,
)

#: What is to be looked out for at the signals of each model, and which source wants it.
_lookouts: dict[type[Model], list[tuple[Source, Lookout | Guess]]] = defaultdict(list)
#: The same for the relations of many to many, by the model of their rows.
_ends: dict[type[Model], list[tuple[Source, End]]] = defaultdict(list)

#: What was found out before a change, until after it. A stack: saves may be inside each other.
_before: Memory[list[Any]] = Memory(list)
#: By what was asked to be deleted: whom its rows of each model and database concern. Django deletes all rows of a model
#: before it tells of the first, so then the owners are read again, and once for all of them.
_deletions: Memory[dict[tuple[type[Model], str], Owners]] = Memory(dict)
#: The objects that `loaddata` made: Django doesn't say so when it links them.
_raw: Memory[None] = Memory(lambda: None)


def connect_watches(source: Source) -> None:
    """Listens to what the source watches, and to the links on the way to its objects."""
    for watched, path in source.watched():
        for lookout in lookouts_of(source, watched, path):
            for sender in family(lookout.model):
                _lookouts[sender].append((source, lookout))
                for signal, receiver in _RECEIVERS.items():
                    signal.connect(receiver, sender=sender, dispatch_uid="blueshift_sync.watch")
        for through, end in ends_of(watched, path):
            _ends[through].append((source, end))
            m2m_changed.connect(_on_link, sender=through, dispatch_uid="blueshift_sync.watch")
            for sender in _linked_models(through):
                pre_save.connect(_mark_raw, sender=sender, dispatch_uid="blueshift_sync.raw")


def disconnect_watches(source: Source) -> None:
    """Undoes `connect_watches`."""
    for sender, wanted in list(_lookouts.items()):
        wanted[:] = [(by, lookout) for by, lookout in wanted if by is not source]
        if not wanted:
            del _lookouts[sender]
            for signal in _RECEIVERS:
                signal.disconnect(sender=sender, dispatch_uid="blueshift_sync.watch")
    for through, wanted_ends in list(_ends.items()):
        wanted_ends[:] = [(by, end) for by, end in wanted_ends if by is not source]
        if not wanted_ends:
            del _ends[through]
            m2m_changed.disconnect(sender=through, dispatch_uid="blueshift_sync.watch")


def _linked_models(through: type[Model]) -> Iterator[type[Model]]:
    for field in through._meta.concrete_fields:
        if field.remote_field is not None:
            yield from family(field.remote_field.model)


def _lookouts_at(sender: type[Model]) -> list[Lookout | Guess]:
    """Those of all sources, each one once."""
    return list(dict.fromkeys(lookout for _, lookout in _lookouts[sender]))


# Saves and deletions


def _before_save(
    sender: type[Model],
    *,
    instance: Model,
    using: str | None = None,
    raw: bool = False,
    update_fields: Any = None,
    **kwargs: Any,
) -> None:
    if not raw and is_noticed(instance, using):
        _remember(
            instance, lambda: before_save(_lookouts_at(sender), instance, update_fields, database_of(instance, using))
        )


def _after_save(
    sender: type[Model],
    *,
    instance: Model,
    using: str | None = None,
    created: bool = False,
    raw: bool = False,
    update_fields: Any = None,
    **kwargs: Any,
) -> None:
    if raw or not is_noticed(instance, using):
        return
    before = _remembered(instance) or Before({}, set())
    lookouts = _lookouts_at(sender)
    if isinstance(before, Before):
        lookouts = concerned(lookouts, before, created=created)
    if lookouts:
        alias = database_of(instance, using)
        _capture(instance, alias, lambda: after_save(lookouts, instance, _known(before), update_fields, alias))


def _before_delete(
    sender: type[Model], *, instance: Model, using: str | None = None, origin: Any = None, **kwargs: Any
) -> None:
    if not is_noticed(instance, using):
        return
    alias = database_of(instance, using)

    def find_out() -> Owners:
        is_fresh = origin is not instance  # Django has just read those that it deletes with another one
        owners = before_delete(_lookouts_at(sender), instance, alias, is_fresh=is_fresh)
        if origin is None:
            return owners
        merge(_deletions.of(origin).setdefault((sender, alias), {}), owners)
        return {}

    _remember(instance, find_out)


def _after_delete(
    sender: type[Model], *, instance: Model, using: str | None = None, origin: Any = None, **kwargs: Any
) -> None:
    if not is_noticed(instance, using):
        return
    alias = database_of(instance, using)
    before = _remembered(instance) or {}
    together = _deletions.of(origin).pop((sender, alias), {}) if origin in _deletions else {}
    _capture(instance, alias, lambda: _known(before))
    _capture(instance, alias, lambda: together)


_RECEIVERS: dict[ModelSignal, Callable[..., None]] = {
    pre_save: _before_save,
    post_save: _after_save,
    pre_delete: _before_delete,
    post_delete: _after_delete,
}


# Links of many to many


def _on_link(
    sender: type[Model],
    *,
    instance: Model,
    action: str,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str | None = None,
    **kwargs: Any,
) -> None:
    if instance in _raw or not is_noticed(instance, using):
        return
    alias = database_of(instance, using)
    ends = list(dict.fromkeys(end for _, end in _ends[sender]))
    if action == "pre_clear":
        _remember(instance, lambda: {end: linked_keys(sender, end, instance, alias) for end in ends})
    elif action in {"post_add", "post_remove", "post_clear"}:
        before = _remembered(instance) if action == "post_clear" else {}

        def owners() -> Owners:
            cleared = _known(before or {})
            found: Owners = {}
            for end in ends:
                keys = cleared.get(end, ()) if pk_set is None else pk_set
                merge(found, owners_of_change(end, instance, model, keys, alias))
            return found

        _capture(instance, alias, owners)


def _mark_raw(*, instance: Model, raw: bool = False, **kwargs: Any) -> None:
    if raw:
        _raw.of(instance)


# From before a change to after it


def _remember(instance: Model, find_out: Callable[[], Any]) -> None:
    """Keeps what `find_out` says, or why it can't, until the change is made."""
    try:
        found = find_out()
    except BaseTimeoutException:
        raise
    except Exception as error:  # noqa: BLE001 - the site's change must go through; told of when it has
        found = error
    _before.of(instance).append(found)


def _remembered(instance: Model) -> Any:
    if instance not in _before:
        return None
    stack = _before.of(instance)
    found = stack.pop()
    if not stack:
        _before.forget(instance)
    return found


def _known(found: Any) -> Any:
    """What was remembered. Raises what was raised then."""
    if isinstance(found, Exception):
        raise found
    return found


def _capture(instance: Model, using: str, owners: Callable[[], Owners]) -> None:
    """Captures the owners now, in the transaction of the change; where that is elsewhere, once it is committed.

    `owners` sees to savepoints where it asks the database.
    """

    def capture(obj: Model) -> None:
        found = owners()
        if found:
            capture_change(obj, using, lambda _: _capture_owners(found, obj._meta.model, using), savepoint=False)

    capture_safely(instance, using, capture, savepoint=False)


def _capture_owners(owners: Owners, watched: type[Model], using: str) -> None:
    by_table: Owners = {}
    for model, keys in owners.items():
        merge(by_table, {concrete_of(model): keys})  # one and the same, whichever of its names a path leads to
    for model, keys in by_table.items():
        capture_keys(model, sorted(keys), kept_beside(watched, using, model))
        note_captured(model, keys)
