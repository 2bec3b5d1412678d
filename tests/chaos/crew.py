"""A crew of worker processes, kept at strength as a process manager keeps it, and swept as cron does."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from random import Random
from typing import Any

from blueshift_sync.delivery.sweep import sweep
from tests import processes
from tests.processes import kill_with_children

SWEEP_SECONDS = 1.0


class Crew:
    def __init__(self, start_worker: Callable[..., subprocess.Popen[bytes]]) -> None:
        self._start_worker = start_worker
        self._swept_at = float("-inf")
        self.strength = 0
        self.kills = 0
        self.workers: list[subprocess.Popen[bytes]] = []

    def hire(self, strength: int) -> None:
        """So many workers are alive from now on, whatever happens to them."""
        self.strength = strength
        self.look_after()

    def look_after(self) -> None:
        """Replaces workers that ended, and sweeps when it is time."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < self.strength:
            self.workers.append(self._start_worker())
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            sweep()
            self._swept_at = time.monotonic()

    def kill_one(self, rng: Random) -> None:
        """SIGKILL for one of them and its job."""
        kill_with_children(self.workers.pop(rng.randrange(len(self.workers))))
        self.kills += 1

    def kill_all(self) -> None:
        self.strength = 0
        while self.workers:
            kill_with_children(self.workers.pop())


def signal_with_children(worker: subprocess.Popen[bytes], number: int) -> None:
    """As a process manager does that signals every process of a service."""
    for pid in [worker.pid, *processes._children_of(worker.pid)]:
        os.kill(pid, number)


def calls_received(simulator: Any) -> int:
    return int(simulator.state["calls"])
