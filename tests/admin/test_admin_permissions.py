"""Who may see and do what."""

from __future__ import annotations

import pytest
from django.db.models import Model
from django.test import Client

from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from tests.factories import make_call, make_customer, make_membership, make_result, make_run

from .conftest import Login
from .pages import AUDIT, MODELS, action, add_url, list_url, page_url, text_of
from .rows import make_one_of_each

ACTIONS = {Customer: "push", ListMembership: "push", ApiCall: "resend", SyncRun: "retry"}
Rows = dict[type[Model], Model]


@pytest.fixture
def rows(db: None) -> Rows:
    return make_one_of_each()


@pytest.mark.parametrize("model", MODELS)
def test_who_isnt_logged_in_is_sent_to_the_login(model: type[Model], rows: Rows, client: Client) -> None:
    for url in (list_url(model), page_url(rows[model]), add_url(model), page_url(rows[model], "delete")):
        response = client.get(url)
        assert response.status_code == 302
        assert "/login/" in response["Location"]


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_permission_are_refused(model: type[Model], rows: Rows, login: Login) -> None:
    client = login()
    for url in (list_url(model), page_url(rows[model]), add_url(model), page_url(rows[model], "delete")):
        assert client.get(url).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_who_may_only_view_sees_pages_without_actions(model: type[Model], rows: Rows, login: Login) -> None:
    client = login(f"view_{model._meta.model_name}")
    for url in (list_url(model), page_url(rows[model])):
        response = client.get(url)
        assert response.status_code == 200
        assert 'name="action"' not in response.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_who_may_only_view_can_change_nothing(model: type[Model], rows: Rows, login: Login) -> None:
    client = login(f"view_{model._meta.model_name}")
    assert client.post(page_url(rows[model]), {"email": "new@example.com"}).status_code == 403
    assert client.post(add_url(model), {"email": "new@example.com"}).status_code == 403
    assert client.post(page_url(rows[model], "delete"), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize("model", ACTIONS)
def test_an_action_posted_without_its_permission_does_nothing(model: type[Model], rows: Rows, login: Login) -> None:
    client = login(f"view_{model._meta.model_name}")
    client.post(list_url(model), action(ACTIONS[model], rows[model]))
    assert SyncRun.objects.count() == 1


@pytest.mark.parametrize("model", MODELS)
def test_nobody_can_delete_in_bulk(model: type[Model], rows: Rows, admin_client: Client) -> None:
    admin_client.post(list_url(model), action("delete_selected", rows[model], post="yes"))
    assert model._default_manager.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize("model", AUDIT)
def test_the_audit_cant_be_changed_even_by_superusers(model: type[Model], rows: Rows, admin_client: Client) -> None:
    page = page_url(rows[model])
    assert admin_client.get(page).status_code == 200
    assert admin_client.post(page, {"state": "SUCCEEDED"}).status_code == 403
    assert admin_client.get(add_url(model)).status_code == 403
    assert admin_client.post(add_url(model), {}).status_code == 403
    assert admin_client.post(page_url(rows[model], "delete"), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize("model", AUDIT)
def test_audit_pages_are_no_forms(model: type[Model], rows: Rows, login: Login) -> None:
    page = login(f"view_{model._meta.model_name}").get(page_url(rows[model])).content.decode()
    content = page.partition('id="content-main"')[2]
    assert "<input" not in content
    assert "disabled" not in content


def test_a_customers_page_hides_calls_and_memberships_from_who_may_not_view_them(login: Login) -> None:
    customer = make_customer()
    make_membership(customer=customer)
    make_result(customer=customer)
    page = page_url(customer)
    assert "Latest calls" not in text_of(login("view_customer").get(page))
    assert "List memberships" not in text_of(login("view_customer").get(page))
    allowed = text_of(login("view_customer", "view_apicall", "view_listmembership").get(page))
    assert "Latest calls" in allowed
    assert "List memberships" in allowed


def test_a_calls_page_hides_its_records_from_who_may_not_view_results(login: Login) -> None:
    call = make_call()
    make_result(call=call, identifier="secret@example.com")
    assert "secret@example.com" not in text_of(login("view_apicall").get(page_url(call)))
    assert "secret@example.com" in text_of(login("view_apicall", "view_recordresult").get(page_url(call)))


def test_a_run_can_only_be_retried_with_the_permission_for_its_kind(login: Login) -> None:
    customers = make_run(kind=SyncRun.Kind.CUSTOMERS, rejected=1)
    memberships = make_run(kind=SyncRun.Kind.LISTS, rejected=1)
    client = login("view_syncrun", "push_customer")
    assert client.post(list_url(SyncRun), action("retry", memberships)).status_code == 403
    assert not memberships.retries.exists()
    assert client.post(list_url(SyncRun), action("retry", customers)).status_code == 302
    assert customers.retries.exists()


def test_results_have_no_actions_for_anyone(rows: Rows, admin_client: Client) -> None:
    assert 'name="action"' not in admin_client.get(list_url(RecordResult)).content.decode()
