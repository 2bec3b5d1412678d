"""The page for site developers: its examples run and its tables are complete."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from blueshift_sync.testing.faults import APPLIED_BY_DEFAULT, APPLY, ENDPOINTS, FAULTS
from blueshift_sync.testing.process import Simulator
from blueshift_sync.testing.scenario import CHECKS, Scenario, read_scenario
from tests.testing.conftest import ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
# A block whose first line names a file is that file; under site/ it needs a whole site around it.
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, re.M | re.S))


def rows(heading: str) -> dict[str, list[str]]:
    """The table under this header row: its cells by the name in the first one."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row for row in cells}


def test_the_tests_of_the_page_pass(site: pytest.Pytester) -> None:
    files = {name: text for name, text in BLOCKS.items() if name.startswith("test_")}
    assert len(files) == 2
    for name, text in files.items():
        (site.path / name).write_text(text)
    site.runpytest_subprocess().assert_outcomes(passed=3)


WHOLE_SITE = """
import os

SECRET_KEY = "test"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django_rq", "rest_framework", "django_filters",
    "blueshift_sync", "people",
]
RQ_QUEUES = {"default": {"URL": os.environ["TEST_REDIS_URL"]}}
BLUESHIFT_SYNC = {"DEBOUNCE_SECONDS": 0}
USE_TZ = True
"""
SOURCE = """
from blueshift_sync.sources import CustomerSource, register
from django.contrib.auth.models import User

@register(User)
class UserSource(CustomerSource):
    customer_id = "pk"
    email = "email"
    firstname = "first_name"
"""


def test_the_site_tests_of_the_page_pass(site: pytest.Pytester) -> None:
    site.makepyfile(site_settings=WHOLE_SITE)
    people = site.mkpydir("people")
    (people / "blueshift.py").write_text(SOURCE)
    for name, text in BLOCKS.items():
        if name.startswith("site/"):
            (site.path / Path(name).name).write_text(text)
    site.runpytest_subprocess().assert_outcomes(passed=4)


def test_the_script_of_the_page_runs() -> None:
    subprocess.run([sys.executable, "-c", BLOCKS["script.py"]], cwd=ROOT, check=True, timeout=60)


def test_the_scenario_of_the_page_is_usable(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(BLOCKS["scenario.json"])
    assert read_scenario(path).lists["35869"]["name"] == "News"


@pytest.mark.parametrize("name", [name for name in BLOCKS if name.endswith(".py")])
def test_an_example_uses_only_what_the_handle_has(name: str) -> None:
    compile(BLOCKS[name], name, "exec")
    used = set(re.findall(r"\bblueshift\.(\w+)", BLOCKS[name]))
    assert used or "blueshift" not in re.findall(r"\w+", BLOCKS[name])
    assert used <= {*dir(Simulator), "api_key"}


def test_every_setting_is_on_the_page_with_its_default() -> None:
    table = rows("setting | default | meaning")
    assert set(table) == set(CHECKS)
    defaults = {name: json.loads(row[1].strip("`")) for name, row in table.items()}
    scenario = Scenario()
    assert defaults == {**scenario.public(), "api_keys": list(scenario.api_keys), "faults": []}


def test_every_fault_is_on_the_page_with_its_keys() -> None:
    table = rows("`fault` | what the client meets | its own keys | `apply`")
    assert set(table) == set(FAULTS)
    for fault, row in table.items():
        assert set(FAULTS[fault]) - {"apply"} <= set(re.findall(r"`(\w+)`", row[2]))
        applied = row[3].strip("`")
        expected = (
            ("true" if fault in APPLIED_BY_DEFAULT else "false") if APPLY.items() <= FAULTS[fault].items() else "always"
        )
        assert applied == expected


def test_every_endpoint_and_every_public_name_is_on_the_page() -> None:
    public = [name for name in vars(Simulator) if not name.startswith("_") and name not in ("start", "stop")]
    for name in (*ENDPOINTS, *public):
        assert f"`{name}" in PAGE
