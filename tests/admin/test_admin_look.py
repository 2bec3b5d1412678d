"""What can be said about the look without a browser: a strict content security policy, contrast, and tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.contrib.staticfiles import finders
from django.db.models import Model
from django.test import Client

from blueshift_sync.admin.display import TONES
from blueshift_sync.models import (
    ApiCall,
    Customer,
    CustomerList,
    ListImport,
    ListMembership,
    RecordResult,
    SyncRun,
    SyncState,
)

from .found import all_pages
from .pages import MODELS, list_url, page_url
from .rows import make_one_of_each

CSS = "blueshift_sync/admin.css"


def stylesheet() -> str:
    with open(str(finders.find(CSS)), encoding="utf-8") as file:  # noqa: PTH123 - a path from the finders
        return file.read()


class InlineCode(HTMLParser):
    """Collects what a policy without 'unsafe-inline' forbids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = dict(attributes)
        is_data = names.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in names and not is_data):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]


def test_no_page_has_inline_code(admin_client: Client) -> None:
    pages = all_pages(admin_client, make_one_of_each())
    assert {page.address: found for page in pages if (found := InlineCode(page.text).found)} == {}


@pytest.mark.parametrize("model", MODELS)
def test_pages_load_the_stylesheet(model: type[Model], admin_client: Client) -> None:
    row = make_one_of_each()[model]
    for url in (list_url(model), page_url(row)):
        assert CSS in admin_client.get(url).content.decode()


@pytest.mark.parametrize("model", [Customer, ListMembership, SyncRun, ApiCall])
def test_every_heading_of_a_table_on_a_page_says_what_it_heads(model: type[Model], admin_client: Client) -> None:
    page = admin_client.get(page_url(make_one_of_each()[model])).content.decode()
    tables = re.findall(r'<table class="bsync-table">.*?</table>', page, re.DOTALL)
    assert tables
    assert all("<th>" not in table and '<th scope="col">' in table for table in tables)


def test_every_state_has_a_colour() -> None:
    states = [
        *SyncState.State,
        *SyncRun.State,
        *ApiCall.State,
        *RecordResult.Outcome,
        *CustomerList.Status,
        *ListImport.State,
    ]
    assert {state.value for state in states} | {"STOPPED"} == TONES.keys()
    assert all(f".bsync-{tone} " in stylesheet() for tone in TONES.values())


def luminance(colour: str) -> float:
    """The relative luminance of "#rrggbb", as WCAG 2.2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("tone", sorted(set(TONES.values())))
def test_badges_can_be_read_in_both_themes(tone: str) -> None:
    def colours(part: str) -> tuple[str, ...]:
        declared = re.search(rf"--bsync-{tone}-{part}: light-dark\((#\w{{6}}), (#\w{{6}})\)", stylesheet())
        assert declared
        return declared.groups()

    for foreground, background in zip(colours("fg"), colours("bg"), strict=True):
        darker, lighter = sorted([luminance(foreground), luminance(background)])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_the_stylesheet_works_from_right_to_left() -> None:
    assert not re.search(r"(margin|padding|border)-(left|right)|(text-align|float): (left|right)", stylesheet())
