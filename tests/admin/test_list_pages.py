"""The pages of customer lists: making one, what is wrong with it, who is on it, and what can be done."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from blueshift_sync.models import CustomerList, ListMembership, SyncRun
from tests.factories import make_import, make_list, make_membership

from .conftest import Login
from .pages import action, add_url, list_url, page_url, text_of

pytestmark = pytest.mark.django_db

ACTIONS = ("try_again", "read_now", "send_all")
STOPPED: dict[str, Any] = {
    "is_ready": False,
    "read_due_at": None,
    "error_code": "list_deleted",
    "error_message": "It was deleted in Blueshift.",
}


def stopped_list() -> CustomerList:
    return make_list(status="DELETED", stopped_at=timezone.now(), **STOPPED)


def written(**fields: str) -> dict[str, str]:
    return {"list_id": "", "name": "", "description": "", "identifier_key": "", "mode": "", **fields}


def test_a_list_is_created_by_its_name(admin_client: Client) -> None:
    response = admin_client.post(
        add_url(CustomerList), written(name=" Readers ", description="Of the news", identifier_key="email")
    )
    row = CustomerList.objects.get()
    assert response.status_code == 302
    assert (row.list_id, row.name, row.description, row.identifier_key) == (None, "Readers", "Of the news", "email")
    assert row.read_due_at is not None
    assert "Being created in Blueshift" in text_of(admin_client.get(page_url(row)))
    assert "Being created in Blueshift" in text_of(admin_client.get(list_url(CustomerList)))
    assert LogEntry.objects.get().object_id == str(row.pk)


def test_a_list_is_taken_on_by_its_number(admin_client: Client) -> None:
    admin_client.post(add_url(CustomerList), written(list_id="35869", mode="sync"))
    row = CustomerList.objects.get()
    assert (row.list_id, row.mode, row.is_ready) == (35869, "sync", False)
    page = text_of(admin_client.get(page_url(row)))
    assert "Being read from Blueshift" in page
    assert "Blueshift hasn’t been asked yet." in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose by which identifier the new list knows its customers."),
        ({"identifier_key": "email"}, "A list needs a name."),
        ({"identifier_key": "email", "name": "Taken"}, "A list named “Taken” waits to be created already."),
        ({"list_id": "7"}, "The list 7 is there already."),
        ({"list_id": "-7"}, "-7 can't be the number of a list"),
        ({"list_id": "9" * 30}, "less than or equal to"),
        ({"list_id": "News"}, "Enter a whole number."),
    ],
)
def test_what_cannot_be_a_list_is_told_on_the_form(fields: dict[str, str], sentence: str, admin_client: Client) -> None:
    make_list(list_id=7)
    make_list(list_id=None, name="Taken", is_ready=False)
    response = admin_client.post(add_url(CustomerList), written(**fields))
    assert response.status_code == 200
    assert sentence in text_of(response)
    assert CustomerList.objects.count() == 2


def test_a_list_that_could_not_be_created_gets_another_name(admin_client: Client) -> None:
    row = make_list(list_id=None, name="Taken", is_ready=False)
    response = admin_client.post(page_url(row), written(name="Free", identifier_key="customer_id"))
    row.refresh_from_db()
    assert (response.status_code, row.name, row.identifier_key) == (302, "Free", "customer_id")


def test_neither_number_nor_name_of_a_list_in_blueshift_is_changed(admin_client: Client) -> None:
    row = make_list(list_id=7, name="News")
    make_membership(customer_list=row, synced_is_member=True)
    admin_client.post(page_url(row), written(list_id="8", name="Other", identifier_key="customer_id", mode="sync"))
    row.refresh_from_db()
    assert (row.list_id, row.name, row.identifier_key, row.mode) == (7, "News", "email", "sync")


def test_a_mistyped_number_is_mended(admin_client: Client) -> None:
    row = stopped_list()
    make_membership(customer_list=row, due_at=None)
    edited = written(list_id="35869", mode="sync", description="Of the news")
    page = text_of(admin_client.post(page_url(row), edited, follow=True))
    row.refresh_from_db()
    assert (row.list_id, row.mode, row.description, row.status) == (35869, "sync", "Of the news", "ACTIVE")
    assert (row.has_stopped, row.read_due_at is None) == (False, False)
    run = SyncRun.objects.get()
    assert (run.total, run.trigger) == (1, "ADMIN")
    assert "Sending 1 list membership" in page
    assert "Another number" in text_of(admin_client.get(page_url(run)))
    told = {(entry.object_id, entry.change_message) for entry in LogEntry.objects.all()}
    assert (str(run.pk), "Another number: 35869") in told


@pytest.mark.parametrize(
    ("number", "sentence"),
    [("", "Enter the number of the list in Blueshift."), ("8", "already exists"), ("-1", "greater than or equal to 1")],
)
def test_what_cannot_be_the_right_number_is_told_on_the_form(number: str, sentence: str, admin_client: Client) -> None:
    row, _other = stopped_list(), make_list(list_id=8)
    before = row.list_id
    assert sentence in text_of(admin_client.post(page_url(row), written(list_id=number)))
    row.refresh_from_db()
    assert (row.list_id, row.has_stopped) == (before, True)


def test_who_may_not_send_may_not_mend_the_number(login: Login) -> None:
    row = stopped_list()
    client = login("view_customerlist", "change_customerlist")
    client.post(page_url(row), written(list_id="35869", description="Of the news"))
    before, row = row.list_id, CustomerList.objects.get()
    assert (row.list_id, row.description) == (before, "Of the news")
    assert not SyncRun.objects.exists()


def test_a_list_that_has_stopped_says_why_and_what_to_do(admin_client: Client) -> None:
    row = stopped_list()
    for address in (page_url(row), list_url(CustomerList)):
        assert "It was deleted in Blueshift." in text_of(admin_client.get(address))
    page = text_of(admin_client.get(page_url(row)))
    assert "Nothing has been sent for this list since" in page
    assert "What to do:" in page
    assert 'value="try_again"' in admin_client.get(page_url(row)).content.decode()


def test_a_stopped_list_is_tried_again(admin_client: Client) -> None:
    row = stopped_list()
    response = admin_client.post(list_url(CustomerList), {**action("try_again", row), "_from_page": "1"}, follow=True)
    row.refresh_from_db()
    assert (row.has_stopped, row.status, row.read_due_at is None) == (False, "ACTIVE", False)
    assert "is tried again" in text_of(response)
    assert LogEntry.objects.get().change_message == "Try again"


def test_a_list_that_goes_on_is_not_tried_again(admin_client: Client) -> None:
    row = make_list()
    response = admin_client.post(list_url(CustomerList), action("try_again", row), follow=True)
    assert "none of these lists has stopped" in text_of(response)
    assert 'value="try_again"' not in admin_client.get(page_url(row)).content.decode()


def test_a_list_is_read_now(admin_client: Client) -> None:
    row = make_list()
    assert row.read_due_at is None
    admin_client.post(list_url(CustomerList), action("read_now", row))
    row.refresh_from_db()
    assert row.read_due_at is not None


def test_a_list_without_a_number_cannot_be_read(admin_client: Client) -> None:
    row = make_list(list_id=None, name="News", is_ready=False)
    response = admin_client.post(list_url(CustomerList), action("read_now", row), follow=True)
    assert "has no number yet" in text_of(response)


def test_everything_is_sent_again_after_one_more_question(admin_client: Client) -> None:
    row = make_list()
    for _ in range(3):
        make_membership(customer_list=row, state="SYNCED", due_at=None)
    make_membership(state="SYNCED", due_at=None)
    asked = text_of(admin_client.post(list_url(CustomerList), action("send_all", row)))
    assert "3 list memberships" in asked
    assert "1 call or more" in asked
    assert not SyncRun.objects.exists()
    admin_client.post(list_url(CustomerList), action("send_all", row, confirmed="1"))
    run = SyncRun.objects.get()
    assert (run.total, run.trigger) == (3, "ADMIN")
    assert ListMembership.objects.filter(run=run, state="PENDING").count() == 3


@pytest.mark.parametrize("name", ACTIONS)
def test_who_may_not_send_may_do_none_of_it(name: str, login: Login) -> None:
    row = stopped_list()
    client = login("view_customerlist", "change_customerlist", "view_listmembership")
    before = CustomerList.objects.values().get()
    assert client.post(list_url(CustomerList), action(name, row, confirmed="1")).status_code == 403
    assert CustomerList.objects.values().get() == before
    assert f'value="{name}"' not in client.get(page_url(row)).content.decode()


def test_the_numbers_stand_side_by_side_with_why_they_differ(admin_client: Client) -> None:
    row = make_list(wanted_count=12_000, known_count=11_990, user_count=11_500, mode="async")
    make_membership(customer_list=row, state="FAILED", error_code="x", due_at=None)
    page = text_of(admin_client.get(page_url(row)))
    for number in ("12,000", "11,990", "11,500", "Counted when the list was last read"):
        assert number in page
    assert "Why the numbers may differ" in page
    assert "Calls are asynchronous" in page
    assert "e-mail address" in page
    for number in ("12,000", "11,990", "11,500"):
        assert number in text_of(admin_client.get(list_url(CustomerList)))


def test_nothing_is_explained_where_the_numbers_agree(admin_client: Client) -> None:
    row = make_list(wanted_count=5, known_count=5, user_count=5)
    assert "Why the numbers may differ" not in text_of(admin_client.get(page_url(row)))


def test_a_synchronous_list_is_told_nothing_of_asynchronous_calls(admin_client: Client) -> None:
    row = make_list(wanted_count=5, known_count=5, user_count=4, mode="sync", identifier_key="customer_id")
    page = text_of(admin_client.get(page_url(row)))
    assert "Why the numbers may differ" in page
    assert "Calls are asynchronous" not in page
    assert "by e-mail address" not in page


def test_a_membership_by_an_asynchronous_call_was_accepted_for_processing(admin_client: Client) -> None:
    row = make_membership(state="SYNCED", due_at=None, synced_asynchronously=True)
    for address in (page_url(row), list_url(ListMembership)):
        assert "Accepted by Blueshift for processing" in text_of(admin_client.get(address))


def test_where_customers_come_from_is_a_link_away(admin_client: Client, login: Login) -> None:
    row = make_list()
    make_import(customer_list=row)
    page = text_of(admin_client.get(page_url(row)))
    for text in ("Add from a file…", "Remove from a file…", "Add customers by a filter…", "Files of identifiers"):
        assert text in page
    assert "Add from a file…" not in text_of(login("view_customerlist").get(page_url(row)))


@pytest.mark.parametrize(("term", "found"), [("35869", True), ("read", True), ("writers", False), ("9" * 40, False)])
def test_a_list_is_found_by_number_and_by_name(term: str, found: bool, admin_client: Client) -> None:
    make_list(list_id=35869, name="Readers")
    assert ("Readers" in text_of(admin_client.get(list_url(CustomerList), {"q": term}))) == found
