"""Waiting for what another process does: for the fact itself, never for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Returns as soon as `condition()` is true. Fails the test when it isn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"Still not so after {seconds} s."
        time.sleep(0.05)
