"""The wheel in projects that nobody here wrote: their tests say the same with it, their people reach Blueshift, and
uninstalled it leaves nothing behind.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from blueshift_sync.testing.process import Simulator
from tests.real_sites.trial import Project, Trial

PROJECTS = {
    "wagtail": Project(
        "wagtail_site",
        plain="wagtail.test.settings",
        part=("wagtail.users",),
        tests=("wagtail",),
    ),
    "oscar": Project("oscar_shop", plain="plain", admin=("people.User", "order.Order")),
    "ledger": Project(
        "ledger_site",
        plain="dev_env.settings",
        part=("django_ledger.tests.test_auth",),
        tests=("django_ledger.tests",),
        admin=("auth.User", "django_ledger.EntityModel"),
        is_themed=True,
    ),
}
WANTED = os.environ.get("TEST_REAL_SITES", "")
LIST = 7


@pytest.mark.e2e
@pytest.mark.parametrize("name", PROJECTS if WANTED == "all" else WANTED.split())
def test_a_project_of_others(name: str, wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = PROJECTS[name]
    plain, mirrored = project.plain, project.mirrored
    labels = project.tests if WANTED == "all" else project.part
    trial = Trial(project, tmp_path, wheel)
    trial.make_environment()
    packages = trial.packages()
    before = trial.run_tests(plain, labels) if labels else {}
    prepare(trial)
    trial.manage(plain, "migrate")
    people = trial.errand(plain, "begin")
    tables = trial.tables()

    trial.install_wheel()
    assert packages.items() <= trial.packages().items()
    with Simulator() as blueshift:
        blueshift.scenario(calls_per_second=None)
        blueshift.create_list(LIST, source="email")
        trial.point_at(blueshift)
        after = trial.run_tests(mirrored, labels) if labels else {}
        assert differences(before, after) == {}
        blueshift.reset()
        blueshift.scenario(calls_per_second=None)
        blueshift.create_list(LIST, source="email")

        trial.manage(mirrored, "migrate")
        assert "blueshift" not in trial.manage(mirrored, "check")
        trial.manage(mirrored, "makemigrations", "--check", "--dry-run", "blueshift_sync")
        trial.manage(mirrored, "blueshift_backfill")
        work(trial)
        assert_same(blueshift, people)
        people = trial.errand(mirrored, "go_on")
        work(trial)
        assert_same(blueshift, people)
        calls = len(blueshift.requests)
    assert_pages_are_there(trial)

    trial.manage(mirrored, "migrate", "blueshift_sync", "zero")
    trial.manage(mirrored, "migrate", "django_rq", "zero")
    trial.manage(plain, "remove_stale_contenttypes", "--include-stale-apps", "--no-input")
    trial.uninstall()
    assert trial.files_of_ours() == []
    assert trial.tables() == tables
    trial.manage(plain, "check")
    with capsys.disabled():
        print(
            f"\n{name}: {len(before)} tests before and after with the same results {dict(Counter(before.values()))}, "
            f"{len(people['customers'])} people in {calls} calls."
        )


#: An order that differs from Oscar's own.
OWN_ORDER = """
from django.db import models
from oscar.apps.order.abstract_models import AbstractOrder

class Order(AbstractOrder):
    gift_note = models.TextField(blank=True)

"""


def prepare(trial: Trial) -> None:
    """What a project's own documentation says is to be done once."""
    if trial.project.folder == "oscar_shop":
        (trial.site / "forked").mkdir()
        (trial.site / "forked" / "__init__.py").touch()
        unforked = (trial.site / "plain.py").read_text()
        (trial.site / "plain.py").write_text(unforked.replace("forked.order.apps", "oscar.apps.order.apps"))
        trial.manage("plain", "oscar_fork_app", "order", "forked")
        (trial.site / "plain.py").write_text(unforked)
        models = trial.site / "forked" / "order" / "models.py"
        models.write_text(OWN_ORDER + models.read_text())
        trial.manage("plain", "makemigrations", "people", "order")


def work(trial: Trial) -> None:
    """A worker as the site would run it, until nothing is left to do."""
    trial.manage(trial.project.mirrored, "rqworker", "default", "--burst")


def assert_same(blueshift: Simulator, people: dict[str, Any]) -> None:
    """Blueshift knows whom the site knows, and of each what the site says."""
    wanted = {person["customer_id"]: person for person in people["customers"]}
    held = {customer["customer_id"]: customer for customer in blueshift.customers}
    assert {key: {name: held.get(key, {}).get(name) for name in person} for key, person in wanted.items()} == wanted
    for number, members in people["members"].items():
        assert sorted(blueshift.members(int(number))) == members


def assert_pages_are_there(trial: Trial) -> None:
    seen = json.loads(trial.script(trial.project.mirrored, "pages.py", *trial.project.admin).splitlines()[-1])
    assert {path: found for path, found in seen.items() if found != [200, trial.project.is_themed]} == {}
    assert len(seen) > 10


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    return {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }
