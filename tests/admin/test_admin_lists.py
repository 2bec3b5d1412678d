"""Lists over large tables: what they cost, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from blueshift_sync.admin.changelists import AtLeast, BoundedPaginator
from blueshift_sync.admin.customers import customers_called
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

from .pages import MODELS, list_url, text_of
from .rows import make_one_of_each

LARGE = [model for model in MODELS if model is not CustomerList]


def found(client: Client, model: type[Model], **query: str) -> list[Any]:
    """The primary keys that the list shows for this query."""
    response = client.get(list_url(model), query)
    assert response.status_code == 200, response.get("Location")
    return [row.pk for row in response.context["cl"].result_list]


# Cost


@pytest.mark.parametrize("model", MODELS)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(model: type[Model], admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(list_url(model)).status_code == 200
        return len(captured)

    make_one_of_each()
    queries()  # the first page fills caches of content types
    few = queries()
    for _ in range(12):
        make_one_of_each()
    assert queries() == few


@pytest.mark.parametrize("model", LARGE)
def test_a_list_never_counts_without_a_limit(model: type[Model], admin_client: Client) -> None:
    make_one_of_each()
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(list_url(model))
    counts = [query["sql"] for query in captured if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT" in sql for sql in counts)


@pytest.mark.parametrize("model", [ApiCall, RecordResult])
def test_a_list_of_calls_or_results_reads_no_bodies(model: type[Model], admin_client: Client) -> None:
    make_one_of_each()
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(list_url(model))
    assert not [query["sql"] for query in captured if "response_body" in query["sql"]]


def test_counting_stops_at_the_bound_and_says_so(monkeypatch: pytest.MonkeyPatch, admin_client: Client) -> None:
    monkeypatch.setattr(BoundedPaginator, "bound", 60)
    for _ in range(70):
        make_run()
    response = admin_client.get(list_url(SyncRun))
    assert ">60 runs" in text_of(response)
    assert "?p=2" in response.content.decode()
    assert len(found(admin_client, SyncRun, p="2")) == 10


def test_a_count_below_the_bound_is_exact(admin_client: Client) -> None:
    for _ in range(3):
        make_run()
    assert "3 runs" in text_of(admin_client.get(list_url(SyncRun)))


def test_at_least_calculates_as_the_number_that_it_is() -> None:
    assert AtLeast(10_000) + 1 == 10_001
    assert f"{AtLeast(10_000)} rows" == ">10000 rows"


@pytest.mark.parametrize("model", LARGE)
def test_no_filter_reads_the_table_for_its_choices(model: type[Model]) -> None:
    filters = admin.site.get_model_admin(model).list_filter
    names = [entry if isinstance(entry, str) else None for entry in filters]
    fields = [model._meta.get_field(name) for name in names if name]
    assert fields
    assert all(field.choices or field.get_internal_type() == "BooleanField" for field in fields)


def test_a_search_compares_in_ways_that_an_index_serves() -> None:
    columns, comparisons = zip(*(condition.split("__") for condition in customers_called("Jane")), strict=True)
    assert columns == ("customer_id", "email_key")
    assert set(comparisons) == {"startswith"}
    indexes = [*Customer._meta.indexes, *Customer._meta.constraints]
    assert set(columns) <= {next(iter(getattr(index, "fields", [])), "") for index in indexes}


def test_lists_link_to_pages_without_a_query_for_each_record(admin_client: Client) -> None:
    membership = make_membership()
    make_result(customer=membership.customer, membership=membership, identifier="ada@example.com")
    page = admin_client.get(list_url(RecordResult)).content.decode()
    assert f'href="/admin/blueshift_sync/listmembership/{membership.pk}/change/">ada@example.com' in page


# Search


@pytest.mark.parametrize("term", ["CUST-12", "CUST-123", "jane.doe@example.com", "JANE.doe", "  CUST-123 "])
def test_customers_are_found_by_how_their_identifiers_begin(term: str, admin_client: Client) -> None:
    wanted = make_customer(customer_id="CUST-123", email="Jane.Doe@example.com")
    make_customer(customer_id="OTHER-CUST-123", email="not.jane.doe@example.com")
    assert found(admin_client, Customer, q=term) == [wanted.pk]


@pytest.mark.parametrize("term", ["CUST-12", "Jane.Doe@example.com"])
def test_memberships_are_found_by_their_customer(term: str, admin_client: Client) -> None:
    wanted = make_membership(customer=make_customer(customer_id="CUST-123", email="jane.doe@example.com"))
    make_membership()
    assert found(admin_client, ListMembership, q=term) == [wanted.pk]


def test_calls_are_found_by_request_id_and_by_number(admin_client: Client) -> None:
    wanted = make_call(request_id="9f4c1f7e")
    make_call()
    for term in ("9f4c1f7e", f"#{wanted.pk}", str(wanted.pk)):
        assert found(admin_client, ApiCall, q=term) == [wanted.pk]
    assert found(admin_client, ApiCall, q="9f4c") == []


@pytest.mark.parametrize(
    "term_of",
    [
        lambda result: result.customer.customer_id,
        lambda result: result.customer.email.upper(),
        lambda result: result.call.request_id,
        lambda result: f"#{result.pk}",
    ],
    ids=["customer ID", "e-mail", "request ID", "number"],
)
def test_results_are_found(term_of: Callable[[RecordResult], str], admin_client: Client) -> None:
    wanted = make_result(customer=make_customer(), call=make_call(request_id="9f4c1f7e"))
    make_result(customer=make_customer())
    assert found(admin_client, RecordResult, q=term_of(wanted)) == [wanted.pk]


def test_a_number_that_no_column_can_hold_finds_nothing(admin_client: Client) -> None:
    make_run()
    for term in ("9" * 18, "9" * 40):
        assert found(admin_client, SyncRun, q=term) == []


def test_lists_are_found_by_number_and_by_a_part_of_the_name(admin_client: Client) -> None:
    wanted = make_list(list_id=35869, name="Spring campaign")
    make_list()
    for term in ("35869", "campaign"):
        assert found(admin_client, CustomerList, q=term) == [wanted.pk]


# Filters


def test_a_linked_filter_shows_what_it_filters_by_and_can_be_removed(admin_client: Client) -> None:
    run = make_run()
    wanted = make_call(run=run)
    make_call()
    assert found(admin_client, ApiCall, run__id__exact=str(run.pk)) == [wanted.pk]
    page = text_of(admin_client.get(list_url(ApiCall), {"run__id__exact": run.pk}))
    assert str(run) in page.partition("By run")[2]
    assert "By run" not in text_of(admin_client.get(list_url(ApiCall)))


def test_rejected_results_of_a_run_can_be_linked_to(admin_client: Client) -> None:
    call = make_call(run=make_run())
    wanted = make_result(call=call, outcome=RecordResult.Outcome.REJECTED)
    make_result(call=call)
    make_result(outcome=RecordResult.Outcome.REJECTED)
    query = {"call__run__id__exact": str(call.run_id), "outcome__exact": "REJECTED"}
    assert found(admin_client, RecordResult, **query) == [wanted.pk]


def test_what_went_wrong_with_a_record_leads_to_all_with_the_same_problem(admin_client: Client) -> None:
    failed = make_customer(state=Customer.State.FAILED, error_code="value_not_sendable", error_message="No JSON.")
    parked = make_customer(error_code="no_turn", error_message="It waits.", due_at=None)
    make_customer()
    page = admin_client.get(list_url(Customer)).content.decode()
    assert f'href="?error_cause__exact={failed.error_cause}"' in page
    assert found(admin_client, Customer, error_cause__exact=failed.error_cause) == [failed.pk]
    assert 'href="?state__exact=PENDING&amp;error_code__exact=no_turn"' in page
    query = {"state__exact": "PENDING", "error_code__exact": "no_turn"}
    assert found(admin_client, Customer, **query) == [parked.pk]


def test_what_a_record_waits_for_without_a_code_is_no_link(admin_client: Client) -> None:
    waiting = make_customer(error_message="It waits for its customer.", due_at=None)
    page = admin_client.get(list_url(Customer)).content.decode()
    assert waiting.error_message in page
    assert "error_code__exact" not in page
    assert found(admin_client, Customer, error_code__exact="") == [waiting.pk]


def test_a_filter_by_no_number_is_dropped(admin_client: Client) -> None:
    make_call()
    response = admin_client.get(list_url(ApiCall), {"run__id__exact": "abc"})
    assert response["Location"].endswith("?e=1")


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (ApiCall, "request_body__contains"),
        (ApiCall, "response_body"),
        (RecordResult, "call__request_body__contains"),
        (RecordResult, "customer__email__contains"),
        (ListMembership, "customer__attributes__plan"),
        (SyncRun, "requested_by__password__startswith"),
        (Customer, "email__contains"),
    ],
)
def test_nothing_can_be_guessed_or_scanned_by_a_lookup_that_no_filter_offers(
    model: type[Model], lookup: str, admin_client: Client
) -> None:
    make_one_of_each()
    assert admin_client.get(list_url(model), {lookup: "a"}).status_code == 400


@pytest.mark.parametrize("model", MODELS)
def test_every_choice_of_every_filter_works(model: type[Model], admin_client: Client) -> None:
    make_one_of_each()
    changelist = admin_client.get(list_url(model)).context["cl"]
    choices = [choice for spec in changelist.filter_specs for choice in spec.choices(changelist)]
    assert choices
    for choice in choices:
        assert admin_client.get(list_url(model) + choice["query_string"]).status_code == 200


# What the lists say


def test_a_customers_row_says_where_it_stands(admin_client: Client) -> None:
    make_customer(
        customer_id="CUST-1",
        email="ada@example.com",
        state=Customer.State.FAILED,
        error_code="user_identifier_missing",
        error_message="No valid identifier found.",
    )
    text = text_of(admin_client.get(list_url(Customer)))
    for expected in ("CUST-1", "ada@example.com", "Failed", "user_identifier_missing", "No valid identifier found."):
        assert expected in text


def test_an_asynchronous_list_call_is_only_accepted_for_processing(admin_client: Client) -> None:
    make_call(endpoint=ApiCall.Endpoint.LIST_ADD, url="https://api.getblueshift.com/api/v1/x/35869?async=true")
    assert "Accepted for processing" in text_of(admin_client.get(list_url(ApiCall)))
