"""Filters find what they say; what can't be understood is refused by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.exceptions import ValidationError
from rest_framework.test import APIClient

from blueshift_sync.api.filters import CustomerFilters, MembershipFilters
from blueshift_sync.models import ListMembership
from tests.api.helpers import ENDPOINT, ENDPOINTS, Endpoint, ids, make_user
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


@pytest.mark.parametrize(
    ("name", "wanted", "other"),
    [
        ("customers", {"customer_id": "Ab1"}, {"customer_id": "ab1"}),
        ("customers", {"customer_id": "a "}, {"customer_id": "a"}),
        ("customers", {"uuid": "u-1"}, {"uuid": "u-2"}),
        ("customers", {"state": "FAILED"}, {"state": "SENDING"}),
        ("customers", {"error_code": "bad_email"}, {}),
        ("customers", {"source_type": "shop.customer", "source_id": "7"}, {"source_type": "shop.customer"}),
        ("lists", {"list_id": 35869}, {"list_id": 35870}),
        ("lists", {"name": "VIP"}, {}),
        ("lists", {"identifier_key": "customer_id"}, {"identifier_key": "email"}),
        ("lists", {"status": "DELETED"}, {}),
        ("lists", {"mode": "sync"}, {"mode": "async"}),
        ("memberships", {"state": "FAILED"}, {"state": "SYNCED"}),
        ("memberships", {"error_code": "list_deleted"}, {}),
        ("memberships", {"source_type": "shop.newslettersignup", "source_id": "7"}, {}),
        ("runs", {"kind": "LISTS"}, {"kind": "CUSTOMERS"}),
        ("runs", {"trigger": "ADMIN"}, {"trigger": "API"}),
        ("runs", {"state": "PARTIAL"}, {"state": "RUNNING"}),
        ("calls", {"endpoint": "LIST_ADD"}, {"endpoint": "LIST_REMOVE"}),
        ("calls", {"state": "UNKNOWN"}, {"state": "OPEN"}),
        ("calls", {"status_code": 429}, {"status_code": None}),
        ("calls", {"request_id": "r-1"}, {"request_id": "r-2"}),
        ("calls", {"error_code": "timeout"}, {}),
        ("calls", {"job_id": "j-1"}, {"job_id": "j-2"}),
        ("calls", {"attempt": 2}, {"attempt": 1}),
        ("results", {"identifier": "Ada"}, {"identifier": "ada"}),
        ("results", {"outcome": "REJECTED"}, {"outcome": "RETRY"}),
        ("results", {"code": "invalid"}, {"code": "other"}),
    ],
)
def test_a_filter_finds_the_rows_with_this_value(
    reader: APIClient, name: str, wanted: dict[str, Any], other: dict[str, Any]
) -> None:
    endpoint = ENDPOINT[name]
    row = endpoint.make(**wanted)
    endpoint.make(**other)

    assert ids(reader.get(endpoint.list_url, wanted)) == [row.pk]


@pytest.mark.parametrize(
    ("name", "filter_name", "make_related"),
    [
        ("customers", "run", make_run),
        ("memberships", "run", make_run),
        ("memberships", "customer", make_customer),
        ("memberships", "customer_list", make_list),
        ("runs", "requested_by", make_user),
        ("runs", "retry_of", make_run),
        ("calls", "run", make_run),
        ("calls", "customer_list", make_list),
        ("results", "call", make_call),
        ("results", "customer", make_customer),
        ("results", "membership", make_membership),
    ],
)
def test_a_filter_finds_the_rows_of_a_related_row(
    reader: APIClient, name: str, filter_name: str, make_related: Any
) -> None:
    endpoint = ENDPOINT[name]
    related, unrelated = make_related(), make_related()
    row = endpoint.make(**{filter_name: related})
    endpoint.make(**{filter_name: unrelated})

    assert ids(reader.get(endpoint.list_url, {filter_name: related.pk})) == [row.pk]


BY_CUSTOMER: list[dict[str, Any]] = [
    {"customer__customer_id": "Ab1"},
    {"customer__email": "ANN@example.com"},
    {"customer__source_type": "Shop.Customer", "customer__source_id": "7"},
]


@pytest.mark.parametrize("parameters", BY_CUSTOMER, ids=str)
def test_rows_are_found_by_what_their_customer_is_known_by(reader: APIClient, parameters: dict[str, Any]) -> None:
    ann = make_customer(customer_id="Ab1", email="ann@example.com", source_type="shop.customer", source_id="7")
    bob = make_customer(source_type="shop.customer", source_id="8")
    cleo = make_customer(source_type="shop.plan", source_id="7")
    membership = make_membership(customer=ann)
    run, other_run = make_run(), make_run()
    result = make_result(customer=ann, call=make_call(run=run))
    for other in (bob, cleo):  # both in one call: neither is the customer that is asked for
        make_membership(customer=other)
        make_result(customer=other, call=make_call(run=other_run))
    both = make_call(run=other_run)
    make_result(customer=bob, call=both, position=0)
    make_result(customer=cleo, call=both, position=1)

    found = {name: ids(reader.get(ENDPOINT[name].list_url, parameters)) for name in ("memberships", "results")}
    assert found == {"memberships": [membership.pk], "results": [result.pk]}
    assert ids(reader.get(ENDPOINT["calls"].list_url, parameters)) == [result.call.pk]
    assert ids(reader.get(ENDPOINT["runs"].list_url, parameters)) == [run.pk]
    for name in ("memberships", "results", "calls", "runs"):
        assert len(ids(reader.get(ENDPOINT[name].list_url, {"customer": ann.pk}))) == 1


def test_rows_are_found_by_their_list(reader: APIClient) -> None:
    membership = make_membership()
    make_membership(customer_list=membership.customer_list, is_member=False)
    run = make_run()
    result = make_result(call=make_call(run=run, customer_list=membership.customer_list))
    make_result()
    of_list = {"customer_list": membership.customer_list.pk}

    assert ids(reader.get(ENDPOINT["customers"].list_url, of_list)) == [membership.customer.pk]
    assert ids(reader.get(ENDPOINT["runs"].list_url, of_list)) == [run.pk]
    assert ids(reader.get(ENDPOINT["results"].list_url, of_list)) == [result.pk]


def test_a_model_that_does_not_exist_is_refused_and_those_with_a_source_named(reader: APIClient) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, {"source_type": "shop.custommer"})

    assert response.status_code == 400
    assert "shop.customer" in response.json()["errors"]["source_type"][0]


def test_results_are_found_by_the_run_of_their_call(reader: APIClient) -> None:
    run = make_run()
    result = make_result(call=make_call(run=run))
    make_result()

    assert ids(reader.get(ENDPOINT["results"].list_url, {"run": run.pk})) == [result.pk]


@pytest.mark.parametrize("text", ["ada@example.com", "ADA@Example.com", " ada@example.com "])
def test_an_email_is_found_whatever_its_case(reader: APIClient, text: str) -> None:
    customer = make_customer(email="Ada@Example.COM")
    make_customer()

    assert ids(reader.get(ENDPOINT["customers"].list_url, {"email": text})) == [customer.pk]


@pytest.mark.parametrize(("text", "is_member"), [("true", True), ("false", False)])
@pytest.mark.parametrize("filter_name", ["is_member", "synced_is_member"])
def test_members_are_told_from_former_ones(reader: APIClient, filter_name: str, text: str, is_member: bool) -> None:
    row = make_membership(**{filter_name: is_member})
    make_membership(**{filter_name: not is_member})

    assert ids(reader.get(ENDPOINT["memberships"].list_url, {filter_name: text})) == [row.pk]


TIME_FIELDS = [
    (endpoint, filter_name.removesuffix("__gte"))
    for endpoint in ENDPOINTS
    for filter_name in endpoint.view.filterset_class.base_filters
    if filter_name.endswith(("_at__gte", "_since__gte")) and not filter_name.startswith("call__")
]


@pytest.mark.parametrize(
    "noon", ["2026-03-02T12:00:00Z", "2026-03-02T14:00:00+02:00", "2026-03-02 12:00:00.000000+00:00"]
)
@pytest.mark.parametrize(
    ("endpoint", "field"), TIME_FIELDS, ids=lambda value: value if isinstance(value, str) else value.name
)
def test_times_are_compared_as_moments(reader: APIClient, endpoint: Endpoint, field: str, noon: str) -> None:
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    before, at, after = [endpoint.make(**{field: day}).pk for day in days]

    def found(lookup: str) -> list[int]:
        return ids(reader.get(endpoint.list_url, {f"{field}__{lookup}": noon, "ordering": "id"}))

    assert found("lt") == [before]
    assert found("lte") == [before, at]
    assert found("gt") == [after]
    assert found("gte") == [at, after]


def test_results_are_found_by_when_their_call_began(reader: APIClient) -> None:
    make_result(call=make_call(started_at=datetime(2026, 3, 1, 12, tzinfo=UTC)))
    later = make_result(call=make_call(started_at=datetime(2026, 3, 4, 12, tzinfo=UTC)))

    assert ids(reader.get(ENDPOINT["results"].list_url, {"call__started_at__gte": "2026-03-03"})) == [later.pk]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_end_of_the_calendar_is_one(reader: APIClient, moment: str) -> None:
    make_call()

    assert len(ids(reader.get(ENDPOINT["calls"].list_url, {"started_at__gte": moment}))) == moment.startswith("0")


def test_a_time_may_be_a_date(reader: APIClient) -> None:
    make_call(started_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
    later = make_call(started_at=datetime(2026, 3, 4, 12, tzinfo=UTC))

    assert ids(reader.get(ENDPOINT["calls"].list_url, {"started_at__gte": "2026-03-03"})) == [later.pk]


def test_a_range_of_status_codes(reader: APIClient) -> None:
    make_call(status_code=200)
    failed = make_call(status_code=503)

    assert ids(reader.get(ENDPOINT["calls"].list_url, {"status_code__gte": 500})) == [failed.pk]


def test_several_filters_must_all_fit(reader: APIClient) -> None:
    wanted = make_customer(state="FAILED", error_code="bad_email")
    make_customer(state="FAILED")
    make_customer(error_code="bad_email")

    parameters = {"state": "FAILED", "error_code": "bad_email"}
    assert ids(reader.get(ENDPOINT["customers"].list_url, parameters)) == [wanted.pk]


@each_endpoint
@pytest.mark.parametrize("name", ["unheard_of", "state__in", "id__gte", "format", "page", "limit", ""])
def test_an_unknown_parameter_is_refused_by_name(reader: APIClient, endpoint: Endpoint, name: str) -> None:
    response = reader.get(endpoint.list_url, {name: "1"})

    assert response.status_code == 400
    assert response.json()["errors"].keys() == {name}
    assert "ordering" in response.json()["errors"][name][0]


@each_endpoint
def test_every_unknown_parameter_is_named(reader: APIClient, endpoint: Endpoint) -> None:
    response = reader.get(endpoint.list_url, {"one": "1", "two": "2"})

    assert response.json()["errors"].keys() == {"one", "two"}


@each_endpoint
def test_a_detail_takes_no_parameters(reader: APIClient, endpoint: Endpoint) -> None:
    response = reader.get(endpoint.detail_url(endpoint.make().pk), {"state": "FAILED"})

    assert response.status_code == 400
    assert response.json()["errors"].keys() == {"state"}


@each_endpoint
def test_no_filter_is_left_out_when_its_value_is_empty_or_repeated(reader: APIClient, endpoint: Endpoint) -> None:
    for name in [*endpoint.view.filterset_class.base_filters, "ordering", "page_size", "cursor"]:
        for values in ("", " ", ["1", "1"]):
            response = reader.get(endpoint.list_url, {name: values})

            assert response.status_code == 400, (name, values)
            assert response.json()["errors"].keys() == {name}


@pytest.mark.parametrize(
    ("name", "filter_name", "value"),
    [
        ("customers", "state", "failed"),
        ("customers", "state", "null"),
        ("customers", "run", "abc"),
        ("customers", "run", "1.5"),
        ("customers", "run", str(2**63)),
        ("customers", "run", "9" * 5000),
        ("customers", "created_at__gte", "yesterday"),
        ("customers", "created_at__gte", "2026-02-30"),
        ("customers", "created_at__gte", "2026-03-02T14:00:00 02:00"),
        ("customers", "customer_id", "a\0b"),
        ("customers", "email", "a\0b"),
        ("lists", "list_id", str(-(2**63) - 1)),
        ("lists", "status", "GONE"),
        ("memberships", "is_member", "maybe"),
        ("memberships", "customer", str(2**64)),
        ("runs", "requested_by", "ada"),
        ("calls", "status_code", str(2**63)),
        ("calls", "endpoint", "customers"),
        ("results", "outcome", "OK"),
        ("results", "run", "x"),
    ],
)
def test_an_impossible_value_is_refused_by_name(reader: APIClient, name: str, filter_name: str, value: str) -> None:
    response = reader.get(ENDPOINT[name].list_url, {filter_name: value})

    assert response.status_code == 400
    assert response.json()["errors"].keys() == {filter_name}


def test_the_refusal_of_a_state_names_the_states(reader: APIClient) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, {"state": "BROKEN"})

    assert "BROKEN" in response.json()["errors"]["state"][0]
    assert "PENDING, SENDING, SYNCED, FAILED, EXCLUDED" in response.json()["errors"]["state"][0]


def test_the_filters_take_a_json_object_as_well() -> None:
    wanted = make_membership(is_member=False)
    make_membership(customer_list=wanted.customer_list)

    parameters = {"is_member": False, "customer_list": wanted.customer_list.pk}
    assert list(ListMembership.objects.filter(MembershipFilters.where_json(parameters))) == [wanted]


@pytest.mark.parametrize("value", [None, 1.5, ["FAILED"], {"in": ["FAILED"]}, "\ud800", "", []])
def test_a_json_value_that_no_filter_can_take_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        CustomerFilters.where_json({"error_code": value})

    assert refusal.value.detail.keys() == {"error_code"}
