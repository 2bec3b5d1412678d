"""The command and the handle: how a simulator starts, complains and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from blueshift_sync.testing import control, server
from blueshift_sync.testing.app import Application
from blueshift_sync.testing.process import Simulator, SimulatorError
from blueshift_sync.testing.scenario import Scenario

Call = Callable[..., requests.Response]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "blueshift_sync.testing.simulator"]


def run(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def command(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and the address from its ready line."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            prefix, _, url = process.stdout.readline().strip().rpartition(" ")
            assert prefix == "Blueshift simulator listening on"
            yield process, url
        finally:
            process.kill()


def refuses_connections(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_with_a_call_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    scenario = tmp_path / "slow.json"
    scenario.write_text('{"faults": [{"fault": "latency", "seconds": 600}]}')
    with command("--scenario", str(scenario)) as (process, url):
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{url}/api/v1/customers", auth=("simulator-key", ""), timeout=(5, 0.1))
        process.send_signal(number)
        output, complaints = process.communicate(timeout=10)
    assert (process.returncode, output, complaints) == (0, "", "")


def test_it_accepts_the_key_it_was_given() -> None:
    with command("--api-key", "other-key") as (_, url):
        address = f"{url}/api/v1/customers?email=a@example.com"
        assert requests.get(address, auth=("other-key", ""), timeout=10).status_code == 200
        assert requests.get(address, auth=("simulator-key", ""), timeout=10).status_code == 401


def test_a_port_in_use_is_one_sentence_and_status_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("--port", str(port))
    assert result.returncode == 2
    assert result.stderr == (
        f"Port {port} on 127.0.0.1 can't be used (Address already in use): take another with --port, or 0.\n"
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "can't be read: No such file or directory."),
        ("{", "isn't valid JSON: "),
        ("[]", "can't be used. A scenario must be a JSON object"),
        ('{"rate": 5}', 'can\'t be used. Unknown key "rate" in the scenario:'),
        ('{"faults": [{"fault": "reset", "nxt": 1}]}', 'Unknown key "nxt" in fault rule 1: did you mean "next"?'),
    ],
)
def test_an_unusable_scenario_is_one_sentence_and_status_2(tmp_path: Path, content: str | None, complaint: str) -> None:
    scenario = tmp_path / "scenario.json"
    if content is not None:
        scenario.write_text(content)
    result = run("--port", "0", "--scenario", str(scenario))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"The scenario {scenario} ")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["uvicorn", "httptools"])
def test_without_a_server_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    (tmp_path / f"{missing}.py").write_text(f'raise ImportError("No module named {missing}")')
    result = run("--port", "0", env={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 2
    assert result.stderr == ("The simulator needs uvicorn and httptools: pip install 'blueshift-sync[testing]'.\n")


@pytest.mark.parametrize("port", ["70000", "-1", "none"])
def test_an_impossible_port_is_status_2_without_a_traceback(port: str) -> None:
    result = run(f"--port={port}")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_it_ends_with_the_process_that_started_it() -> None:
    script = (
        "import os, signal\n"
        "from blueshift_sync.testing.process import Simulator\n"
        "simulator = Simulator()\n"
        "simulator.start()\n"
        "print(simulator.url, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    url = parent.stdout.strip()
    deadline = time.monotonic() + 10
    while not refuses_connections(url):
        assert time.monotonic() < deadline, "The simulator outlived its parent."
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("plugin", {"django", "uvicorn", "starlette", "httptools", "requests", "asyncio"}),
        ("simulator", {"django", "uvicorn", "requests"}),
        ("server", {"django", "starlette", "requests"}),
        ("process", {"django", "uvicorn", "requests", "asyncio"}),
    ],
)
def test_a_module_imports_no_more_than_it_needs(module: str, unwanted: set[str]) -> None:
    script = f"import sys, json, blueshift_sync.testing.{module}; print(json.dumps(list(sys.modules)))"
    output = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    assert unwanted & set(json.loads(output)) == set()


def test_answers_are_not_held_back_by_nagle() -> None:
    with server.bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_control_calls_are_for_this_machine_only() -> None:
    app = Application(Scenario())
    scope = {"path": "/_simulator/state", "method": "GET", "query_string": b""}
    assert control.answer(app, {**scope, "client": ("192.0.2.1", 1)}, b"").status == 403
    assert control.answer(app, {**scope, "client": ("127.0.0.1", 1)}, b"").status == 200
    assert control.answer(app, {**scope, "client": ("::1", 1)}, b"").status == 200


# The handle


def test_a_handle_that_is_not_running_says_so() -> None:
    simulator = Simulator()
    simulator.stop()
    with pytest.raises(SimulatorError, match="isn't running"):
        _ = simulator.customers


def test_a_handle_starts_once_and_ends() -> None:
    with Simulator() as simulator:
        url = simulator.url
        simulator.start()
        assert simulator.url == url
    assert refuses_connections(url)


def test_a_handle_hides_its_key() -> None:
    with Simulator(api_key="very-secret") as simulator:
        assert repr(simulator) == f"<Simulator {simulator.url}>"
        assert "very-secret" not in str(simulator.state)
    assert repr(simulator) == "<Simulator not running>"


def test_a_handle_gives_the_reason_why_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"did not start: The scenario .*nothing\.json can't be read"):
        Simulator(scenario_file=tmp_path / "nothing.json").start()


def test_a_reset_goes_back_to_the_scenario_of_the_start(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"lists": {"35869": {"name": "News", "source": "customer_id"}}, "nulls": "keep"}')
    with Simulator(scenario_file=scenario) as simulator:
        simulator.create_list(1)
        simulator.scenario(nulls="reject", lists={"2": {"name": "Two"}})
        assert set(simulator.lists) == {35869, 1, 2}
        simulator.reset()
        assert simulator.lists == {35869: {"name": "News", "source": "customer_id", "status": "active", "members": []}}
        assert requests.get(f"{simulator.url}/_simulator/scenario", timeout=10).json()["nulls"] == "keep"


def test_a_customer_is_looked_up_by_one_identifier(simulator: Simulator, bulk: Call) -> None:
    bulk({"customer_id": "1", "email": "a@example.com"}, {"customer_id": "2", "email": "A@example.com"})
    bulk({"customer_id": "3", "email": "c@example.com"})
    one = simulator.customer(customer_id="1")
    three = simulator.customer(email="C@EXAMPLE.com")
    assert one is not None
    assert three is not None
    assert (one["email"], three["customer_id"]) == ("a@example.com", "3")
    assert simulator.customer(customer_id="4") is None
    with pytest.raises(LookupError, match="2 customers share this e-mail"):
        simulator.customer(email="a@example.com")
    with pytest.raises(TypeError):
        simulator.customer()


def test_requests_are_shown_with_their_bodies(simulator: Simulator, bulk: Call) -> None:
    bulk({"customer_id": "1"})
    simulator.scenario(log_bodies=False)
    bulk({"customer_id": "2"})
    first, second = simulator.requests
    assert first.json == {"customers": [{"customer_id": "1"}]}
    assert (first.method, first.path, first.query, first.status) == ("POST", "/api/v1/customers/bulk", "", 200)
    assert (second.body, second.json) == (None, None)
    assert simulator.requests_since(first.id) == [second]


def test_a_simulator_that_keeps_nothing_still_counts(simulator: Simulator, bulk: Call) -> None:
    simulator.scenario(keep=False)
    assert bulk({"customer_id": "1"}).status_code == 200
    assert (simulator.customers, simulator.requests) == ([], [])
    assert simulator.state["calls"] == 1
    assert simulator.calls_in_any_second() == 1


def test_a_list_can_be_changed_and_dropped(simulator: Simulator) -> None:
    simulator.create_list(7, "News")
    simulator.create_list(7, "News", status="old")
    assert simulator.lists[7]["status"] == "old"
    requests.delete(f"{simulator.url}/_simulator/lists/7", timeout=10).raise_for_status()
    with pytest.raises(SimulatorError, match="There is no list 7"):
        simulator.members(7)


def test_an_unknown_control_call_lists_the_known_ones(simulator: Simulator) -> None:
    answer = requests.get(f"{simulator.url}/_simulator/everything", timeout=10)
    assert answer.status_code == 404
    assert "GET /_simulator/state" in answer.json()["error"]
