"""What the documentation states is so: names, defaults, states, filters, commands, links."""

from __future__ import annotations

import ast
import dataclasses
import posixpath
import re

import pytest
from django.core.management import get_commands
from django.db.models import TextChoices
from django.dispatch import Signal

import blueshift_sync
from benchmarks import kept
from blueshift_sync import services, signals
from blueshift_sync.api.filters import RECORD_FILTERS
from blueshift_sync.api.urls import router
from blueshift_sync.client import limits
from blueshift_sync.client.limits import LIST_MEMBERS_PER_CALL
from blueshift_sync.conf import AppSettings
from blueshift_sync.delivery.status import CHOSEN
from blueshift_sync.delivery.status_totals import THRESHOLDS
from blueshift_sync.models import ApiCall, RecordResult, SyncRun, SyncState
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.docs.pages import PAGES, ROOT, anchors, inline_code, links, prose, read, table

EVERY_RECORD = {*RECORD_FILTERS, "source_type"}
NO_GUIDES = {"README.md", "docs/README.md", "CHANGELOG.md"}
EVERY_PAGE = pytest.mark.parametrize("path", [str(page.relative_to(ROOT)) for page in PAGES])


@EVERY_PAGE
def test_links_and_images_lead_somewhere(path: str) -> None:
    for target in links(path):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        found = (ROOT / path).parent / name if name else ROOT / path
        assert found.exists(), f"{path} links to {target}."
        assert not anchor or anchor in anchors(found), f"{path} links to {target}."


def test_the_table_of_the_benchmarks_has_the_figures_that_are_kept() -> None:
    page = kept.README.read_text()
    assert kept.with_table(page, kept.results()) == page


def test_every_page_is_in_the_index_and_in_the_readme() -> None:
    pages = {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} - {"docs/README.md"}
    around = {"SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"}
    indexed = links("docs/README.md")
    assert sorted(posixpath.normpath(f"docs/{link}") for link in indexed) == sorted(pages | around)
    assert set(links("README.md")) >= pages | around


@pytest.mark.parametrize(
    "path", [str(page.relative_to(ROOT)) for page in PAGES if page.name not in {"README.md", "CHANGELOG.md"}]
)
def test_a_page_begins_with_what_the_reader_gets_of_it(path: str) -> None:
    title, blank, first, *_ = read(path).splitlines()
    assert title.startswith("# ")
    assert blank == ""
    assert re.match(r"[A-Z]", first), f"{path} begins with {first!r}"


def test_make_help_names_every_target() -> None:
    makefile = read("Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    named = re.findall(r'@echo "make (\w+) ', makefile)
    assert {"help", *named} == {*phony.split()} == {*re.findall(r"^(\w+):", makefile, re.M)}


@EVERY_PAGE
def test_commands_in_the_text_exist(path: str) -> None:
    makefile = read("Makefile")
    for code in inline_code(path):
        if match := re.match(r"(?:python )?manage\.py (\w+)", code):
            assert match[1] in get_commands(), f"{path} names {code}."
        if match := re.match(r"make (\w+)", code):
            assert re.search(rf"^{match[1]}:", makefile, re.M), f"{path} names {code}."
    for name in re.findall(r"\bblueshift_(?!sync\b|simulator\b)\w+", prose(path)):
        assert name in get_commands(), f"{path} names {name}."


def test_the_changelog_begins_with_this_version() -> None:
    assert f"## {blueshift_sync.__version__} " in read("CHANGELOG.md").split("\n## 0.0")[0]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = table("docs/settings.md", "key | default | meaning")
    defaults = {name: ast.literal_eval(row[1].strip("`")) for name, row in rows.items()}
    assert defaults == {field.name: getattr(AppSettings(), field.name) for field in dataclasses.fields(AppSettings)}


@pytest.mark.parametrize(
    ("heading", "source"),
    [
        ("name | what it says | default", CustomerSource),
        ("name | what it says | default", MembershipSource),
    ],
)
def test_what_a_source_has_is_in_its_section(heading: str, source: type) -> None:
    section = read("docs/sources.md").split("## List memberships")[source is MembershipSource]
    named = set(re.findall(r"`(\w+)(?:\(obj\)|\(\))?`", section.split(f"| {heading} |")[1].split("\n\n")[0]))
    fields = {name for name in source.__annotations__ if not name.startswith("_")}
    assert fields <= named
    assert {"watch", "get_queryset", "include"} <= named
    known = {*dir(source), *fields}
    assert {name for name in named if name.startswith(("get_", "include", "watch"))} - {"get_list_id"} <= known


def test_every_state_is_in_the_table_with_its_name() -> None:
    rows = table("docs/how-it-works.md", "state | in the admin | meaning")
    assert {name: row[1] for name, row in rows.items()} == dict(SyncState.State.choices)


@pytest.mark.parametrize(
    ("heading", "choices"),
    [
        ("run | in the admin | meaning", SyncRun.State),
        ("trigger | in the admin", SyncRun.Trigger),
        ("call | in the admin | meaning", ApiCall.State),
        ("outcome | in the admin | meaning", RecordResult.Outcome),
    ],
)
def test_every_state_of_the_audit_is_in_its_table(heading: str, choices: type[TextChoices]) -> None:
    rows = table("docs/codes.md", heading)
    assert {name: row[1] for name, row in rows.items()} == dict(choices.choices)


def test_what_is_said_of_blueshifts_limits_is_what_the_client_keeps_to() -> None:
    page = read("docs/blueshift-api.md")
    sync, asynchronous = LIST_MEMBERS_PER_CALL["sync"], LIST_MEMBERS_PER_CALL["async"]
    assert f"at most {limits.CUSTOMERS_PER_CALL} customers in one call" in page
    assert f"some {limits.CALLS_PER_SECOND} calls a second" in page
    assert f"at most {sync} members in a synchronous list call, {asynchronous} in an asynchronous one" in page
    assert f"an e-mail address has at most {limits.EMAIL_LENGTH} characters" in page
    assert " and ".join(f"`{region}`" for region in limits.REGIONS) in page
    assert " or ".join(f"`{prefix}`" for prefix in limits.RESERVED_PREFIXES) in page


def test_every_endpoint_is_in_the_table_with_its_filters() -> None:
    rows = table("docs/api.md", "path | rows | filters")
    assert rows.keys() == {f"{prefix}/" for prefix, _view, _name in router.registry}
    for prefix, view, _name in router.registry:
        filters = {name.split("__")[0] for name in view.filterset_class.base_filters}
        row = rows[f"{prefix}/"][2]
        every_record = EVERY_RECORD if "every record" in row else set()
        assert set(re.findall(r"`(\w+)`", row)) | every_record == filters


def test_every_action_is_in_the_table() -> None:
    named = {
        re.sub(r"\d+", "1", path)
        for row in table("docs/api.md", "POST to | does | takes")
        for path in re.findall(r"[a-z]+/(?:1/)?[a-z-]+/", row)
    }
    actions = {
        f"{prefix}/{'1/' if action.detail else ''}{action.url_path}/"
        for prefix, view, _name in router.registry
        for action in view.get_extra_actions()
    }
    assert named == actions


def test_every_threshold_is_named() -> None:
    sentence = read("docs/api.md").split("The thresholds are ", 1)[1].split(", and", 1)[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(THRESHOLDS)


def test_the_filters_of_every_record_are_named() -> None:
    sentence = read("docs/api.md").split("The filters of every record\nare ", 1)[1].split(".\n", 1)[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == EVERY_RECORD


def test_every_code_of_the_status_is_in_the_table() -> None:
    told = "".join(read(f"blueshift_sync/delivery/{name}.py") for name in ("status", "standstill"))
    codes = set(re.findall(r'(?:Problem|Standstill)\("(\w+)"', told))
    rows = table("docs/how-it-works.md", "code | what is wrong")
    assert {code for row in rows.values() for code in re.findall(r"`(\w+)`", row[0])} == codes - {CHOSEN}
    assert f"(`{CHOSEN}`)" in read("docs/how-it-works.md")


def test_every_command_is_in_the_table() -> None:
    rows = table("docs/commands.md", "command | does | ends with 1 when")
    commands = {path.stem for path in ROOT.glob("blueshift_sync/management/commands/blueshift_*.py")}
    assert {match for row in rows for match in re.findall(r"^`?(blueshift_\w+)", row)} == commands


def test_every_python_call_is_in_the_table() -> None:
    rows = table("docs/api.md", "call | does")
    assert {name for row in rows for name in re.findall(r"(\w+)(?=\()", row)} == set(services.__all__)


def test_every_signal_is_in_the_table() -> None:
    rows = table("docs/api.md", "signal | sent when | arguments")
    assert rows.keys() == {name for name, value in vars(signals).items() if isinstance(value, Signal)}


def test_each_threat_has_tests_that_are_there() -> None:
    rows = table("SECURITY.md", "threat | what is done | what is left to you | shown by")
    assert len(rows) >= 14
    for threat, row in rows.items():
        named = re.findall(r"`(tests/[\w/.]+)`", row[3])
        assert named, threat
        assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_tests_that_pages_name_are_there() -> None:
    for path in PAGES:
        for named in re.findall(r"`(tests/[\w/.]+)`", path.read_text()):
            assert (ROOT / named).exists(), f"{path.name} names {named}."
