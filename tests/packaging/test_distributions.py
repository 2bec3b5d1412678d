"""What is built is what a site needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "blueshift_sync/py.typed",
    "blueshift_sync/migrations/0001_initial.py",
    "blueshift_sync/static/blueshift_sync/admin.css",
    "blueshift_sync/templates/blueshift_sync/admin/call.html",
    "blueshift_sync/testing/plugin.py",
    "blueshift_sync/locale/de/LC_MESSAGES/django.mo",
    "blueshift_sync/locale/fr/LC_MESSAGES/django.mo",
}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an sdist and of the wheel that is built from it."""
    return build(tmp_path_factory.mktemp("dist"))


def build(directory: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "build", *options, "--no-isolation", "--outdir", str(directory), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


def package_files() -> set[str]:
    paths = (path for path in (ROOT / "blueshift_sync").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_the_wheel_is_the_package_and_its_metadata(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        metadata = {name for name in archive.namelist() if ".dist-info/" in name}
        assert set(archive.namelist()) - metadata == package_files()
        assert package_files() >= NEEDED
        assert {name.split("/", 1)[1] for name in metadata} >= {"METADATA", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_gives_the_very_wheel_that_the_repository_gives(distributions: Path, tmp_path: Path) -> None:
    (of_sdist,) = distributions.glob("*.whl")
    (of_repository,) = build(tmp_path, "--wheel").glob("*.whl")
    assert of_repository.name == of_sdist.name
    assert of_repository.read_bytes() == of_sdist.read_bytes()


def test_the_sdist_has_no_tests_and_no_demo(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {name for name in names if name.startswith("blueshift_sync/")} == package_files()
    assert names >= {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert not {name.partition("/")[0] for name in names} & {"tests", "project", "benchmarks", "tools", "templates"}
