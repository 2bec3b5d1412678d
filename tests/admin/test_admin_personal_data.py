"""Who customers are is shown to nobody who may not view customers: on no page, by no action, search or export."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from blueshift_sync.models import (
    ApiCall,
    Customer,
    ListImport,
    ListMembership,
    RecordResult,
    SyncRun,
)
from tests.factories import make_call, make_result

from .conftest import Login
from .found import ACTIONS, VIEWS, Action, Rows, View
from .pages import action, list_url, page_url, text_of
from .rows import make_one_of_each

WORD = "sesame"
ADDRESS = f"{WORD}@example.com"
#: What it takes to see who somebody is. Addresses of the tests' other customers end like this one's.
NAMING = ("customer", "customerremoval", "apicall_body")
EVERY_ADDRESS = ADDRESS.partition(WORD)[2]

SAID = {"error_code": "rejected", "error_message": f"{WORD} isn't known.", "error_cause": "0123456789abcdef"}
FIELDS: dict[str, dict[str, Any]] = {
    "customer": {"customer_id": WORD, "email": ADDRESS, "firstname": WORD, "attributes": {"word": WORD}},
    "listmembership": {"state": "FAILED", "due_at": None, "synced_identifier": ADDRESS, **SAID},
    "recordresult": {
        "identifier": ADDRESS,
        "outcome": "REJECTED",
        "code": "rejected",
        "message": f"{WORD} isn't known.",
        "details": {"email": ADDRESS},
    },
    "apicall": {"error_code": "bad_request", "error": f"Nobody knows {ADDRESS}.", "state": "FAILED"},
}


@pytest.fixture
def rows(db: None) -> Rows:
    return make_one_of_each(**FIELDS)


@pytest.fixture
def stranger(login: Login) -> Client:
    """May do everything but see who somebody is."""
    granted = Permission.objects.filter(content_type__app_label="blueshift_sync")
    for name in NAMING:
        granted = granted.exclude(codename__in=[f"{verb}_{name}" for verb in ("view", "change", "add", "delete")])
    return login(*granted.values_list("codename", flat=True))


def everything_in(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return str(content.decode())


def names_somebody(response: Any) -> bool:
    content = everything_in(response)
    return WORD in content or EVERY_ADDRESS in content


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_no_page_names_a_customer(view: View, rows: Rows, admin_client: Client, stranger: Client) -> None:
    address = view.address(rows, admin_client)
    for response in (stranger.get(address, follow=True), stranger.post(address, {"post": "yes"}, follow=True)):
        assert not names_somebody(response)


@pytest.mark.parametrize("one", ACTIONS, ids=str)
def test_no_action_names_a_customer(one: Action, rows: Rows, stranger: Client) -> None:
    """Neither the question before nor what is told afterwards."""
    for confirmed in ({}, {"select_across": "1"}, {"confirmed": "1"}, {"confirmed": "1", "select_across": "1"}):
        assert not names_somebody(stranger.post(one.address, {**one.payload(rows), **confirmed}, follow=True))


def test_the_pages_do_name_them_to_who_may_view_customers(rows: Rows, admin_client: Client) -> None:
    """Or the tests above would find nothing for another reason."""
    for model in (ListMembership, RecordResult):
        for address in (list_url(model), page_url(rows[model])):
            page = text_of(admin_client.get(address))
            assert WORD in page
            assert "isn't known" in page
    assert ADDRESS in text_of(admin_client.get(page_url(rows[ApiCall])))
    exported = admin_client.post(list_url(ListMembership), action("export", rows[ListMembership], confirmed="1"))
    assert ADDRESS in everything_in(exported)


@pytest.mark.parametrize("term", [WORD, ADDRESS, WORD[:3]])
@pytest.mark.parametrize("model", [ListMembership, RecordResult, ApiCall, SyncRun, ListImport])
def test_no_search_tells_whether_somebody_is_there(model: Any, term: str, rows: Rows, stranger: Client) -> None:
    found, nothing = (stranger.get(list_url(model), {"q": each}) for each in (term, "x" * len(term)))
    assert text_of(found) == text_of(nothing).replace("x" * len(term), term)
    assert "e-mail address" not in text_of(stranger.get(list_url(model)))


def test_who_may_not_view_customers_searches_by_number(rows: Rows, stranger: Client) -> None:
    for model in (ListMembership, RecordResult):
        page = stranger.get(list_url(model), {"q": f"#{rows[model].pk}"})
        assert page_url(rows[model]) in page.content.decode()


def test_no_field_that_completes_itself_tells_either(rows: Rows, stranger: Client, admin_client: Client) -> None:
    asked = {"app_label": "blueshift_sync", "model_name": "recordresult", "field_name": "membership", "term": WORD}
    response = stranger.get(reverse("admin:autocomplete"), asked)
    assert response.json()["results"] == []
    assert len(admin_client.get(reverse("admin:autocomplete"), asked).json()["results"]) == 1


def test_a_file_may_be_uploaded_by_who_may_view_customers(rows: Rows, stranger: Client) -> None:
    """Which of its lines mean somebody tells who is there."""
    page = reverse("admin:blueshift_sync_customerlist_import", args=[rows[ListMembership].customer_list_id])  # type: ignore[attr-defined]
    assert stranger.get(page).status_code == 403
    assert stranger.post(page, {"direction": "add"}).status_code == 403


def test_a_membership_is_made_by_who_may_view_customers(rows: Rows, stranger: Client) -> None:
    made = {"customer": rows[Customer].pk, "customer_list": "", "is_member": "on"}
    assert stranger.post(reverse("admin:blueshift_sync_listmembership_add"), made).status_code == 403


def test_of_a_result_whose_record_is_gone_nothing_is_named(stranger: Client) -> None:
    result = make_result(call=make_call(), identifier=ADDRESS, customer=None)
    for address in (list_url(RecordResult), page_url(result), page_url(result.call)):
        assert not names_somebody(stranger.get(address))
