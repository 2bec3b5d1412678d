"""The audit in the admin: every way to add, change or delete it is tried, by a superuser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from blueshift_sync.models import ApiCall, Customer, CustomerList, CustomerRemoval, RecordResult, SyncRun
from tests.factories import make_call, make_detached_customer, make_list, make_removal, make_result, make_run

from .pages import AUDIT, action, add_url, list_url, page_url
from .rows import make_one_of_each

Rows = dict[type[Model], Model]


@pytest.fixture
def rows(db: None) -> Rows:
    return make_one_of_each()


def evidence() -> dict[str, list[dict[str, Any]]]:
    """All that the audit says."""
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in AUDIT}


@pytest.mark.parametrize("model", AUDIT)
@pytest.mark.parametrize("popup", ["", "?_popup=1", "?_to_field=id&_popup=1"])
def test_no_address_adds_changes_or_deletes(model: type[Model], popup: str, rows: Rows, admin_client: Client) -> None:
    before = evidence()
    row = rows[model]
    fields = {field.name: "1" for field in model._meta.concrete_fields}
    for address in (add_url(model), page_url(row), page_url(row, "delete"), list_url(model)):
        for extra in ({}, {"post": "yes"}, {"_save": 1}, {"_saveasnew": 1}, {"_popup": 1}):
            response = admin_client.post(address + popup, {**fields, **extra})
            assert response.status_code in {200, 302, 403}
            assert evidence() == before


@pytest.mark.parametrize("model", AUDIT)
@pytest.mark.parametrize("select_across", [0, 1])
def test_no_bulk_action_deletes(model: type[Model], select_across: int, rows: Rows, admin_client: Client) -> None:
    before = evidence()
    for more in ({}, {"post": "yes"}, {"_popup": 1}, {"_save": 1}):
        admin_client.post(list_url(model), action("delete_selected", rows[model], select_across=select_across, **more))
    assert evidence() == before


@pytest.mark.parametrize("model", AUDIT)
def test_the_list_edits_nothing(model: type[Model], rows: Rows, admin_client: Client) -> None:
    before = evidence()
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": rows[model].pk, "form-0-state": "FAILED"}
    admin_client.post(list_url(model), {**form, "_save": 1})
    assert evidence() == before
    assert not admin.site._registry[model].list_editable


@pytest.mark.parametrize("model", AUDIT)
def test_the_history_is_for_reading(model: type[Model], rows: Rows, admin_client: Client) -> None:
    before = evidence()
    assert admin_client.get(page_url(rows[model], "history")).status_code == 200
    admin_client.post(page_url(rows[model], "history"), {"post": "yes"})
    assert evidence() == before


def test_no_other_admin_page_lets_anybody_edit_it_inline() -> None:
    for model_admin in admin.site._registry.values():
        assert not {inline.model for inline in model_admin.inlines} & set(AUDIT)


def test_what_the_audit_refers_to_is_deleted_without_it(admin_client: Client) -> None:
    """Customers, lists and users may go, by their own pages; the records of what was sent stay."""
    user = User.objects.create(username="olga")
    run = make_run(requested_by=user)
    customer, customer_list = make_detached_customer(customer_id="ada-1"), make_list()
    call = make_call(run=run, customer_list=customer_list)
    result = make_result(call=call, customer=customer, identifier="ada-1")
    removal = make_removal(customer=customer, identifier="ada-1", state="SYNCED")
    users_page = reverse("admin:auth_user_delete", args=[user.pk])
    for address in (page_url(customer, "delete"), page_url(customer_list, "delete"), users_page):
        assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Customer.objects.exists()
    assert not CustomerList.objects.exists()
    assert [row.pk for row in (*SyncRun.objects.all(), *ApiCall.objects.all())] == [run.pk, call.pk]
    assert RecordResult.objects.get().identifier == result.identifier
    assert CustomerRemoval.objects.get().identifier == removal.identifier


def test_nothing_but_a_call_takes_results_with_it() -> None:
    """So no confirmation page of another model can cascade to the audit."""
    cascading = {
        (relation.model, relation.related_model)
        for model in AUDIT
        for relation in [field.remote_field for field in model._meta.get_fields() if field.many_to_one]
        if relation.on_delete.__name__ == "CASCADE"
    }
    assert cascading == {(ApiCall, RecordResult)}
