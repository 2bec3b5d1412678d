"""What arrived, and how fast."""

from collections import deque
from itertools import dropwhile
from typing import Any


class RollingSecond:
    """Counts events in the second that ends now, and remembers the most there ever were."""

    def __init__(self) -> None:
        self.peak = 0
        self._times: deque[float] = deque()

    def count(self, at: float) -> int:
        """Notes an event at this time in seconds; returns how many there were in (at - 1, at]."""
        times = self._times
        times.append(at)
        while times[0] <= at - 1:
            times.popleft()
        self.peak = max(self.peak, len(times))
        return len(times)


class RequestLog:
    """The last `size` requests. Their ids count from 1 and never come twice."""

    def __init__(self, size: int) -> None:
        self.total = 0
        self._entries: deque[dict[str, Any]] = deque(maxlen=size)

    def resize(self, size: int) -> None:
        self._entries = deque(self._entries, maxlen=size)

    def add(self, **entry: Any) -> dict[str, Any]:
        self.total += 1
        entry["id"] = self.total
        self._entries.append(entry)
        return entry

    def since(self, last_id: int) -> list[dict[str, Any]]:
        """Entries with an id above this one."""
        return list(dropwhile(lambda entry: entry["id"] <= last_id, self._entries))
