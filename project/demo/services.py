"""The demo's processes: started, watched, restarted where that is the point, and ended together."""

import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tqdm import tqdm

from project.demo.errors import DemoError
from project.lifeline import Child

START_SECONDS = 30.0
RESTARTS_AT_ONCE = 3
RESTART_WINDOW_SECONDS = 15.0


@dataclass
class Service:
    """One process of the demo. A restarted one may be killed by whoever wants to see what happens."""

    name: str
    command: list[str]
    restarted: bool
    child: Child
    deaths: list[float] = field(default_factory=list)


class Services:
    """A context manager: whatever was started within the block has ended when it is left."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._services: list[Service] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        # A second, impatient Ctrl-C must not leave half of them behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for service in self._services:
            service.child.request_stop()
        for service in self._services:
            service.child.stop()

    def start(self, name: str, *arguments: str, restarted: bool = False) -> None:
        """Starts Python with these arguments; its output goes to a log of that name."""
        command = [sys.executable, *arguments]
        self._services.append(Service(name, command, restarted, self._launch(name, command)))

    def check(self) -> None:
        """Restarts what ended and is to be restarted; raises DemoError if anything else has ended."""
        for service in self._services:
            status = service.child.status()
            if status is not None:
                self._mourn(service, status)

    def wait_for_port(self, port: int, name: str) -> None:
        """Returns once something answers on the port. Raises DemoError if that takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise DemoError(f"The {name} didn't answer on port {port} within {START_SECONDS:.0f} s. {self.logs_hint}")

    @property
    def logs_hint(self) -> str:
        return f"The logs are in {self._logs}."

    def _mourn(self, service: Service, status: int) -> None:
        now = time.monotonic()
        service.deaths = [death for death in service.deaths if now - death < RESTART_WINDOW_SECONDS] + [now]
        if not service.restarted or len(service.deaths) > RESTARTS_AT_ONCE:
            raise DemoError(
                f"The {service.name} {_how_it_ended(status)}. The end of {service.child.log}:\n"
                f"{service.child.last_words()}"
            )
        service.child.stop()
        tqdm.write(f"The {service.name} {_how_it_ended(status)}; starting it again.")
        service.child = self._launch(service.name, service.command)

    def _launch(self, name: str, command: list[str]) -> Child:
        return Child(command, self._logs / f"{name}.log")


def _how_it_ended(status: int) -> str:
    if status > 128:
        try:
            return f"was ended by {signal.Signals(status - 128).name}"
        except ValueError:
            pass
    return f"ended with exit status {status}"
