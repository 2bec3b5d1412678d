"""What an operator comes to the admin for, done in a browser while a worker, Redis and a simulated Blueshift run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from blueshift_sync import services
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SendingStop, SyncRun
from project.shop import models as shop
from tests.waiting import wait_until

from .conftest import OPERATOR

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.usefixtures("simulator")]

OpenBrowser = Callable[..., Any]


def open_shop(*names: str) -> None:
    """Customers of the shop who have signed up to its newsletter."""
    news = shop.Newsletter.objects.create(name="News", blueshift_list_id=7)
    with transaction.atomic():
        for number, name in enumerate(names, start=1):
            customer = shop.Customer.objects.create(
                customer_number=f"K-{number}", email=f"{name.lower()}@example.com", given_name=name
            )
            shop.NewsletterSignup.objects.create(customer=customer, newsletter=news, confirmed=True)


def all_in_step() -> bool:
    """Sweeps first, as the timer does: what waited for something else is found by it."""
    sweep()
    return not any(model.objects.exclude(state="SYNCED").exists() for model in (Customer, ListMembership))


def open_console(open_browser: OpenBrowser) -> Any:
    """The app's part of the admin, where every errand begins."""
    page = open_browser()
    page.goto("/admin/blueshift_sync/")
    return page


def menu(page: Any, name: str) -> None:
    page.locator("#content-main").get_by_role("link", name=name, exact=True).click()


def test_logging_in_leads_to_how_everything_stands(
    open_browser: OpenBrowser, operator: User, start_worker: Callable[..., Any]
) -> None:
    start_worker()
    open_shop("Ada", "Bob")
    wait_until(all_in_step)
    page = open_browser(logged_in=False)
    page.goto("/admin/blueshift_sync/")
    page.get_by_label("Username").fill(OPERATOR)
    page.get_by_label("Password").fill(OPERATOR)
    page.get_by_role("button", name="Log in").click()
    menu(page, "Overview")
    text = page.locator("#content").inner_text()
    assert re.search(r"Customers\s+2\b", text)
    assert re.search(r"List memberships\s+2\b", text)


def test_what_is_behind_is_a_link_away_from_the_overview(open_browser: OpenBrowser, simulator: Any) -> None:
    open_shop("Ada")  # and no worker
    page = open_console(open_browser)
    menu(page, "Overview")
    page.locator("#content").get_by_role("row", name=re.compile("Customers")).get_by_role("link").first.click()
    assert "ada@example.com" in page.locator("#result_list").inner_text()


def test_a_customer_is_found_with_what_was_sent_and_answered(
    open_browser: OpenBrowser, start_worker: Callable[..., Any]
) -> None:
    start_worker()
    open_shop("Ada", "Bob")
    wait_until(all_in_step)
    page = open_console(open_browser)
    menu(page, "Customers")
    page.locator("#searchbar").fill("ada@example.com")
    page.keyboard.press("Enter")
    page.locator("#result_list").get_by_role("link", name=re.compile("K-1")).click()
    assert "In step" in page.locator("#content").inner_text()
    call = ApiCall.objects.get(endpoint=ApiCall.Endpoint.CUSTOMERS_BULK)
    page.locator(f"#content a[href*='/apicall/{call.pk}/']").first.click()
    text = page.locator("#content").inner_text()
    assert '"ada@example.com"' in text
    assert "Accepted" in text
    assert "200" in text


def test_why_it_failed_is_in_the_list_and_is_mended_where_it_comes_from(
    open_browser: OpenBrowser, start_worker: Callable[..., Any]
) -> None:
    start_worker()
    open_shop("Ada")
    ada = shop.Customer.objects.get()
    ada.phone = "no number"
    ada.save()
    wait_until(lambda: Customer.objects.filter(state="FAILED").exists())
    page = open_console(open_browser)
    menu(page, "Customers")
    row = page.locator("#result_list tbody tr").first
    assert "Failed" in row.inner_text()
    assert "phone_number" in row.inner_text()
    row.get_by_role("link", name=re.compile("K-1")).click()
    page.locator("#content").get_by_role("link", name=re.compile(str(ada.pk))).first.click()
    page.get_by_label("Phone").fill("+442079460000")
    page.get_by_role("button", name="Save", exact=True).click()
    wait_until(all_in_step)
    page.goto(f"/admin/blueshift_sync/customer/{Customer.objects.get().pk}/change/")
    assert "In step" in page.locator("#content").inner_text()


def test_a_customer_is_sent_again_by_a_button(open_browser: OpenBrowser, start_worker: Callable[..., Any]) -> None:
    open_shop("Ada")
    customer = Customer.objects.get()
    page = open_console(open_browser)
    menu(page, "Customers")
    page.locator("#result_list").get_by_role("link", name=re.compile("K-1")).click()
    page.get_by_role("button", name="Send now, even if unchanged").click()
    assert "Sending 1 customer" in page.locator(".messagelist").inner_text()
    start_worker()
    wait_until(all_in_step)
    page.reload()
    assert "In step" in page.locator("#content").inner_text()
    assert ApiCall.objects.filter(run__trigger=SyncRun.Trigger.ADMIN, results__customer=customer).exists()


def test_a_run_is_cancelled(open_browser: OpenBrowser) -> None:
    open_shop("Ada", "Bob")  # and no worker
    run = services.push(Customer.objects.all())
    page = open_console(open_browser)
    menu(page, "Runs")
    page.locator("#result_list").get_by_role("link", name=f"#{run.pk}", exact=True).click()
    page.get_by_role("button", name=re.compile("Cancel")).click()
    if (confirm := page.locator("#content form button[type=submit]")).count() and "Are you sure" in page.content():
        confirm.first.click()
    page.locator(".messagelist .success").wait_for()
    wait_until(lambda: SyncRun.objects.get(pk=run.pk).cancel_requested_at is not None)


def test_a_refused_key_is_told_and_checked_again(
    open_browser: OpenBrowser, start_worker: Callable[..., Any], simulator: Any
) -> None:
    simulator.fail("status", status=401)
    start_worker()
    open_shop("Ada")
    wait_until(SendingStop.objects.exists)
    page = open_console(open_browser)
    menu(page, "Overview")
    assert "Sending is stopped since" in page.locator("#content").inner_text()
    simulator.scenario(faults=[])
    page.get_by_role("button", name="Check the key now").click()
    assert "Blueshift takes the key" in page.locator(".messagelist").inner_text()
    wait_until(all_in_step)


def test_a_list_is_made_and_filled_from_a_file(
    open_browser: OpenBrowser, start_worker: Callable[..., Any], simulator: Any, tmp_path: Any
) -> None:
    start_worker()
    open_shop("Ada", "Bob")
    wait_until(all_in_step)
    page = open_console(open_browser)
    menu(page, "Customer lists")
    page.get_by_role("link", name="Add customer list").click()
    page.get_by_label("Name:").fill("Winners")
    page.get_by_label("Identifier:").select_option("email")
    page.get_by_role("button", name="Save and continue editing").click()
    winners = CustomerList.objects.get(name="Winners")
    wait_until(lambda: CustomerList.objects.filter(pk=winners.pk, is_ready=True).exists())
    file = tmp_path / "winners.csv"
    file.write_text("name;email\nAda;ADA@example.com\nNobody;nobody@example.com\n")
    page.get_by_role("link", name="Add from a file").click()
    page.get_by_label("File:").set_input_files(file)
    page.get_by_role("button", name="Upload and look").click()
    text = page.locator("#content").inner_text()
    assert "nobody@example.com" in text
    assert not winners.memberships.exists()
    page.get_by_role("button", name="Add this 1 customer").click()
    assert "Sending 1 list membership" in page.locator(".messagelist").inner_text()
    winners.refresh_from_db()
    wait_until(lambda: simulator.members(winners.list_id) == ["ada@example.com"])
    wait_until(all_in_step)
    page.locator("#content").get_by_role("link", name=re.compile("Winners")).click()
    page.locator("#content").get_by_role("link", name="all", exact=True).click()
    assert "Accepted by Blueshift for processing" in page.locator("#result_list").inner_text()


def test_a_list_that_has_stopped_is_tried_again_after_it_was_mended(
    open_browser: OpenBrowser, start_worker: Callable[..., Any], simulator: Any
) -> None:
    simulator.create_list(7, name="News", source="email", status="deleted")
    start_worker()
    open_shop("Ada")
    wait_until(lambda: CustomerList.objects.filter(list_id=7, stopped_at__isnull=False).exists())
    page = open_console(open_browser)
    menu(page, "Customer lists")
    assert "Deleted" in page.locator("#result_list").inner_text()
    page.locator("#result_list").get_by_role("link", name="7", exact=True).click()
    assert "Nothing has been sent for this list since" in page.locator("#content").inner_text()
    simulator.create_list(7, name="News", source="email")
    page.get_by_role("button", name="Try again").click()
    assert "is tried again" in page.locator(".messagelist").inner_text()
    wait_until(lambda: simulator.members(7) == ["ada@example.com"])
    wait_until(all_in_step)
    page.reload()
    assert "Active" in page.locator("#content").inner_text()
