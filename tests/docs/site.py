"""A site that is made by doing what a page says."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests
from packaging.requirements import Requirement

from project.lifeline import Child
from tests.docs.pages import ROOT, Block
from tests.waiting import wait_until

#: The ports that the pages name; a test takes free ones instead.
SIMULATOR_PORT, SITE_PORT = "8765", "8000"
#: So that nothing that a page configures can reach the real Blueshift.
NEVER_THE_REAL_ONE = """
if "BLUESHIFT_SYNC" in globals() and not BLUESHIFT_SYNC.get("BASE_URL"):
    BLUESHIFT_SYNC["BASE_URL"] = "http://127.0.0.1:{port}"
"""
COMMAND_SECONDS = 120


class Site:
    """Follows pages in a directory of its own. A context manager: what it started ends with it.

    TEST_SITE_PYTHON names the Python to do it with, one that has this package installed; else it is this one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory
        self.python = os.environ.get("TEST_SITE_PYTHON", sys.executable)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "BLUESHIFT_"))},
            "REDIS_URL": os.environ["TEST_REDIS_URL"],
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("PYTHONPATH", None)
        if "TEST_SITE_PYTHON" not in os.environ:
            self.environment["PYTHONPATH"] = str(ROOT)
        self.ports = {page_port: str(free_port()) for page_port in (SIMULATOR_PORT, SITE_PORT)}
        self.said = ""
        self.answer: Any = None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

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
                    assert_contains(self.answer, json.loads(block.text))
                case "python" | "json", name:
                    self.append(name, block.text)
                case _:
                    raise AssertionError(f"Nobody knows what to do with this block: {block}")

    def append(self, name: str, text: str) -> None:
        """Writes to the end of a file of the site, as the pages say where they name one."""
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
                self.directory /= name
            case ["export", *pairs]:
                self.environment.update(pair.split("=", 1) for pair in pairs)
            case ["pip", "install", *requirements]:
                assert_installable(requirements)
            case ["make", target]:
                assert_target(target)
            case ["curl", *arguments]:
                self.answer = curl(arguments)
            case ["django-admin", *arguments]:
                self.run(["-m", "django", *arguments])
            case ["python", *arguments]:
                self.python_command(arguments)
            case _:
                raise AssertionError(f"Nobody knows how to run this: {line}")

    def python_command(self, arguments: list[str]) -> None:
        match arguments:
            case ["-m", "blueshift_sync.testing.simulator", *_]:
                self.start("simulator", arguments, until="http://127.0.0.1:")
            case ["manage.py", "rqcron", _]:
                self.start("timer", arguments, until="Starting cron scheduler")
            case ["manage.py", "runserver", port]:
                self.start("site", [*arguments, "--noreload"], until=f"http://127.0.0.1:{port}")
                wait_until(lambda: answers(int(port)))
            case ["manage.py", "rqworker", *_]:
                self.run([*arguments, "--burst"])
            case _:
                self.run(arguments)

    def script(self, text: str) -> None:
        """Runs Python within the site."""
        setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'; django.setup()\n"
        self.run(["-c", setup + text])

    def value(self, imports: str, expression: str) -> Any:
        """What an expression gives within the site, as JSON has it."""
        self.script(f"import json; {imports}\nprint(json.dumps({expression}))")
        return json.loads(self.said)

    # Processes

    def run(self, arguments: list[str]) -> None:
        """Runs Python to its end; what it said is in `said` afterwards."""
        ended = subprocess.run(
            [self.python, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    used_here = (ROOT / "requirements" / "dev.txt").read_text()
    for text in requirements:
        requirement = Requirement(re.sub(r"^\.", project["name"], text))
        if requirement.name == project["name"]:
            assert requirement.extras <= project["optional-dependencies"].keys()
        else:
            assert f"\n{requirement.name}==" in used_here


def assert_target(name: str) -> None:
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.M), f"There is no `make {name}`."


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
