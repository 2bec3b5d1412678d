"""Counting what goes to Redis, with any version of its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.connection import AbstractConnection


def count_round_trips() -> Callable[[], int]:
    """Counts every send of this process from now on; returns the function that says how many there were."""
    sends = 0
    original = AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal sends
        sends += 1
        return original(self, *args, **kwargs)

    AbstractConnection.send_packed_command = counted
    return lambda: sends
