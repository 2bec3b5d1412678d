"""A site that is made by doing what a page says."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests
from packaging.requirements import Requirement

from project.lifeline import Child
from tests.docs.pages import ROOT, Block
from tests.waiting import wait_until

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: The ports that the pages name; a test takes free ones instead.
SIMULATOR_PORT, SITE_PORT = "8765", "8000"
#: So that nothing that a page configures can reach the real Blueshift.
NEVER_THE_REAL_ONE = """
if "BLUESHIFT_SYNC" in globals() and not BLUESHIFT_SYNC.get("BASE_URL"):
    BLUESHIFT_SYNC["BASE_URL"] = "http://127.0.0.1:{port}"
"""
COMMAND_SECONDS = 120
#: For so long an answer may differ from what a page shows of it, where workers are running.
PATIENCE_SECONDS = 60
PIP_SECONDS = 300


class Site:
    """Follows pages in a directory of its own. A context manager: what it started ends with it.

    TEST_SITE_PYTHON names the Python to do it with, that of a virtual environment: what a page tells pip there is done,
    with the wheel that TEST_SITE_WHEEL names for this package. Else it is this Python, and pip is told nothing.
    A worker sends what is due and ends, unless `workers_stay`: then it goes on running, as it does for a reader.
    """

    def __init__(self, directory: Path, *, workers_stay: bool = False) -> None:
        self.directory = directory
        self.logs = directory
        self.workers_stay = workers_stay
        self.python = os.environ.get("TEST_SITE_PYTHON", sys.executable)
        self.wheel = os.environ.get("TEST_SITE_WHEEL")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "BLUESHIFT_"))},
            "REDIS_URL": os.environ["TEST_REDIS_URL"],
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("PYTHONPATH", None)
        if not self.wheel:
            self.environment["PYTHONPATH"] = str(ROOT)
        self.ports = {page_port: str(free_port()) for page_port in (SIMULATOR_PORT, SITE_PORT)}
        self.said = ""
        self.answer: Any = None
        self._look_again: Callable[[], None] = lambda: None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def go_on_from(self, other: Site) -> None:
        """Becomes a site of its own that is as far as the other one."""
        self.directory = Path(shutil.copytree(other.directory, self.directory / other.directory.name))
        self.environment, self.ports = dict(other.environment), other.ports

    # Doing what a page says

    def follow(self, blocks: Iterable[Block]) -> None:
        """Does what the blocks say, in order. Fails for one of which nobody knows what to do with it."""
        for block in blocks:
            match block.language, block.name:
                case "console", "":
                    for line in block.text.splitlines():
                        self.command(line)
                case "python", "":
                    self.script(block.text)
                case "json", "":
                    shown = json.loads(block.text)
                    self._expect(lambda shown=shown: assert_contains(self.answer, shown))
                case "text", "":
                    self._expect(lambda text=block.text: assert_says(self.said, text))
                case "python" | "json", name:
                    self.append(name, block.text)
                case _:
                    raise AssertionError(f"Nobody knows what to do with this block: {block}")

    def append(self, name: str, text: str) -> None:
        """Writes to the end of a file of the site, as the pages say where they name one."""
        text = self._with_free_ports(text)
        if name == "mysite/settings.py":
            text += NEVER_THE_REAL_ONE.format(port=self.ports[SIMULATOR_PORT])
        with (self.directory / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{text}")

    def command(self, line: str) -> None:
        """Does what one line of a terminal says; what runs on and on is left running."""
        words = shlex.split(self._with_free_ports(line), comments=True)
        match words:
            case []:
                return
            case ["cd", name]:
                self.directory = (self.directory / name).resolve(strict=True)
            case ["source", name]:
                assert (self.directory / name).is_file()
            case ["export", *pairs]:
                self.environment.update(pair.split("=", 1) for pair in pairs)
            case ["pip", *arguments]:
                self.pip_command(arguments)
            case ["make", target]:
                assert_target(target)
            case ["curl", *arguments]:
                self._look(lambda: setattr(self, "answer", curl(arguments)), changes={"-d", "-X"} & {*arguments})
            case ["django-admin", *arguments]:
                self.run(["-m", "django", *arguments])
            case ["python" | "python3", *arguments]:
                self.python_command(arguments)
            case _:
                raise AssertionError(f"Nobody knows how to run this: {line}")

    def python_command(self, arguments: list[str]) -> None:
        match arguments:
            case ["-m", "venv", name]:
                self.run(["-m", "venv", "--without-pip", name])
            case ["-m", "blueshift_sync.testing.simulator", *_]:
                self.start("simulator", arguments, until="http://127.0.0.1:")
            case ["manage.py", "rqcron", _]:
                self.start("timer", arguments, until="Starting cron scheduler")
            case ["manage.py", "runserver", port]:
                self.start("site", [*arguments, "--noreload"], until=f"http://127.0.0.1:{port}")
                wait_until(lambda: answers(int(port)))
            case ["manage.py", "rqworker", *_] if self.workers_stay:
                self.start("worker", arguments, until="Listening on")
            case ["manage.py", "rqworker", *_]:
                self.run([*arguments, "--burst"])
            case _:
                self._look(lambda: self.run(arguments), changes=arguments != ["manage.py", "blueshift_status"])

    def pip_command(self, arguments: list[str]) -> None:
        match arguments:
            case ["install", *requirements]:
                self.install(requirements)
            case ["uninstall", "--yes", name]:
                self.uninstall(name)
            case _:
                raise AssertionError(f"Nobody knows how to run pip {shlex.join(arguments)}")

    def install(self, requirements: list[str]) -> None:
        assert_installable(requirements)
        if self.wheel:
            wanted = [re.sub(rf"^(\.|{PROJECT['name']})(?=\[|$)", self.wheel, text) for text in requirements]
            self.run(["-m", "pip", "install", "--quiet", *wanted], PIP_SECONDS)
            self.run(["-m", "pip", "check"])

    def uninstall(self, name: str) -> None:
        assert name == PROJECT["name"]
        if self.wheel:
            self.run(["-m", "pip", "uninstall", "--yes", name])
            assert not list(Path(self.python).parents[1].rglob("*blueshift*"))

    def script(self, text: str) -> None:
        """Runs Python within the site."""
        setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'; django.setup()\n"
        self.run(["-c", setup + text])

    def value(self, imports: str, expression: str) -> Any:
        """What an expression gives within the site, as JSON has it."""
        self.script(f"import json; {imports}\nprint(json.dumps({expression}))")
        return json.loads(self.said)

    # Comparing with what a page shows

    def _look(self, look: Callable[[], None], *, changes: object) -> None:
        """Looks at how things stand. What changes them isn't done again where the answer is another one than shown."""
        self._look_again = (lambda: None) if changes else look
        look()

    def _expect(self, compare: Callable[[], None]) -> None:
        """Compares until it is right: a reader waits a second or two for the workers as well."""
        deadline = time.monotonic() + PATIENCE_SECONDS * self.workers_stay
        while True:
            try:
                return compare()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)  # the simulator counts these looks as calls, too
            self._look_again()

    # Processes

    def run(self, arguments: list[str], timeout: float = COMMAND_SECONDS) -> None:
        """Runs Python to its end; what it said is in `said` afterwards."""
        ended = subprocess.run(
            [self.python, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert ended.returncode == 0, f"{arguments} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        self.said = ended.stdout

    def start(self, name: str, arguments: list[str], until: str) -> None:
        """Starts Python in the background; returns when it has said `until`."""
        in_directory = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.directory)]
        process = Child([*in_directory, self.python, *arguments], self.logs / f"{name}.log", self.environment)
        self._running.callback(process.stop)
        wait_until(lambda: process.status() is not None or until in process.last_words(100))
        assert process.status() is None, f"The {name} ended:\n{process.last_words(20)}"

    def stop(self) -> None:
        """Ends what was started in the background."""
        self._running.close()

    def _with_free_ports(self, line: str) -> str:
        for page_port, port in self.ports.items():
            line = re.sub(rf"\b{page_port}\b", port, line)
        return line


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def curl(arguments: list[str]) -> Any:
    """Makes the request of a curl command, which need not be on this machine. Returns the JSON, or the text."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-u", dest="login", required=True)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("-X", dest="method")
    parser.add_argument("url")
    options = parser.parse_args(arguments)
    user, _, password = options.login.partition(":")
    method = options.method or ("GET" if options.body is None else "POST")
    headers = dict(header.split(": ", 1) for header in options.headers)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            method, options.url, auth=(user, password), headers=headers, data=options.body, timeout=30
        )
    assert answer.ok, f"{options.url} answers {answer.status_code}: {answer.text}"
    return answer.json() if answer.headers["Content-Type"].partition(";")[0] == "application/json" else answer.text


def assert_installable(requirements: list[str]) -> None:
    """What pip is asked for: this project with extras that it has, or what its own tests use too."""
    used_here = "".join((ROOT / "requirements" / name).read_text() for name in ("demo.txt", "dev.txt"))
    for text in requirements:
        requirement = Requirement(re.sub(r"^\.", PROJECT["name"], text))
        if requirement.name == PROJECT["name"]:
            assert requirement.extras <= PROJECT["optional-dependencies"].keys()
        else:
            assert f"\n{requirement.name}==" in used_here


def assert_target(name: str) -> None:
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.M), f"There is no `make {name}`."


def assert_says(said: str, shown: str) -> None:
    """Each line that the page shows was said, in this order."""
    lines = iter(said.splitlines())
    for line in shown.splitlines():
        assert line in lines, f"Nothing says {line!r}:\n{said}"


def assert_contains(answer: Any, shown: Any) -> None:
    """The answer has all that the page shows of it."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert_contains(answer[name], value)
    elif isinstance(shown, list):
        assert len(answer) == len(shown)
        for entry, value in zip(answer, shown, strict=True):
            assert_contains(entry, value)
    else:
        assert answer == shown
