"""Django's model signals, turned into captures. They run in the transaction of the change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from copy import copy
from typing import Any

from django.apps import apps
from django.db import DatabaseError, OperationalError, connections, router, transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_delete
from django.dispatch import receiver
from rq.timeouts import BaseTimeoutException

from ..models import Customer
from .base import Source
from .capture import capture_chunk, capture_keys, forget_objects
from .customers import let_have_ids
from .memory import Memory
from .mistakes import loggable_key
from .reads import is_reading, put_off
from .registry import sources_of
from .relations import are_kin, concrete_of, kept_in, key_in, text_in_key
from .trips import is_undone

#: How many objects are known to be captured already.
FEW = 20
_captured_lately: ContextVar[tuple[tuple[type[Model], Any], ...]] = ContextVar(
    "blueshift_sync_captured_lately", default=()
)
#: By what was asked to be deleted: its objects of each model and database. Django deletes all rows of a model before it
#: tells of the first, so then all of them are forgotten at once.
_deletions: Memory[dict[tuple[type[Model], str], list[Model]]] = Memory(dict)
#: The objects that are about to be deleted.
_announced: Memory[None] = Memory(lambda: None)

logger = logging.getLogger(__name__)

_disabled: ContextVar[bool] = ContextVar("blueshift_sync_capture_disabled", default=False)


@contextmanager
def disabled() -> Iterator[None]:
    """Nothing that is saved or deleted in this block is captured. `services.capture` makes up for it."""
    token = _disabled.set(True)
    try:
        yield
    finally:
        _disabled.reset(token)


def mirror_alias() -> str:
    """The database that has the mirror."""
    return router.db_for_write(Customer)


def connect(source: Source) -> None:
    """Listens to the models whose objects the source may have to do with: parents, children and proxies of its own."""
    for model in _kin_of(source.model):
        post_save.connect(_on_save, sender=model, dispatch_uid="blueshift_sync.save")
        post_delete.connect(_on_delete, sender=model, dispatch_uid="blueshift_sync.delete")
        pre_delete.connect(_before_delete, sender=model, dispatch_uid="blueshift_sync.before_delete")


def disconnect(source: Source) -> None:
    """Undoes `connect`."""
    for model in _kin_of(source.model):
        if not sources_of(model):
            post_save.disconnect(sender=model, dispatch_uid="blueshift_sync.save")
            post_delete.disconnect(sender=model, dispatch_uid="blueshift_sync.delete")
            pre_delete.disconnect(sender=model, dispatch_uid="blueshift_sync.before_delete")


def _kin_of(model: type[Model]) -> list[type[Model]]:
    return [candidate for candidate in apps.get_models() if are_kin(candidate, model)]


@receiver(post_delete, sender=Customer)
def _on_customer_deleted(instance: Customer, using: str, **kwargs: Any) -> None:
    """A row of the mirror was deleted by hand: its customer ID is free."""
    if instance.customer_id and using == mirror_alias():
        let_have_ids({instance.customer_id}, using)


def database_of(instance: Model, using: str | None) -> str:
    """The database that a signal is about. A site that sends one by itself may leave it out."""
    return using or router.db_for_write(instance._meta.model, instance=instance)


def is_noticed(instance: Model, using: str | None) -> bool:
    """Whether a change of the object in this database is one of the mirror's.

    The mirror knows an object by model and key. So a copy of it in another database than the routers keep it in (an
    archive, say) is passed over, like everything in a block of `disabled`.
    """
    return not _disabled.get() and _is_kept_in(database_of(instance, using), instance)


def _is_kept_in(using: str, instance: Model) -> bool:
    return using == router.db_for_write(instance._meta.model) or using == kept_in(instance)


def _on_save(
    instance: Model, *, using: str | None = None, created: bool = False, raw: bool = False, **kwargs: Any
) -> None:
    if not raw and is_noticed(instance, using):
        alias = database_of(instance, using)
        new = created and not _is_captured(instance)
        capture_change(instance, alias, lambda obj: capture_chunk([obj], alias, new=new), savepoint=False)


def note_captured(model: type[Model], keys: Iterable[Any]) -> None:
    """Notes that these objects were captured otherwise than by their own save.

    A receiver of the site's own may make a watched object before ours hears that its owner is new; so the owner has a
    row by then, for which it would not be looked otherwise. The last few are enough, and too many do no harm.
    """
    _captured_lately.set((*((model, key) for key in keys), *_captured_lately.get())[:FEW])


def _is_captured(instance: Model) -> bool:
    return any(are_kin(model, instance._meta.model) and key == instance.pk for model, key in _captured_lately.get())


def _before_delete(
    sender: type[Model], *, instance: Model, using: str | None = None, origin: Any = None, **kwargs: Any
) -> None:
    if is_noticed(instance, using):
        alias = database_of(instance, using)
        asked = instance if origin is None else origin
        rows = _as_stored(instance, alias) if asked is instance and _may_differ(sender, alias) else []
        _deletions.of(asked).setdefault((sender, alias), []).extend(rows or [copy(instance)])
        _announced.of(instance)


def _as_stored(instance: Model, using: str) -> list[Model]:
    """The object under the key that its row has, where the database takes another one for it as well."""
    try:
        with transaction.atomic(using=using):
            return list(instance._meta.model._base_manager.using(using).filter(pk=instance.pk))
    except DatabaseError:
        return []


def _may_differ(model: type[Model], using: str) -> bool:
    """Whether "A" may be "a" in a key: to MySQL and MariaDB, if the column doesn't say otherwise, and to collations."""
    return any(connections[using].vendor == "mysql" or field.db_collation for field in text_in_key(model))


def _on_delete(
    sender: type[Model], *, instance: Model, using: str | None = None, origin: Any = None, **kwargs: Any
) -> None:
    if is_noticed(instance, using):
        alias = database_of(instance, using)
        deleted = [copy(instance)]  # a deleted object loses its key
        others: dict[tuple[type[Model], str], list[Model]] = {}
        if instance in _announced:  # else it is a signal that the site sends by itself
            _announced.forget(instance)
            together = _deletions.of(instance if origin is None else origin)
            deleted = together.pop((sender, alias), [])
            others = together.copy()
        if deleted:
            capture_change(instance, alias, lambda _: _forget(deleted, others, alias))


def _forget(deleted: Sequence[Model], others: Mapping[tuple[type[Model], str], Sequence[Model]], using: str) -> None:
    """`others` are deleted together with these; so a parent's row that isn't among them stays (`keep_parents`)."""
    forget_objects(deleted, using)
    for parent in concrete_of(deleted[0]._meta.model)._meta.parents:
        leaving = {key_in(parent, obj) for obj in others.get((parent, using), ())}
        capture_keys(parent, sorted({key_in(parent, obj) for obj in deleted} - leaving), using)


def capture_change(instance: Model, using: str, capture: Callable[[Model], Any], *, savepoint: bool = True) -> None:
    """Captures now, in the transaction of the change; where that is on another database, once it is committed."""
    if is_reading():
        frozen = copy(instance)
        put_off(instance._meta.model, lambda: capture_change(frozen, using, capture, savepoint=savepoint))
        return
    mirror = mirror_alias()
    if using == mirror:
        capture_safely(instance, mirror, capture, savepoint=savepoint)
    else:
        frozen = copy(instance)  # a deleted object loses its key
        transaction.on_commit(lambda: capture_safely(frozen, mirror, capture, savepoint=savepoint), using=using)


def capture_safely(instance: Model, mirror: str, capture: Callable[[Model], Any], *, savepoint: bool = True) -> None:
    """Captures in a savepoint: whatever goes wrong with us, the site's own change goes through.

    A `capture` that sees to its savepoints itself needs none here. What a lock prevented is tried again after the
    commit. What is lost is logged, and found again by a backfill.
    """
    try:
        with transaction.atomic(using=mirror) if savepoint else nullcontext():
            capture(instance)
    except BaseTimeoutException:  # the site's own job has run out of time, and must end
        raise
    except Exception as error:
        if is_undone(mirror):  # the site's change with it, and the site must know
            raise
        if isinstance(error, OperationalError) and connections[mirror].in_atomic_block:
            # A deadlock or a time-out: once the site's transaction has let go of its locks, it works.
            frozen = copy(instance)
            transaction.on_commit(
                lambda: capture_safely(frozen, mirror, capture, savepoint=savepoint), using=mirror, robust=True
            )
            return
        logger.error(  # noqa: TRY400 - a traceback may quote values of the object
            "A change of %s %s could not be captured (%s). Mend the cause, then run blueshift_backfill.",
            instance._meta.label,
            loggable_key(instance.pk),
            type(error).__name__,
            extra={
                "event": "not_captured",
                "model": instance._meta.label,
                "key": loggable_key(instance.pk),
                "error": type(error).__name__,
            },
        )
