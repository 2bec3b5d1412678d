"""How long a worker may act on a claim."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.delivery import lease as lease_module
from blueshift_sync.delivery.lease import Lease


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock shows."""
    shown = [1000.0]
    monkeypatch.setattr(lease_module.time, "clock_gettime", lambda clock: shown[0])
    return shown


@pytest.mark.parametrize(
    ("lease_seconds", "timeout", "usable"),
    [(300, (5, 30), 265), (40, (5, 30), 20), (10, (5, 30), 5)],
)
def test_it_ends_while_there_is_time_for_a_call(
    settings: Any, clock: list[float], lease_seconds: float, timeout: tuple[float, float], usable: float
) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "LEASE_SECONDS": lease_seconds, "TIMEOUT": timeout}
    lease = Lease()
    clock[0] += usable - 0.01
    assert not lease.is_over
    clock[0] += 0.01
    assert lease.is_over
