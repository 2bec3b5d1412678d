"""Customers: whose rows can be edited here, and what their page shows."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from blueshift_sync.admin.mixins import ReadOnlyAdmin
from blueshift_sync.models import Customer, ListMembership, RecordResult
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

from .conftest import Login
from .pages import add_url, page_url, text_of

FORM: dict[str, Any] = {
    "customer_id": "CUST-1",
    "email": "Ada@example.com",
    "firstname": "Ada",
    "lastname": "Lovelace",
    "uuid": "",
    "attributes": "{}",
    "subscription_groups": "[]",
}


def errors_of(response: Any) -> str:
    assert response.status_code == 200
    return html.unescape(response.context["adminform"].form.errors.as_text())


# Editing


def test_a_customer_made_by_hand_is_to_be_sent(admin_client: Client) -> None:
    values = FORM | {
        "attributes": '{"plan": "gold", "orders": 3}',
        "subscription_groups": '[{"id": "news", "subscribed": true}]',
    }
    assert admin_client.post(add_url(Customer), values).status_code == 302
    customer = Customer.objects.get()
    assert customer.state == Customer.State.PENDING
    assert customer.email_key == "ada@example.com"
    assert customer.attributes == {"plan": "gold", "orders": 3}
    assert customer.subscription_groups == [{"id": "news", "subscribed": True}]
    assert customer.fingerprint == customer.fingerprint_of_payload()
    assert customer.source_type is None


def test_a_change_by_hand_is_a_new_version_that_waits(admin_client: Client) -> None:
    customer = make_customer(state=Customer.State.SYNCED, version=4, synced_version=4, due_at=None)
    assert admin_client.post(page_url(customer), FORM | {"firstname": "Augusta"}).status_code == 302
    customer.refresh_from_db()
    assert customer.firstname == "Augusta"
    assert (customer.state, customer.version, customer.synced_version) == (Customer.State.PENDING, 5, 4)


def test_the_state_cant_be_posted(admin_client: Client) -> None:
    customer = make_customer(state=Customer.State.FAILED, version=4)
    admin_client.post(page_url(customer), FORM | {"state": "SYNCED", "version": 9, "synced_version": 9})
    customer.refresh_from_db()
    assert (customer.state, customer.version, customer.synced_version) == (Customer.State.PENDING, 5, 0)


def test_a_customer_that_a_source_owns_is_read_only(admin_client: Client) -> None:
    customer = make_customer(source_type="elsewhere.person", source_id="7")
    page = admin_client.get(page_url(customer))
    assert "A source of this site owns this record. Change it there, not here: elsewhere.person 7." in text_of(page)
    assert 'name="email"' not in page.content.decode()
    assert admin_client.post(page_url(customer), FORM).status_code == 403
    assert admin_client.post(page_url(customer, "delete"), {"post": "yes"}).status_code == 403


def test_a_customer_without_its_source_object_is_read_only_and_says_why(admin_client: Client) -> None:
    customer = make_customer(source_type="elsewhere.person", state=Customer.State.EXCLUDED)
    page = admin_client.get(page_url(customer))
    assert "Its source object was deleted" in text_of(page)
    assert "Send now, even if unchanged" not in text_of(page)
    assert admin_client.post(page_url(customer), FORM).status_code == 403


def test_the_source_is_linked_to_for_who_may_open_it(admin_client: Client, login: Login) -> None:
    person = User.objects.create(username="ada")
    customer = make_customer(source_type="auth.user", source_id=str(person.pk))
    link = f'href="/admin/auth/user/{person.pk}/change/"'
    assert link in admin_client.get(page_url(customer)).content.decode()
    unlinked = login("view_customer").get(page_url(customer))
    assert link not in unlinked.content.decode()
    assert f"auth.user {person.pk}" in text_of(unlinked)


def test_deleting_a_customer_made_by_hand_says_what_it_leaves_behind(admin_client: Client) -> None:
    customer = make_customer()
    result = make_result(customer=customer)
    assert "Blueshift is told nothing" in text_of(admin_client.get(page_url(customer, "delete")))
    admin_client.post(page_url(customer, "delete"), {"post": "yes"})
    assert not Customer.objects.exists()
    assert RecordResult.objects.get() == result


def test_the_memberships_that_go_with_a_customer_are_counted(admin_client: Client) -> None:
    customer = make_customer()
    for _ in range(3):
        make_membership(customer=customer)
    assert "List memberships: 3" in text_of(admin_client.get(page_url(customer, "delete")))
    admin_client.post(page_url(customer, "delete"), {"post": "yes"})
    assert not ListMembership.objects.exists()


@pytest.mark.parametrize("kept", [{"source_type": "site.person", "source_id": "1"}, {"state": "SENDING"}])
def test_a_customer_with_a_membership_that_cant_be_deleted_stays(admin_client: Client, kept: dict[str, str]) -> None:
    customer = make_membership(**kept).customer
    assert admin_client.post(page_url(customer, "delete"), {"post": "yes"}).status_code == 403
    assert Customer.objects.filter(pk=customer.pk).exists()


def test_deleting_a_customer_with_memberships_needs_the_permission_for_both(login: Login) -> None:
    customer = make_membership().customer
    only_customers = login("view_customer", "delete_customer")
    assert only_customers.post(page_url(customer, "delete"), {"post": "yes"}).status_code == 403
    login("view_customer", "delete_customer", "delete_listmembership").post(
        page_url(customer, "delete"), {"post": "yes"}
    )
    assert not Customer.objects.exists()


def test_a_customer_that_is_being_sent_cant_be_deleted(admin_client: Client) -> None:
    customer = make_customer(state=Customer.State.SENDING)
    assert admin_client.post(page_url(customer, "delete"), {"post": "yes"}).status_code == 403


# What the form refuses


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"customer_id": "", "email": ""}, "Give a customer ID or an e-mail address"),
        ({"attributes": "[1]"}, "Write a JSON object"),
        ({"attributes": "{"}, "Enter a valid JSON"),
        ({"attributes": '{"email": "x@example.com", "uuid": "1"}'}, "take them out of the attributes: email, uuid"),
        ({"attributes": '{"orders": NaN}'}, "This can't be sent"),
        ({"attributes": '{"note": "\\u0000"}'}, "This can't be sent"),
        ({"subscription_groups": '["news"]'}, "Write a JSON list"),
        ({"subscription_groups": '[{"id": "news", "subscribed": "yes"}]'}, "Write a JSON list"),
        ({"subscription_groups": '{"news": true}'}, "Write a JSON list"),
    ],
)
def test_the_form_refuses(values: dict[str, str], complaint: str, admin_client: Client) -> None:
    assert complaint in errors_of(admin_client.post(add_url(Customer), FORM | values))
    assert not Customer.objects.exists()


def test_a_customer_id_is_given_once(admin_client: Client) -> None:
    make_customer(customer_id="CUST-1")
    assert "already exists" in errors_of(admin_client.post(add_url(Customer), FORM))


def test_empty_json_boxes_mean_no_attributes_and_no_groups(admin_client: Client) -> None:
    admin_client.post(add_url(Customer), FORM | {"attributes": "", "subscription_groups": "", "customer_id": ""})
    customer = Customer.objects.get()
    assert (customer.attributes, customer.subscription_groups, customer.customer_id) == ({}, [], None)


# The page


def test_the_page_says_where_the_customer_stands(admin_client: Client) -> None:
    customer = make_customer(
        state=Customer.State.FAILED,
        version=7,
        synced_version=6,
        attempts=3,
        error_code="user_identifier_missing",
        error_message="No valid identifier found. " * 20,
        contested_customer_id="CUST-9",
        attributes={"plan": "gold"},
        source_type="elsewhere.person",
        source_id="7",
    )
    response = admin_client.get(page_url(customer))
    text = text_of(response)
    for expected in ("Failed", "7; Blueshift has 6", "user_identifier_missing", "CUST-9", customer.error_message):
        assert expected.strip() in text
    assert json.dumps({"plan": "gold"}, indent=2).replace('"', "&quot;") in response.content.decode()


def test_the_page_shows_the_latest_calls_with_the_outcome_of_this_customer(admin_client: Client) -> None:
    customer = make_customer()
    results = [make_result(customer=customer, call=make_call()) for _ in range(25)]
    page = admin_client.get(page_url(customer)).content.decode()
    shown = [result for result in results if f'href="{page_url(result.call)}"' in page]
    assert shown == results[-20:]
    assert f"customer__id__exact={customer.pk}" in page


def test_the_page_bounds_the_memberships_that_it_shows(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.customers.MEMBERSHIPS_SHOWN", 2)
    customer = make_customer()
    first, *later = [make_membership(customer=customer, customer_list=make_list()) for _ in range(3)]
    page = admin_client.get(page_url(customer)).content.decode()
    assert page_url(first) not in page
    assert all(page_url(membership) in page for membership in later)
    assert "All memberships" in page


def test_the_page_takes_no_query_for_each_row_of_its_tables(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    customer = make_customer(run=make_run())
    for _ in range(10):
        make_membership(customer=customer)
        make_result(customer=customer)
    admin_client.get(page_url(customer))
    with django_assert_max_num_queries(10) as captured:
        admin_client.get(page_url(customer))
    assert not [query for query in captured if "response_body" in query["sql"]]


def test_customers_can_be_chosen_by_how_their_address_begins(admin_client: Client) -> None:
    wanted = make_customer(customer_id=None, email="ada@example.com")
    make_customer()
    query = {"term": "ADA@", "app_label": "blueshift_sync", "model_name": "listmembership", "field_name": "customer"}
    answer = admin_client.get("/admin/autocomplete/", query).json()
    assert answer["results"] == [{"id": str(wanted.pk), "text": "ada@example.com"}]


def test_no_admin_of_the_app_offers_all_rows_in_a_select() -> None:
    for model_admin in admin.site._registry.values():
        if model_admin.opts.app_label == "blueshift_sync" and not isinstance(model_admin, ReadOnlyAdmin):
            editable = [field for field in model_admin.opts.fields if field.is_relation and field.editable]
            assert {field.name for field in editable} <= set(model_admin.autocomplete_fields), model_admin
