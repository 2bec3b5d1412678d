"""What is said of versions, in pyproject.toml and in the documentation, is what is tried."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.docs.pages import ROOT, read, table

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
COMBINATIONS: dict[str, dict[str, Any]] = tomllib.loads(read("requirements/combinations.toml"))
REQUIREMENTS = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
]
#: In the order of the table's columns.
COLUMNS = ("django", "djangorestframework", "django-filter", "django-rq", "rq", "redis")
#: Of these a release that nobody tried is refused.
CAPPED = {"django", "django-rq", "rq"}
#: Its wheel is the drivers': they have a say in nothing but whether they install.
NOT_COMBINED = {"psycopg", "mysqlclient"}


def pinned() -> dict[str, str]:
    """The versions of the development environment, by names in lower case."""
    text = read("requirements/demo.txt") + read("requirements/dev.txt")
    return {
        name.lower().replace("_", "-"): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.M)
    }


def versions(name: str) -> dict[str, str]:
    """Of everything, in the combination of this name."""
    return pinned() | {package.lower(): version for package, version in COMBINATIONS[name]["packages"].items()}


def test_the_table_of_the_documentation_is_what_is_tried() -> None:
    heading = "combination | Python | Django | REST framework | django-filter | django-rq | RQ | redis-py"
    rows = {name: tuple(row[1:]) for name, row in table("docs/compatibility.md", heading).items()}
    python = PROJECT["requires-python"].removeprefix(">=")
    tried = {"pinned": (python, *(pinned()[column] for column in COLUMNS))}
    for name, found in COMBINATIONS.items():
        tried[name] = (found["python"], *(versions(name)[column] for column in COLUMNS))
    assert rows == tried


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_what_is_declared_is_what_is_tried(requirement: Requirement) -> None:
    if requirement.name in NOT_COMBINED | {PROJECT["name"]}:
        return
    lowest = [Version(bound.version) for bound in requirement.specifier if bound.operator == ">="]
    assert lowest == [Version(versions("oldest")[requirement.name])]
    newest = Version(versions("newest")[requirement.name])
    assert newest == max(Version(versions(name)[requirement.name]) for name in COMBINATIONS)
    assert newest in requirement.specifier
    untried = f"{newest.major}.{newest.minor + 1}"
    assert (untried in requirement.specifier) == (requirement.name not in CAPPED)


def test_the_classifiers_are_what_is_tried() -> None:
    said = "\n".join(PROJECT["classifiers"])
    names = [*COMBINATIONS]
    djangos = {".".join(versions(name)["django"].split(".")[:2]) for name in names}
    assert set(re.findall(r"Framework :: Django :: (\S+)", said)) == djangos
    assert set(re.findall(r"Python :: (3\.\S+)", said)) == {COMBINATIONS[name]["python"] for name in names}
    assert PROJECT["requires-python"] == f">={min((found['python'] for found in COMBINATIONS.values()), key=Version)}"


def test_the_part_that_is_run_with_each_exists() -> None:
    part = re.findall(r'"(tests/[\w/.]+)"', read("noxfile.py"))
    assert len(part) > 20
    assert [path for path in part if not (ROOT / path).exists()] == []
