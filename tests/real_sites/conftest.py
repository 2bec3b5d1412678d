"""Trials of the package in projects that others wrote, each in an environment of its own.

Only where it was asked for, as they take minutes: TEST_REAL_SITES names the projects. `all` means each of them, and all
of their tests rather than a part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Only where it was asked for; the sites' own modules are none of this suite.
collect_ignore_glob = [] if os.environ.get("TEST_REAL_SITES") else ["test_*.py"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a site installs."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return built
