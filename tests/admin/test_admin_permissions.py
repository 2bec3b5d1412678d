"""Who may see and do what: tried on every view and every action that there is."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from blueshift_sync.models import SyncRun
from tests.factories import make_call, make_customer, make_membership, make_result, make_run

from .conftest import Login
from .found import ACTIONS, VIEWS, Action, Form, Rows, View, contents, forms, view_at
from .pages import AUDIT, MODELS, action, add_url, list_url, page_url, text_of
from .rows import make_one_of_each

EVERY_VIEW = pytest.mark.parametrize("view", VIEWS, ids=str)
EVERY_ACTION = pytest.mark.parametrize("one", ACTIONS, ids=str)
#: Seeing all of it and doing none of it.
VIEWING = [f"view_{model._meta.model_name}" for model in MODELS]
#: Actions that change nothing.
READING = {"preview", "export"}


@pytest.fixture
def rows(db: None) -> Rows:
    return make_one_of_each()


def test_every_view_has_an_address_that_can_be_tried(rows: Rows, admin_client: Client) -> None:
    assert [str(view) for view in VIEWS if not view.address(rows, admin_client)] == []


@EVERY_VIEW
def test_who_isnt_logged_in_is_sent_to_the_login(view: View, rows: Rows, admin_client: Client, client: Client) -> None:
    address = view.address(rows, admin_client)
    for response in (client.get(address), client.post(address)):
        assert response.status_code == 302
        assert urlsplit(response["Location"]).path == reverse("admin:login")


@EVERY_VIEW
def test_staff_without_permission_are_refused(view: View, rows: Rows, admin_client: Client, login: Login) -> None:
    address, client = view.address(rows, admin_client), login()
    refusals = {403} if view.only_leads_on else {403, 405}
    assert client.get(address, follow=True).status_code in refusals
    assert client.post(address, follow=True).status_code == 403


@EVERY_VIEW
def test_looking_changes_nothing(view: View, rows: Rows, admin_client: Client) -> None:
    address, before = view.address(rows, admin_client), contents()
    response = admin_client.get(address)
    expected = {302} if view.only_leads_on else {200, 403, 405}
    assert response.status_code in expected
    assert contents() == before


@EVERY_VIEW
def test_a_post_without_a_token_is_refused(view: View, rows: Rows, admin_client: Client, admin_user: User) -> None:
    address, before = view.address(rows, admin_client), contents()
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(admin_user)
    assert stranger.post(address, {"post": "yes", "confirmed": "1"}).status_code == 403
    assert contents() == before


@EVERY_VIEW
def test_an_address_that_names_nothing_is_no_error(view: View, rows: Rows, admin_client: Client) -> None:
    nonsense = {"q": "x" * 10_000, "p": "-1", "o": "x", "id__exact": "x", "_changelist_filters": "%"}
    for address in (view.address(rows, admin_client), view.address_of_nothing):
        assert admin_client.get(address, nonsense).status_code in {200, 302, 400, 403, 404, 405}


@pytest.mark.parametrize("model", MODELS)
def test_who_may_only_view_is_offered_nothing_that_changes_anything(
    model: type[Model], rows: Rows, login: Login
) -> None:
    client = login(f"view_{model._meta.model_name}")
    response = client.get(list_url(model))
    assert response.status_code == 200
    offered = set(re.findall(r'<option value="([a-z_]+)"', response.content.decode()))
    assert offered <= READING
    page = client.get(page_url(rows[model]))
    assert page.status_code == 200
    assert set(re.findall(r'name="action" value="([a-z_]+)"', page.content.decode())) <= READING


def test_who_may_only_view_can_change_nothing(rows: Rows, admin_client: Client, login: Login) -> None:
    """By no form that a superuser finds on any page, and by no request without one."""
    found = forms(admin_client, rows)
    assert {view_at(form.address) for form in found} >= {view_at(one.address) for one in ACTIONS} - {None}
    plain = [Form(view.address(rows, admin_client), {"post": "yes", "confirmed": "1"}) for view in VIEWS]
    client = login(*VIEWING)
    for form in found:
        before = contents()
        status = client.post(form.address, form.fields).status_code
        if form.fields.get("action") in READING:
            assert (status, without_history(contents())) == (200, without_history(before)), form
        else:
            assert (status, contents()) == (403, before), form
    before = contents()
    for form in plain:
        assert client.post(form.address, form.fields).status_code < 500, form
        assert contents() == before, form


@EVERY_ACTION
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "1"}, {"confirmed": "1", "select_across": "1"}])
def test_an_action_posted_without_its_permission_is_refused(
    one: Action, confirmed: dict[str, str], rows: Rows, login: Login
) -> None:
    before = contents()
    response = login(*VIEWING).post(one.address, {**one.payload(rows), **confirmed})
    if one.name in READING:
        assert response.status_code == 200
        assert without_history(contents()) == without_history(before)
    else:
        assert response.status_code == 403
        assert contents() == before


def without_history(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without Django's own history of who did what, which has exports in it."""
    return {label: rows for label, rows in tables.items() if label != LogEntry._meta.label}


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
    allowed = login("view_apicall", "view_recordresult", "view_customer")
    assert "secret@example.com" in text_of(allowed.get(page_url(call)))


def test_a_run_can_only_be_retried_with_the_permission_for_its_kind(login: Login) -> None:
    customers = make_run(kind=SyncRun.Kind.CUSTOMERS, rejected=1)
    memberships = make_run(kind=SyncRun.Kind.LISTS, rejected=1)
    client = login("view_syncrun", "push_customer")
    assert client.post(list_url(SyncRun), action("retry", memberships)).status_code == 403
    assert not memberships.retries.exists()
    assert client.post(list_url(SyncRun), action("retry", customers, confirmed=1)).status_code == 302
    assert customers.retries.exists()
