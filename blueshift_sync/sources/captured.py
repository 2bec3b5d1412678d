"""What came of a capture, or would come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass
class Captured:
    """How many objects were read, of how many the mirror had to be changed, and how many can't be sent as they are.

    `lost` are those that could not be captured at all.
    """

    read: int = 0
    changed: int = 0
    failed: int = 0
    lost: int = 0

    def __add__(self, other: Captured) -> Captured:
        return Captured(
            self.read + other.read, self.changed + other.changed, self.failed + other.failed, self.lost + other.lost
        )


class Kind(StrEnum):
    """What would become of a row of the mirror."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True)
class Change:
    """What would become of the row of one object; for a changed one, what it says by name, before and after."""

    kind: Kind
    source_id: str | None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, tuple[Any, Any]]:
        """By name what the row says and what it would say; None where that is nothing."""
        names = sorted({*self.before, *self.after})
        pairs = {name: (self.before.get(name), self.after.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
