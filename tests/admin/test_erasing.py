"""Erasing a person from the admin: who may, what is asked, what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from blueshift_sync import services
from blueshift_sync.delivery import gathering
from blueshift_sync.models import Customer, RecordResult, SyncRun
from tests.factories import make_call, make_customer, make_detached_customer, make_removal, make_result

from .conftest import Login
from .pages import action, list_url, page_url, text_of

SCRIPT = '<script>alert("x")</script>'


@pytest.fixture
def ada(db: None) -> Customer:
    return make_detached_customer(customer_id="ada-1", email="ada@example.com", lastname="Lovelace")


@pytest.fixture
def result(ada: Customer) -> RecordResult:
    body = {"customers": [{"email": "bob@example.com"}, ada.payload]}
    call = make_call(request_body=json.dumps(body), record_count=2)
    return make_result(call=call, customer=ada, position=1, identifier="ada-1", message="Lovelace is no name.")


def erase(client: Client, *customers: Customer, **more: Any) -> Any:
    return client.post(list_url(Customer), action("erase", *customers, confirmed=1, **more), follow=True)


def test_the_button_asks_first_and_says_what_happens(ada: Customer, admin_client: Client) -> None:
    assert "Erase personal data…" in text_of(admin_client.get(page_url(ada)))
    response = admin_client.post(list_url(Customer), action("erase", ada, _from_page=1))
    text = text_of(response)
    assert "can't be undone" in text
    assert "ada-1" in text
    assert "are emptied and never sent again" in text
    assert "anonymise or delete" not in text
    ada.refresh_from_db()
    assert ada.email == "ada@example.com"


def test_erased_and_said_so_on_every_page(ada: Customer, result: RecordResult, admin_client: Client) -> None:
    response = erase(admin_client, ada, _from_page=1)
    assert response.redirect_chain[-1][0] == page_url(ada)
    assert "Personal data erased from 1 result, 1 call, 0 removals." in text_of(response)
    for row in (ada, result, result.call):
        page = admin_client.get(page_url(row)).content.decode()
        assert "ada@example.com" not in page
        assert "Lovelace" not in page
    assert "by admin" in text_of(admin_client.get(page_url(result)))
    assert "The personal data of 1 record was erased." in text_of(admin_client.get(page_url(result.call)))
    assert "bob@example.com" in admin_client.get(page_url(result.call)).content.decode()
    assert "was erased on" in text_of(admin_client.get(page_url(ada)))


def test_the_history_says_who_did_it_and_names_nobody(
    ada: Customer, result: RecordResult, admin_client: Client, admin_user: User
) -> None:
    customers = ContentType.objects.get_for_model(Customer)
    LogEntry.objects.create(
        user=admin_user, content_type=customers, object_id=str(ada.pk), object_repr="ada-1", action_flag=2
    )
    other = LogEntry.objects.create(
        user=admin_user, content_type=customers, object_id="999", object_repr="bob", action_flag=2
    )
    erase(admin_client, ada)
    entries = LogEntry.objects.filter(object_id=str(ada.pk)).order_by("pk")
    assert [entry.object_repr for entry in entries] == ["[erased]", "[erased]"]
    assert entries[1].user == admin_user
    assert entries[1].change_message == "Personal data erased from 1 result, 1 call, 0 removals."
    other.refresh_from_db()
    assert other.object_repr == "bob"


@pytest.mark.parametrize("ends", ["by itself", "cancelled"])
def test_no_run_that_has_ended_knows_what_was_searched_for(
    ends: str, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SLICE", 1)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0.0 if ends == "cancelled" else 60.0)
    for number in range(3):
        make_customer(email=f"ada@example.com.{number}", state="SYNCED", due_at=None)
    address = f"{list_url(Customer)}?q=ada@example.com"
    posted = action("push_changed" if ends == "by itself" else "push", Customer.objects.latest("pk"), select_across=1)
    admin_client.post(address, {**posted, "confirmed": 1})
    run = SyncRun.objects.get()
    if ends == "cancelled":
        assert "ada" in str(run.scope)  # a worker needs it to go on
        run = services.cancel(run)
    assert run.finished_at
    assert "ada" not in str(run.scope)


def test_of_a_customer_that_a_source_owns_the_history_goes_and_the_row_stays(admin_client: Client) -> None:
    customer = make_customer(source_type="site.person", source_id=SCRIPT, email="eve@example.com", state="SYNCED")
    asked = text_of(admin_client.post(list_url(Customer), action("erase", customer)))
    assert "anonymise or delete their objects on this site first" in asked
    assert "are emptied" not in asked
    response = erase(admin_client, customer)
    assert "itself stays as its source says" in text_of(response)
    assert SCRIPT not in response.content.decode()
    customer.refresh_from_db()
    assert customer.email == "eve@example.com"
    assert LogEntry.objects.get().object_repr == "[erased]"


def test_what_is_still_to_be_sent_is_said(ada: Customer, admin_client: Client) -> None:
    make_removal(customer=ada, state="FAILED", due_at=None)
    assert "1 removal or list membership of #" in text_of(erase(admin_client, ada))


def test_a_customer_in_flight_is_refused_with_a_sentence(admin_client: Client) -> None:
    customer = make_customer(state="SENDING")
    assert "is on its way. Nothing was erased" in text_of(erase(admin_client, customer))
    assert not LogEntry.objects.exists()


def test_it_needs_its_own_permission(ada: Customer, login: Login) -> None:
    client = login("view_customer", "change_customer", "delete_customer", "push_customer")
    assert "Erase personal data" not in text_of(client.get(page_url(ada)))
    assert client.post(list_url(Customer), action("erase", ada, confirmed=1)).status_code == 403
    ada.refresh_from_db()
    assert ada.email
    erase(login("view_customer", "erase_customer"), ada)
    ada.refresh_from_db()
    assert not ada.email


@pytest.mark.parametrize("select_across", [0, 1])
def test_many_at_once_are_refused(select_across: int, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.erasure.ERASED_AT_ONCE", 2)
    customers = [make_detached_customer(customer_id=f"c{number}") for number in range(3)]
    response = erase(admin_client, *customers, select_across=select_across)
    assert "At most 2 customers at once." in text_of(response)
    assert not Customer.objects.filter(error_code="erased").exists()
    erase(admin_client, *customers[:2])
    assert Customer.objects.filter(error_code="erased").count() == 2


# Empty places


def test_where_there_is_no_call_the_page_names_the_settings(admin_client: Client, settings: Any) -> None:
    page = page_url(make_customer())
    assert "Calls are kept for 90 days: BLUESHIFT_SYNC[“CALL_RETENTION_DAYS”]" in text_of(admin_client.get(page))
    settings.BLUESHIFT_SYNC = settings.BLUESHIFT_SYNC | {"ENABLED": False, "CALL_RETENTION_DAYS": None}
    text = text_of(admin_client.get(page))
    assert "BLUESHIFT_SYNC[“ENABLED”] is False" in text
    assert "CALL_RETENTION_DAYS" not in text


def test_an_emptied_body_names_the_setting(admin_client: Client) -> None:
    call = make_call(request_body="", response_body="", bodies_emptied_at="2026-01-02T00:00:00Z")
    text = text_of(admin_client.get(page_url(call)))
    assert "The body was emptied on 2026-01-02: BLUESHIFT_SYNC[“BODY_RETENTION_DAYS”]" in text
