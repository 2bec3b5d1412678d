"""What the tests of removals share."""

from __future__ import annotations

import pytest

from blueshift_sync.delivery import removal_guards


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three removals within an hour are as many as may go by themselves."""
    monkeypatch.setattr(removal_guards, "MANY", 3)
