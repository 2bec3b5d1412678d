"""How long a worker may act on its claim, by its own clock."""

from __future__ import annotations

import time

from ..conf import app_settings

#: A clock that nobody sets, and that goes on while the machine is suspended. On Linux the monotonic clock doesn't, so a
#: worker that slept for an hour would take its claim for a fresh one; elsewhere there is only that one, and it does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """Runs from before the claim was taken, so never longer than what the database grants.

    It ends early enough for a call to be over before others may take the records: by the time a call can last, or by
    half of it where a lease is shorter than two calls.
    """

    def __init__(self) -> None:
        settings = app_settings()
        longest_call = min(sum(settings.TIMEOUT), settings.LEASE_SECONDS / 2)
        self._ends_at = time.clock_gettime(_CLOCK) + settings.LEASE_SECONDS - longest_call

    @property
    def is_over(self) -> bool:
        """Whether it is too late to send what was claimed."""
        return time.clock_gettime(_CLOCK) >= self._ends_at
