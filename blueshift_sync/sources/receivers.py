"""Django's model signals, turned into captures. They run in the transaction of the change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from copy import copy
from typing import Any

from django.apps import apps
from django.db import router, transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from rq.timeouts import BaseTimeoutException

from ..exceptions import SourceError
from ..models import Customer
from .base import Source
from .capture import capture_chunk, forget_object
from .mistakes import loggable_key
from .paths import read_path

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


def connect(source: Source) -> None:
    """Listens to the source's model, the models derived from it, and those that it watches."""
    for model in _with_derived(source.model):
        post_save.connect(_on_save, sender=model, dispatch_uid="blueshift_sync.save")
        post_delete.connect(_on_delete, sender=model, dispatch_uid="blueshift_sync.delete")
    for watched, path in source.watch.items():
        for model in _with_derived(watched):
            for signal in (post_save, post_delete):
                signal.connect(_watcher(source, path), sender=model, dispatch_uid=_watch_uid(source, path), weak=False)


def disconnect(source: Source) -> None:
    """Undoes `connect`."""
    for model in _with_derived(source.model):
        post_save.disconnect(sender=model, dispatch_uid="blueshift_sync.save")
        post_delete.disconnect(sender=model, dispatch_uid="blueshift_sync.delete")
    for watched, path in source.watch.items():
        for model in _with_derived(watched):
            for signal in (post_save, post_delete):
                signal.disconnect(sender=model, dispatch_uid=_watch_uid(source, path))


def _with_derived(model: type[Model]) -> list[type[Model]]:
    return [candidate for candidate in apps.get_models() if issubclass(candidate, model)]


def _watch_uid(source: Source, path: str) -> str:
    return f"blueshift_sync.watch.{source.label}.{type(source).__qualname__}.{path}"


def _on_save(instance: Model, *, using: str, created: bool = False, raw: bool = False, **kwargs: Any) -> None:
    if not raw and not _disabled.get():
        _capture_change(instance, using, lambda obj: capture_chunk([obj], using, new=created), savepoint=False)


def _on_delete(instance: Model, using: str, **kwargs: Any) -> None:
    if not _disabled.get():
        _capture_change(instance, using, forget_object)


def _watcher(source: Source, path: str) -> Callable[..., None]:
    def on_change(instance: Model, using: str, raw: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002
        if not raw and not _disabled.get():
            _capture_change(instance, using, lambda obj: _capture_watching(source, read_path(obj, path), using))

    return on_change


def _capture_watching(source: Source, obj: Any, using: str) -> None:
    if obj is None:
        return
    if not isinstance(obj, source.model._meta.concrete_model or ()):
        raise SourceError(f"A path of {type(source).__name__}.watch leads to {type(obj).__name__}, not {source.label}.")
    capture_chunk([obj], using)


def _capture_change(instance: Model, using: str, capture: Callable[[Model], Any], *, savepoint: bool = True) -> None:
    """Captures now, in the transaction of the change; where that is on another database, once it is committed."""
    mirror = router.db_for_write(Customer)
    if using == mirror:
        _capture_safely(instance, mirror, capture, savepoint=savepoint)
    else:
        frozen = copy(instance)  # a deleted object loses its key
        transaction.on_commit(lambda: _capture_safely(frozen, mirror, capture, savepoint=savepoint), using=using)


def _capture_safely(instance: Model, mirror: str, capture: Callable[[Model], Any], *, savepoint: bool) -> None:
    """Captures in a savepoint: whatever goes wrong with us, the site's own change goes through.

    A `capture` that sees to its savepoints itself needs none here. What is lost is logged, and found again by a
    backfill.
    """
    try:
        with transaction.atomic(using=mirror) if savepoint else nullcontext():
            capture(instance)
    except BaseTimeoutException:  # the site's own job has run out of time, and must end
        raise
    except Exception as error:  # noqa: BLE001 - the site's change must go through
        logger.error(  # noqa: TRY400 - a traceback may quote values of the object
            "A change of %s %s could not be captured (%s). Mend the cause, then run blueshift_backfill.",
            instance._meta.label,
            loggable_key(instance.pk),
            type(error).__name__,
        )
