"""A source is there to read. One that saves objects while it reads must not have itself read again without an end.

So a change that is made meanwhile is captured afterwards, and the object is read a second time: a source may make what
it needs, once. One that changes something each time that it is read has a mistake, and its record says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.db.models import Model

Result = TypeVar("Result")
Change = Callable[[], Any]

#: What was changed while the present object is read; None while nothing is.
_meanwhile: ContextVar[list[str] | None] = ContextVar("blueshift_sync_changed_meanwhile", default=None)
#: What is to be captured afterwards; None where nobody will.
_afterwards: ContextVar[list[Change] | None] = ContextVar("blueshift_sync_captured_afterwards", default=None)


def read_settled(obj: Model, read: Callable[[], Result]) -> tuple[Result, str]:
    """What `read` says of `obj`; and a sentence where it changes something whenever it is called, else an empty one."""
    result, changed = _read(read)
    if changed:
        obj.refresh_from_db()
        result, changed = _read(read)
    return result, _complaint(changed[0]) if changed else ""


def _complaint(what: str) -> str:
    return (
        f"The source saves or deletes something whenever it reads the object (a {what}). A source only reads: "
        "leave that to the site's own code."
    )


def _read(read: Callable[[], Result]) -> tuple[Result, list[str]]:
    changed: list[str] = []
    token = _meanwhile.set(changed)
    try:
        return read(), changed
    finally:
        _meanwhile.reset(token)


def is_reading() -> bool:
    """Whether this code runs because a source reads an object."""
    return _meanwhile.get() is not None


def put_off(model: type[Model], capture: Change) -> None:
    """Notes a change of a `model` object that was made while a source reads, to be captured afterwards."""
    changed, afterwards = _meanwhile.get(), _afterwards.get()
    if changed is not None:
        changed.append(model._meta.label)
    if afterwards is not None:
        afterwards.append(capture)


@contextmanager
def changes_afterwards() -> Iterator[None]:
    """Captures what sources changed in this block at its end: once, though that may change something again."""
    if _afterwards.get() is not None:  # somebody around this block sees to it
        yield
        return
    changes: list[Change] = []
    token = _afterwards.set(changes)
    try:
        yield
        for capture in changes.copy():
            capture()
    finally:
        _afterwards.reset(token)
