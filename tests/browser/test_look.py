"""Every page of the admin as axe sees it: light and dark, wide and narrow, to the right and to the left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import Client

from blueshift_sync.models import Customer, CustomerRemoval, SyncRun
from project.shop.models import Customer as Shopper
from tests.admin.found import ACTIONS, SITES_VIEWS, VIEWS, Action, is_page
from tests.admin.pages import page_url
from tests.admin.rows import make_many_more, make_one_of_each
from tests.factories import make_customer

from .look import out_of_reach, violations

pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1360, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def addresses(finder: Client) -> list[str]:
    """Of every view that shows a page to somebody who may see everything."""
    rows = make_one_of_each()
    make_many_more(rows, 1)
    found = [view.address(rows, finder) for view in (*VIEWS, *SITES_VIEWS)]
    return [address for address in found if is_page(finder.get(address))]


@pytest.fixture
def questions(finder: Client) -> list[tuple[Action, Model]]:
    """The actions that ask once more, or show what would be sent, each with a row of its list."""
    rows = make_one_of_each()
    CustomerRemoval.objects.update(state="PENDING", error_code="approval_needed", due_at=None)
    SyncRun.objects.update(state="RUNNING")
    found = []
    for one in ACTIONS:
        with transaction.atomic():
            if is_page(finder.post(one.address, one.payload(rows))):
                found.append((one, rows[one.model]))
            transaction.set_rollback(True)
    return found


@pytest.fixture
def failed(finder: Client) -> Customer:
    """Whose page has every button."""
    return make_customer(state="FAILED", source_type="site.person", source_id="1")


def test_no_page_breaks_the_policy(addresses: list[str], open_browser: Callable[..., Any]) -> None:
    page = open_browser()
    for address in addresses:
        page.goto(address)
        # Two frames later its scripts have run, and what they may not do is in the console. Pages that refresh
        # themselves never come to rest.
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_everything_is_reached_by_keyboard_and_shows_it(addresses: list[str], open_browser: Callable[..., Any]) -> None:
    page = open_browser(viewport=WIDE, bypass_csp=True)
    found: dict[str, set[str]] = {}
    for address in addresses:
        page.goto(address)
        for problem in out_of_reach(page):
            found.setdefault(problem, set()).add(address)
    assert not found, told(found)


@pytest.mark.parametrize(
    ("size", "locale"),
    [(WIDE, "en-GB"), (NARROW, "en-GB"), (NARROW, "he")],
    ids=["wide", "narrow", "narrow to the left"],
)
def test_no_button_lies_on_a_heading(
    failed: Customer, size: dict[str, int], locale: str, open_browser: Callable[..., Any]
) -> None:
    page = open_browser(viewport=size, locale=locale)
    page.goto(page_url(failed))
    heading = page.locator("#content > h2").bounding_box()
    buttons = [each.bounding_box() for each in page.locator(".object-tools .bsync-action").all()]
    assert len(buttons) > 3
    assert all(box["y"] >= heading["y"] + heading["height"] for box in buttons)


@pytest.mark.parametrize(
    ("size", "locale", "schemes"),
    # Colours are the same in every size and direction.
    [(WIDE, "en-GB", ["light", "dark"]), (NARROW, "ar", ["light"])],
    ids=["wide", "narrow to the left"],
)
def test_no_page_violates_wcag(
    addresses: list[str], size: dict[str, int], locale: str, schemes: list[str], open_browser: Callable[..., Any]
) -> None:
    page = open_browser(viewport=size, locale=locale, bypass_csp=True)  # axe writes styles of its own
    found: dict[str, set[str]] = {}
    for address in addresses:
        page.goto(address)
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            for violation in violations(page):
                found.setdefault(f"{scheme}, {violation}", set()).add(address)
    assert not found, told(found)


def test_no_question_violates_wcag(questions: list[tuple[Action, Model]], open_browser: Callable[..., Any]) -> None:
    page = open_browser(viewport=NARROW, bypass_csp=True)
    found: dict[str, set[str]] = {}
    assert {one.model for one, _ in questions} >= {Customer, SyncRun, CustomerRemoval, Shopper}
    for one, row in questions:
        page.goto(one.address)
        page.locator(f"input[name=_selected_action][value='{row.pk}']").check()
        page.locator("select[name=action]").select_option(one.name)
        page.locator("button[name=index]").click()
        page.locator("#changelist-form").wait_for(state="detached")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for problem in violations(page):
                found.setdefault(f"{scheme}, {problem}", set()).add(str(one))
    assert not found, told(found)


def told(found: dict[str, set[str]]) -> str:
    return "\n".join(f"{problem} ON {' '.join(sorted(where))}" for problem, where in found.items())
