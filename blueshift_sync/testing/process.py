"""The handle on a simulator that runs in its own process."""

import http.client
import json
import os
import select
import subprocess  # nosec B404  # of our own module
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .scenario import DEFAULT_API_KEY

START_SECONDS = 20
STOP_SECONDS = 5
CONTROL_SECONDS = 10

# The package may be importable here only because of what a test runner did to sys.path.
_IMPORT_ROOT = str(Path(__file__).resolve().parents[2])
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); from blueshift_sync.testing.simulator import main; sys.exit(main())"
)


class SimulatorError(Exception):
    """The simulator could not be started, or refused a control call; the message is a sentence."""


@dataclass(frozen=True)
class Request:
    """One call that the simulator received.

    `arrived_at` (the whole request was read) and `answered_at` are seconds since the simulator started, by its own
    monotonic clock. `status` is None for a reset connection, `body` None with `log_bodies: false`. `fault` is what
    struck, or None.
    """

    id: int
    arrived_at: float
    answered_at: float | None
    method: str
    path: str
    query: str
    body: str | None
    status: int | None
    fault: str | None
    request_id: str

    @property
    def json(self) -> Any:
        """The body as JSON; None if there was none."""
        return json.loads(self.body) if self.body else None


class Simulator:
    """Starts a simulator, shows what it received and tells it how to behave.

    A context manager. `scenario_file` is what the simulator starts with and what `reset()` goes back to.
    It ends with the process that started it, however that ends.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str = DEFAULT_API_KEY,
        scenario_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.api_key = api_key
        self._port = port
        self._scenario_file = scenario_file
        self._process: subprocess.Popen[str] | None = None
        self._url = ""

    def __repr__(self) -> str:
        return f"<Simulator {self._url or 'not running'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Its life

    def start(self) -> None:
        """Returns when it answers. Raises a SimulatorError with the reason if it doesn't start."""
        if self._process is not None:
            return
        options = ["--port", str(self._port), "--api-key", self.api_key, "--parent-pid", str(os.getpid())]
        if self._scenario_file is not None:
            options += ["--scenario", os.fspath(self._scenario_file)]
        command = [sys.executable, "-c", _START, _IMPORT_ROOT, *options]
        with tempfile.TemporaryFile("w+") as complaints:
            self._process = subprocess.Popen(  # nosec B603  # noqa: S603 - our own module
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
            ready = _first_line(self._process)
            if not ready:
                self.stop()
                complaints.seek(0)
                reason = complaints.read().strip() or f"it wasn't ready within {START_SECONDS} seconds."
                raise SimulatorError(f"The Blueshift simulator did not start: {reason}")
        self._url = ready.split()[-1]

    def stop(self) -> None:
        """Ends it; does nothing if it isn't running."""
        process, self._process, self._url = self._process, None, ""
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    @property
    def url(self) -> str:
        """The base URL, for `BASE_URL`. Raises a SimulatorError if it isn't running."""
        if not self._url:
            raise SimulatorError("The Blueshift simulator isn't running: call start() or use it in a with block.")
        return self._url

    # What it holds and received

    @property
    def state(self) -> dict[str, Any]:
        """Customers, lists, unknown identifiers and the counts of calls, as one snapshot."""
        return dict(self._control("GET", "state"))

    @property
    def customers(self) -> list[dict[str, Any]]:
        """The stored customers, attributes flat as they were sent, the oldest first."""
        return list(self.state["customers"])

    def customer(self, *, customer_id: str | None = None, email: str | None = None) -> dict[str, Any] | None:
        """The one customer with this customer_id, or this e-mail in any case; None if there is none.

        Raises a LookupError if several share the e-mail: Blueshift allows that.
        """
        if (customer_id is None) == (email is None):
            raise TypeError("Give customer() either a customer_id or an email.")
        found = [
            customer
            for customer in self.customers
            if (email is None and customer["customer_id"] == customer_id)
            or (email is not None and (customer["email"] or "").lower() == email.lower())
        ]
        if len(found) > 1:
            raise LookupError(f"{len(found)} customers share this e-mail: ask by customer_id.")
        return found[0] if found else None

    @property
    def lists(self) -> dict[int, dict[str, Any]]:
        """By list id: `name`, `source`, `status` and `members`."""
        return {int(key): found for key, found in self.state["lists"].items()}

    def members(self, list_id: int) -> list[str]:
        """The members' e-mails or customer_ids, as the list's source says, in the order of their adding."""
        return list(self._control("GET", f"lists/{list_id}")["members"])

    @property
    def requests(self) -> list[Request]:
        """The API calls received since the last reset, the oldest first, refused ones too."""
        return self.requests_since(0)

    def requests_since(self, last_id: int) -> list[Request]:
        """The API calls received after the one with this id."""
        entries = self._control("GET", f"requests?since={int(last_id)}")["requests"]
        return [Request(**entry) for entry in entries]

    def calls_in_any_second(self) -> int:
        """The most API calls, refused ones too, that arrived within any one second."""
        return int(self.state["calls_in_any_second"])

    # How it behaves

    def scenario(self, **settings: Any) -> None:
        """Changes settings; the others stay. Raises a SimulatorError for an unknown one or a wrong value."""
        self._control("POST", "scenario", settings)

    def fail(self, fault: str, **rule: Any) -> None:
        """Adds a fault rule, such as `fail("status", status=503, endpoint="LIST_ADD", next=2)`."""
        self._control("POST", "faults", {"fault": fault, **rule})

    def reset(self) -> None:
        """Forgets customers, lists, requests, faults and settings: as just started."""
        self._control("POST", "reset")

    def create_list(self, list_id: int, name: str | None = None, source: str = "email", status: str = "active") -> None:
        """Makes or changes a list. Statuses are `active`, `deleted` and `old`."""
        spec = {"name": name or f"List {list_id}", "source": source, "status": status}
        self._control("PUT", f"lists/{list_id}", spec)

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        address = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=CONTROL_SECONDS)
        try:
            connection.request(method, f"/_simulator/{path}", json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except OSError as error:
            raise SimulatorError(f"The Blueshift simulator at {self.url} doesn't answer: {error}.") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise SimulatorError(content["error"])
        return content


def _first_line(process: subprocess.Popen[str]) -> str:
    """The first line of the output; empty if it ended before, or took too long."""
    output = process.stdout
    if output is None or not select.select([output], [], [], START_SECONDS)[0]:
        return ""
    return str(output.readline()).strip()
