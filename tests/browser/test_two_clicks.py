"""Each question that brings an operator to the admin has its answer two clicks from the admin's front page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync.models import Customer
from tests.factories import make_call, make_customer, make_result

pytestmark = pytest.mark.browser


class Operator:
    """Somebody before the admin's front page. To type isn't to click, and neither is the Enter key."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = 0
        page.goto("/admin/")

    def click(self, name: str | re.Pattern[str], within: str = "#content") -> None:
        self.clicks += 1
        assert self.clicks <= 2
        self.page.locator(within).get_by_role("link", name=name, exact=isinstance(name, str)).first.click()
        self.page.wait_for_load_state()

    def search(self, text: str) -> None:
        self.page.locator("#searchbar").fill(text)
        self.page.keyboard.press("Enter")
        self.page.wait_for_load_state()

    def reads(self, *texts: str) -> None:
        """The page says so, in whatever case the theme sets headings."""
        content = re.sub(r"\s+", " ", self.page.locator("body").inner_text()).lower()
        for text in texts:
            assert text.lower() in content


@pytest.fixture
def front_page(operator: Any, open_browser: Callable[..., Any]) -> Operator:
    return Operator(open_browser())


@pytest.fixture
def ada(transactional_db: None) -> Customer:
    """Waits, after a call that Blueshift refused."""
    ada = make_customer(customer_id="K-1", email="ada@example.com", firstname="Ada", state="SYNCED", synced_version=1)
    call = make_call(
        request_body='{"customers":[{"customer_id":"K-1","email":"ada@example.com","firstname":"Ada"}]}',
        response_body='{"customers":[],"errors":[]}',
        status_code=200,
    )
    make_result(call=call, customer=ada, outcome="ACCEPTED")
    return ada


def test_is_everything_in_step(front_page: Operator, ada: Customer) -> None:
    front_page.click("Overview")
    front_page.reads("In step", "Waiting", "Failed")


def test_what_is_waiting(front_page: Operator) -> None:
    make_customer(customer_id="K-2", state="PENDING")
    make_customer(customer_id="K-3", state="SYNCED", waiting_since=None)
    front_page.click("Customers", within=".app-blueshift_sync")
    front_page.click("Waiting", within="#changelist-filter")
    front_page.reads("K-2", "Waiting")
    assert "K-3" not in front_page.page.locator("#result_list").inner_text()


def test_what_failed_and_why(front_page: Operator) -> None:
    failed = make_customer(state="FAILED", error_code="phone_number", error_message="is not a number")
    front_page.click("Failures by cause")
    front_page.reads("phone_number", "is not a number", "What to do")
    front_page.click(str(failed))
    front_page.reads("is not a number")


def test_was_this_customer_sent_with_what_and_what_was_answered(front_page: Operator, ada: Customer) -> None:
    front_page.click("Customers", within=".app-blueshift_sync")
    front_page.search("ada@example.com")
    front_page.click(re.compile("K-1"), within="#result_list")
    front_page.reads("In step", "Was last sent", "firstname", "Accepted")


def test_put_it_right(front_page: Operator) -> None:
    """Two clicks lead to the question; to answer it is the third."""
    make_customer(state="FAILED", error_code="phone_number", error_message="is not a number")
    front_page.click("Failures by cause")
    front_page.click("Send it again")
    front_page.reads("1 customer", "is not a number")
    front_page.page.get_by_role("button", name="Send it again").click()
    front_page.reads("Sending 1 customer")
