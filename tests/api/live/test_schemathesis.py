"""Thousands of requests made from the API's own description of itself, with all checks on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.api.live.conftest import Demo

CONFIG = Path(__file__).with_name("schemathesis.toml")
#: Of the run; the examples and the coverage of each parameter come first, chance gets the rest. In one thread, for
#: Python 3.11 fails to parse source in several at once, as Hypothesis does.
SECONDS = 75

pytestmark = pytest.mark.e2e


def test_the_running_demo_does_as_it_says(demo: Demo, tmp_path: Path) -> None:
    headers = [part for name, value in demo.headers.items() for part in ("-H", f"{name}: {value}")]
    schemathesis = str(Path(sys.executable).with_name("schemathesis"))
    options = ["--checks", "all", "--continue-on-failure", "--seed", "1", "--max-time", str(SECONDS), "--no-color"]
    ended = subprocess.run(
        [schemathesis, "--config-file", str(CONFIG), "run", f"{demo.api}/schema/", *options, *headers],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-5_000:]
    tested = re.search(r"Selected: +(\d+)/(\d+)\s+Tested: +(\d+)", ended.stdout)
    assert tested
    assert len(set(tested.groups())) == 1, tested[0]


def test_no_check_is_off() -> None:
    [operation] = tomllib.loads(CONFIG.read_text())["operations"]

    assert operation["checks"].keys() == {"not_a_server_error"}
    assert "enabled" not in str(operation)
