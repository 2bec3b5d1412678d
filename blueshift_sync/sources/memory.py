"""What is kept beside an object, and never on it: what an object carries is copied, pickled and cached with it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")


class Memory(Generic[Thing]):
    """One thing for each object, for as long as the object lives. Objects are told apart by identity."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._things: dict[int, tuple[weakref.ref[Any], Thing]] = {}

    def of(self, obj: Any) -> Thing:
        """What is kept for `obj`; made where there is nothing yet."""
        key = id(obj)
        if key not in self._things:
            self._things[key] = (weakref.ref(obj, lambda _: self._things.pop(key, None)), self._make())
        return self._things[key][1]

    def __contains__(self, obj: Any) -> bool:
        return id(obj) in self._things

    def forget(self, obj: Any) -> None:
        """Lets go of what is kept for `obj`."""
        self._things.pop(id(obj), None)
