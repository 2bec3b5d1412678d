"""A crew of worker processes, kept at strength as a process manager keeps it, and swept as cron does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from blueshift_sync.delivery.sweep import sweep
from tests.processes import children_of, halted_with_children, kill_with_children

SWEEP_SECONDS = 1.0


class Crew:
    def __init__(self, start_worker: Callable[..., subprocess.Popen[bytes]]) -> None:
        self._start_worker = start_worker
        self._swept_at = float("-inf")
        self._orphans: list[int] = []
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
        """SIGKILL for a worker that has a job and for the work horse that runs it, or for one of the two."""
        at_work = [worker for worker in self.workers if children_of(worker.pid)] or self.workers
        worker = at_work[int(rng.random() * len(at_work))]
        match rng.choice(["both", "worker", "horse"]):
            case "worker":
                self._orphans += [os.pidfd_open(horse) for horse in halted_with_children(worker)]
                worker.kill()
                worker.wait()
            case "horse" if horses := children_of(worker.pid):
                with suppress(ProcessLookupError):  # it had ended by itself
                    os.kill(horses[0], signal.SIGKILL)
            case _:
                kill_with_children(worker)
        self.kills += 1

    def kill_all(self) -> None:
        self.strength = 0
        while self.workers:
            kill_with_children(self.workers.pop())
        while self._orphans:
            _end(self._orphans.pop())


def _end(process: int) -> None:
    """SIGKILL by the process's descriptor, for its number may be another's by now. Returns when it is over."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)


def signal_with_children(worker: subprocess.Popen[bytes], number: int) -> None:
    """As a process manager does that signals every process of a service."""
    for pid in [worker.pid, *children_of(worker.pid)]:
        os.kill(pid, number)
