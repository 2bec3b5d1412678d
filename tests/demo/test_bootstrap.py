"""What `make` runs first: it must work anywhere, or say in a sentence why not."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BOOTSTRAP = ROOT / "tools" / "bootstrap.py"


def bootstrap(script: Path, *arguments: str, pretend: str = "pass", **environment: str) -> tuple[int, str]:
    """Runs the script in a Python that first did what `pretend` says: its exit status and what it said."""
    program = f"import runpy, sys; {pretend}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    run = subprocess.run(
        [sys.executable, "-c", program, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout + run.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what bootstrapping reads. Returns the script in it."""
    for name in ("tools/bootstrap.py", "requirements/demo.txt", "requirements/redis.txt"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    return tmp_path / "tools" / "bootstrap.py"


def test_an_old_python_is_refused_with_a_sentence() -> None:
    status, said = bootstrap(BOOTSTRAP, "demo", pretend="sys.version_info = (3, 9, 2); sys.version = '3.9.2 (x)'")
    assert status == 1
    assert "needs Python 3.11 or newer; this is 3.9.2" in said


def test_an_old_python_gets_as_far_as_that_sentence() -> None:
    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 6))


def test_a_python_without_venv_is_told_which_package_to_install(checkout: Path) -> None:
    no_venv = "import subprocess; run = subprocess.run; subprocess.run = lambda _, **options: run(['false'], **options)"
    status, said = bootstrap(checkout, "demo", pretend=no_venv)
    assert status == 1
    assert "sudo apt install python3-venv" in said


def test_a_venv_that_is_something_else_is_left_alone(checkout: Path) -> None:
    precious = checkout.parent.parent / ".venv" / "precious"
    precious.parent.mkdir()
    precious.touch()
    status, said = bootstrap(checkout, "demo")
    assert status == 1
    assert "is no virtual environment" in said
    assert precious.exists()


def test_a_half_made_venv_is_made_anew_and_a_missing_network_is_a_sentence(checkout: Path) -> None:
    venv = checkout.parent.parent / ".venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    status, said = bootstrap(checkout, "demo", **nowhere)
    assert status == 1
    assert "making it anew" in said
    assert "pip could not install the packages of requirements/demo.txt" in said
    assert "network connection" in said


def test_every_package_is_pinned_to_one_version() -> None:
    lines = [line for file in (ROOT / "requirements").glob("*.txt") for line in file.read_text().splitlines()]
    packages = [line for line in lines if not line.startswith(("#", "-r "))]
    assert len(packages) > 60
    assert [line for line in packages if line.partition(";")[0].count("==") != 1] == []
