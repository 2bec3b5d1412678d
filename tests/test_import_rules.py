"""The package's layout, and that its imports run one way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.layout import layers

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "blueshift_sync"

MODULES = {"__init__", "apps", "conf", "checks", "exceptions", "signals", "tasks", "cron"} | {
    "metrics",
    "health_check",
    "permissions",
}
FOLDERS = {"client", "models", "sources", "delivery", "services", "admin", "api", "management", "migrations", "testing"}
DATA = {"templates", "static", "locale"}


def lint_imports(configuration: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", str(configuration), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_imports_run_one_way() -> None:
    result = lint_imports(ROOT / "pyproject.toml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


def test_the_rules_would_notice_an_import_the_other_way(tmp_path: Path) -> None:
    rules = tmp_path / "rules.ini"
    rules.write_text(
        "[importlinter]\nroot_package = blueshift_sync\n"
        "[importlinter:contract:upside-down]\nname = Upside down\ntype = layers\n"
        "containers = blueshift_sync\nlayers =\n    models\n    delivery\n"
    )
    result = lint_imports(rules)
    assert result.returncode == 1
    assert "Upside down BROKEN" in result.stdout


def test_every_part_of_the_package_has_its_place_in_the_layers() -> None:
    placed = {part for layer in layers() for part in layer}
    without_a_place = {"__init__", "apps", "checks", "migrations", "testing"}
    assert placed | without_a_place == MODULES | FOLDERS


@pytest.mark.parametrize(
    "name",
    [
        *("manage.py", "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md"),
        *("blueshift_sync", "project", "templates", "tests", "benchmarks", "docs"),
        *("project/settings.py", "project/urls.py", "project/shop/models.py", "project/shop/blueshift.py"),
        *(
            "blueshift_sync/py.typed",
            "blueshift_sync/management/commands",
            *(f"blueshift_sync/{name}" for name in sorted(DATA)),
        ),
    ],
)
def test_what_the_layout_names_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_package_holds_what_the_layout_names_and_nothing_else() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert names == {f"{name}.py" for name in MODULES} | FOLDERS | DATA | {"py.typed"}


def test_nothing_is_imported_from_the_demo_site_or_the_tests() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("from project", "import project", "from tests", "import tests"))
    ]
    assert offenders == []
