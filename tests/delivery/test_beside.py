"""Database work on a second thread."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from blueshift_sync.delivery import beside
from blueshift_sync.delivery.beside import Beside


def test_the_thread_closes_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_in: list[int] = []
    closed_in: list[int] = []

    class Connections:
        def __getitem__(self, alias: str) -> SimpleNamespace:
            return SimpleNamespace(vendor="postgresql", in_atomic_block=False)

        def close_all(self) -> None:
            closed_in.append(threading.get_ident())

    monkeypatch.setattr(beside, "connections", Connections())
    with Beside() as beside_us:
        beside_us.do(lambda: worked_in.append(threading.get_ident()))
    assert closed_in == worked_in
    assert threading.get_ident() not in closed_in
