"""A project that others wrote, in an environment and a directory of its own: set up, mirrored, and rid of us again."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blueshift_sync.testing.process import Simulator
from tests.docs.pages import ROOT

HERE = Path(__file__).parent
#: Versions of what comes with us. What the project needs too has the version that the project's requirements say.
PINNED = [ROOT / "requirements" / name for name in ("demo.txt", "dev.txt")]
OF_THIS_SUITE = ("DJANGO_", "TEST_", "PYTEST_")
INSTALL_SECONDS, COMMAND_SECONDS, TESTS_SECONDS = 600, 900, 7200


@dataclass(frozen=True)
class Project:
    """`plain` and `mirrored` are modules of settings, without us and with us. `part` and `tests` are labels of tests
    that the project's package ships: those for every day, and all of them. `admin` names models whose admin pages are
    looked at, besides ours.
    """

    folder: str
    plain: str
    mirrored: str = "mirrored"
    part: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    is_themed: bool = False


class Trial:
    def __init__(self, project: Project, directory: Path, wheel: Path) -> None:
        self.project = project
        self.wheel = wheel
        self.site = directory / "site"
        shutil.copytree(HERE / "tools", self.site)
        shutil.copytree(HERE / project.folder, self.site, dirs_exist_ok=True)
        self.environments = directory / "venv"
        self.python = str(self.environments / "bin" / "python")
        self.outcomes = directory / "outcomes.json"
        self.database = directory / "site.sqlite3"
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("DJANGO_", "TEST_", "PYTEST_"))
            },
            "PYTHONPATH": str(self.site),
            "PYTHONHASHSEED": "0",
            "REDIS_URL": os.environ["TEST_REDIS_URL"],
            "SITE_DATABASE": str(self.database),
            "DATABASE_NAME": str(self.database),  # Wagtail's settings read it
            "OUTCOMES": str(self.outcomes),
        }

    # The environment

    def make_environment(self) -> None:
        self._run([sys.executable, "-m", "venv", str(self.environments)], COMMAND_SECONDS)
        files = (self.site / "requirements.txt", HERE / "for_their_tests.txt")
        self._pip("install", "--only-binary=:all:", *(f"--requirement={file}" for file in files))

    def install_wheel(self) -> None:
        """With the pinned versions of what comes with it, and those that are there already left as they are."""
        constraints = self.site / "constraints.txt"
        there = self.packages()
        pinned = [line for file in PINNED for line in file.read_text().splitlines() if re.match(r"\w", line)]
        missing = [line for line in pinned if normal(line.partition("==")[0]) not in there]
        constraints.write_text("\n".join([*missing, *(f"{name}=={version}" for name, version in there.items())]))
        self._pip("install", "--only-binary=:all:", "-c", str(constraints), str(self.wheel))
        self._pip("check")

    def uninstall(self) -> None:
        self._pip("uninstall", "--yes", "blueshift-sync")

    def packages(self) -> dict[str, str]:
        """What is installed, with its versions."""
        return {normal(found["name"]): found["version"] for found in json.loads(self._pip("list", "--format=json"))}

    def files_of_ours(self) -> list[Path]:
        return list(self.environments.rglob("*blueshift*"))

    def _pip(self, *arguments: str) -> str:
        return self._run([self.python, "-m", "pip", "--disable-pip-version-check", *arguments], INSTALL_SECONDS)

    # The site

    def run_tests(self, settings: str, labels: tuple[str, ...]) -> dict[str, str]:
        """What becomes of each of the project's own tests with these settings."""
        options = ["--testrunner", "outcomes.Runner", "--parallel", "2", "--verbosity", "0"]
        self.outcomes.unlink(missing_ok=True)
        command = [self.python, "-m", "django", "test", *options, *labels]
        self._run(command, TESTS_SECONDS, DJANGO_SETTINGS_MODULE=settings, DATABASE_NAME=":memory:")
        return dict(json.loads(self.outcomes.read_text()))

    def manage(self, settings: str, *arguments: str) -> str:
        return self.script(settings, "-m", "django", *arguments)

    def script(self, settings: str, *arguments: str) -> str:
        return self._run([self.python, *arguments], COMMAND_SECONDS, DJANGO_SETTINGS_MODULE=settings)

    def errand(self, settings: str, name: str) -> dict[str, Any]:
        """Has people of the site do something; returns whom Blueshift should know then."""
        return dict(json.loads(self.script(settings, "errands.py", name).splitlines()[-1]))

    def tables(self) -> set[str]:
        """Tables and indexes of the site's database."""
        with sqlite3.connect(self.database) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}

    def point_at(self, blueshift: Simulator) -> None:
        self.environment |= {"BLUESHIFT_BASE_URL": blueshift.url, "BLUESHIFT_API_KEY": blueshift.api_key}

    def _run(self, command: list[str], timeout: float, **environment: str) -> str:
        ended = subprocess.run(
            command,
            cwd=self.site if self.site.exists() else None,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
