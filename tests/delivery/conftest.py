"""What the tests of delivery share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync.models import SyncRun

RunForChanges = Callable[[SyncRun.Kind], int]


@pytest.fixture
def unthrottled(settings: Any, blueshift: Any) -> Any:
    """The simulator without a rate limit, on either side, and retries that are due at once."""
    blueshift.scenario(calls_per_second=None)
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
    }
    return blueshift


@pytest.fixture
def run_for_changes(db: None) -> RunForChanges:
    """Names a run for records that nobody asked for; the same one for each kind."""
    runs: dict[SyncRun.Kind, int] = {}

    def name(kind: SyncRun.Kind) -> int:
        if kind not in runs:
            runs[kind] = SyncRun.objects.create(kind=kind, trigger=SyncRun.Trigger.SIGNAL).pk
        return runs[kind]

    return name
