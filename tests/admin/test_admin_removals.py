"""Deciding about removals in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from blueshift_sync.models import ApiCall, CustomerRemoval, SyncRun
from tests.factories import make_call, make_customer, make_removal, make_result, make_run

from .conftest import Login
from .pages import action, list_url, page_url, text_of

WAITING: dict[str, Any] = {"due_at": None, "error_code": "approval_needed", "error_message": "More than 50 removals."}
DECISIONS = pytest.mark.parametrize("name", ["approve", "cancel"])


def act(client: Client, name: str, *rows: Any, query: str = "", **more: Any) -> Any:
    return client.post(list_url(CustomerRemoval) + query, action(name, *rows, **more), follow=True)


def states() -> set[tuple[str, str]]:
    return set(CustomerRemoval.objects.values_list("state", "error_code"))


@DECISIONS
def test_a_decision_is_asked_for_once_more_with_number_and_examples(admin_client: Client, name: str) -> None:
    removals = [make_removal(customer=None, identifier=f"c-{number:02}", **WAITING) for number in range(12)]
    page = text_of(act(admin_client, name, *removals))
    assert "12 customers" in page
    assert "Delete c-00 (site.person 1)" in page
    assert "Delete c-09" in page
    assert "c-10" not in page
    assert "and 2 more" in page
    assert ("can't be undone" in page) == (name == "approve")
    assert states() == {("PENDING", "approval_needed")}
    assert not SyncRun.objects.exists()


def test_what_is_approved_is_sent(admin_client: Client, admin_user: Any) -> None:
    chosen, other = make_removal(**WAITING), make_removal(**WAITING)
    page = text_of(act(admin_client, "approve", chosen, confirmed=1))
    run = SyncRun.objects.get()
    assert "Removing 1 customer from Blueshift:" in page
    assert (run.trigger, run.requested_by, run.total) == ("ADMIN", admin_user, 1)
    chosen.refresh_from_db()
    assert (chosen.run, chosen.decided_by, chosen.error_code) == (run, admin_user, "")
    assert chosen.due_at is not None
    other.refresh_from_db()
    assert other.error_code == "approval_needed"


def test_what_is_cancelled_stays(admin_client: Client, admin_user: Any) -> None:
    removal, parked = make_removal(**WAITING), make_removal(due_at=None, error_code="lists_first")
    assert "Cancelled: 2, by run" in text_of(act(admin_client, "cancel", removal, parked, confirmed=1))
    assert states() == {("EXCLUDED", "cancelled")}
    removal.refresh_from_db()
    assert removal.decided_by == admin_user
    assert "Cancelled" in text_of(admin_client.get(list_url(CustomerRemoval)))


def test_all_that_the_filter_finds_are_decided_about(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.removals.CustomerRemovalAdmin.list_per_page", 2)
    forgotten = [make_removal(identifier=f"gone-{number}", **WAITING) for number in range(5)]
    make_removal(identifier="other", **WAITING)
    query = "?q=gone"
    asked = act(admin_client, "approve", forgotten[0], query=query, select_across=1)
    assert "5 customers" in text_of(asked)
    form = asked.content.decode()
    assert '<input type="hidden" name="select_across" value="1">' in form
    assert f'action="{list_url(CustomerRemoval)}{query}"' in form
    act(admin_client, "approve", forgotten[0], query=query, select_across=1, confirmed=1)
    assert SyncRun.objects.get().total == 5


def test_failed_ones_are_retried_without_asking(admin_client: Client) -> None:
    failed = make_removal(state="FAILED", error_code="unprocessable", due_at=None)
    make_removal(state="EXCLUDED", error_code="cancelled", due_at=None)
    assert "Removing 1 customer from Blueshift:" in text_of(act(admin_client, "retry", *CustomerRemoval.objects.all()))
    failed.refresh_from_db()
    assert (failed.state, failed.run) == ("PENDING", SyncRun.objects.get())


@DECISIONS
def test_there_may_be_nothing_to_decide(admin_client: Client, name: str) -> None:
    done = make_removal(state="SYNCED", due_at=None)
    page = text_of(act(admin_client, name, done, confirmed=1))
    assert "None of these removals waits for approval." in page or "There is nothing to cancel" in page
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize("name", ["approve", "cancel", "retry"])
@pytest.mark.parametrize("codenames", [(), ("push_customer", "resend_apicall")])
def test_it_takes_the_permission(login: Login, name: str, codenames: tuple[str, ...]) -> None:
    make_removal(state="FAILED", due_at=None)
    removals = [*CustomerRemoval.objects.all(), make_removal(**WAITING)]
    before = states()
    client = login("view_customerremoval", *codenames)
    act(client, name, *removals, confirmed=1)
    assert states() == before
    assert not SyncRun.objects.exists()
    assert f'value="{name}"' not in client.get(list_url(CustomerRemoval)).content.decode()


def test_with_the_permission_it_works(login: Login) -> None:
    act(login("view_customerremoval", "approve_customerremoval"), "approve", make_removal(**WAITING), confirmed=1)
    assert SyncRun.objects.get().total == 1


def test_the_list_says_what_each_waits_for(admin_client: Client) -> None:
    make_removal(identifier="7", **WAITING)
    page = text_of(admin_client.get(list_url(CustomerRemoval)))
    assert "approval_needed" in page
    assert "More than 50 removals." in page


def test_one_is_found_by_its_identifier(admin_client: Client) -> None:
    make_removal(identifier="ada@example.com", identifier_key="email", customer=None)
    make_removal(identifier="bob@example.com", identifier_key="email", customer=None)
    page = text_of(admin_client.get(list_url(CustomerRemoval), {"q": "ada@"}))
    assert "ada@example.com" in page
    assert "bob@example.com" not in page


def test_the_page_of_one_tells_its_story(admin_client: Client, admin_user: Any) -> None:
    removal = make_removal(state="SYNCED", due_at=None, decided_by=admin_user, run=make_run())
    call = make_call(endpoint="CUSTOMER_DELETE", url="https://api.example.com/api/v1/customers/delete")
    make_result(call=call, customer=removal.customer, identifier=removal.identifier)
    other = make_result(call=make_call(), customer=removal.customer, identifier=removal.identifier)
    response = admin_client.get(page_url(removal))
    page = text_of(response)
    assert "Accepted for processing" in page
    assert "site.person 1" in page
    assert admin_user.username in page
    assert page_url(call) in response.content.decode()
    assert page_url(other.call) not in response.content.decode()
    assert page_url(removal) in admin_client.get(page_url(removal.customer)).content.decode()


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        (WAITING, {"approve", "cancel"}),
        ({}, {"cancel"}),
        ({"state": "FAILED", "due_at": None}, {"retry"}),
        ({"state": "SYNCED", "due_at": None}, set()),
    ],
)
def test_a_page_offers_what_makes_sense(admin_client: Client, fields: dict[str, Any], offered: set[str]) -> None:
    page = admin_client.get(page_url(make_removal(**fields))).content.decode()
    assert {name for name in ("approve", "cancel", "retry") if f'value="{name}"' in page} == offered


def test_a_button_asks_and_comes_back_to_the_page(admin_client: Client) -> None:
    removal = make_removal(**WAITING)
    asked = act(admin_client, "approve", removal, _from_page=1)
    assert '<input type="hidden" name="_from_page" value="1">' in asked.content.decode()
    done = act(admin_client, "approve", removal, _from_page=1, confirmed=1)
    assert done.redirect_chain[-1][0] == page_url(removal)


def test_what_was_accepted_is_worked_off_later(admin_client: Client) -> None:
    call = make_call(endpoint=ApiCall.Endpoint.CUSTOMER_FORGET, url="https://api.example.com/api/v1/customers/forget")
    assert "Blueshift accepted this for processing." in text_of(admin_client.get(page_url(call)))


def test_a_run_leads_to_its_removals(admin_client: Client) -> None:
    run = make_run(total=3)
    make_customer(run=run)
    for _ in range(2):
        make_removal(run=run)
    page = admin_client.get(page_url(run)).content.decode()
    assert f'{list_url(CustomerRemoval)}?run__id__exact={run.pk}">2</a>' in page
