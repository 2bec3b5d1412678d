"""Beside a theme and imports: a site of its own, as both are decided when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_the_admin_works_with_unfold_and_import_export(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "TEST_DATABASE_NAME"},
        "TEST_DATABASE_SUFFIX": f"{os.environ.get('TEST_DATABASE_SUFFIX', '')}_themed",
        "TEST_VAR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    pages = Path(__file__).with_name("pages.py").relative_to(ROOT)
    command = [sys.executable, "-m", "pytest", "-q", "--ds", "tests.themed.settings", str(pages)]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:]
