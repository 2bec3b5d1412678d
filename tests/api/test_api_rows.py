"""What is shown of a row, and to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from blueshift_sync.api.rendering import AsciiJSONRenderer
from tests.api.helpers import ENDPOINT, ENDPOINTS, Endpoint, client_of, ids, make_user
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)

STATE = {
    "state",
    "version",
    "synced_version",
    "attempts",
    "due_at",
    "waiting_since",
    "synced_at",
    "error_code",
    "error_message",
}


def detail(client: APIClient, name: str, pk: int) -> dict[str, Any]:
    response = client.get(ENDPOINT[name].detail_url(pk))
    assert response.status_code == 200, response.content
    shown: dict[str, Any] = response.json()
    return shown


@each_endpoint
def test_a_detail_shows_at_least_what_the_list_shows(reader: APIClient, endpoint: Endpoint) -> None:
    row = endpoint.make()

    [listed] = reader.get(endpoint.list_url).json()["results"]

    assert listed.items() <= detail(reader, endpoint.name, row.pk).items()


@each_endpoint
def test_claims_and_fingerprints_stay_inside(reader: APIClient, endpoint: Endpoint) -> None:
    shown = detail(reader, endpoint.name, endpoint.make().pk)

    assert not [name for name in shown if "claim" in name or "fingerprint" in name or name == "batch_limit"]


@each_endpoint
@pytest.mark.parametrize("pk", ["0", "999999", str(2**63), "9" * 30, "9" * 5000, "-1", "1.5", "abc", "%00", "٣"])
def test_an_id_that_does_not_exist_is_not_found(reader: APIClient, endpoint: Endpoint, pk: str) -> None:
    endpoint.make()

    assert reader.get(f"{endpoint.list_url}{pk}/").status_code == 404


@each_endpoint
def test_the_endpoints_work_under_another_namespace(reader: APIClient, endpoint: Endpoint) -> None:
    rows = [endpoint.make().pk for _ in range(2)]
    url = reverse(f"elsewhere:{endpoint.name}-list")

    first = reader.get(url, {"page_size": 1})

    assert first.json()["next"].startswith(f"http://testserver{url}?")
    assert sorted(ids(first) + ids(reader.get(first.json()["next"]))) == rows


@pytest.mark.parametrize("accept", ["application/json", "text/html", "application/xml", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(reader: APIClient, accept: str) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, headers={"Accept": accept})

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


def test_text_without_a_utf8_form_is_escaped() -> None:
    assert AsciiJSONRenderer().render({"message": "\ud800"}) == b'{"message":"\\ud800"}'


def test_a_customer_shows_its_fields_and_its_state(reader: APIClient) -> None:
    customer = make_customer(
        attributes={"plan": "gold"},
        subscription_groups=[{"id": "sg-1", "subscribed": True}],
        state="SENDING",
        version=3,
        synced_version=2,
        synced_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        run=make_run(),
    )

    shown = detail(reader, "customers", customer.pk)

    assert shown.keys() >= STATE
    assert shown["customer_id"] == customer.customer_id
    assert shown["email"] == customer.email
    assert shown["attributes"] == {"plan": "gold"}
    assert shown["subscription_groups"] == [{"id": "sg-1", "subscribed": True}]
    assert (shown["state"], shown["version"], shown["synced_version"]) == ("SENDING", 3, 2)
    assert datetime.fromisoformat(shown["synced_at"]) == customer.synced_at
    assert shown["run"] == customer.run.pk


def test_a_membership_shows_both_ends_and_its_state(reader: APIClient) -> None:
    membership = make_membership(is_member=False, synced_is_member=True)

    shown = detail(reader, "memberships", membership.pk)

    assert shown.keys() >= STATE
    assert shown["customer"] == membership.customer.pk
    assert shown["customer_list"] == membership.customer_list.pk
    assert (shown["is_member"], shown["synced_is_member"]) == (False, True)


def test_times_and_large_numbers_look_alike_on_every_site(reader: APIClient, settings: Any) -> None:
    settings.REST_FRAMEWORK = {"DATETIME_FORMAT": "%d %b", "COERCE_BIGINT_TO_STRING": True}
    customer_list = make_list(list_id=2**53, created_at=datetime(2026, 3, 2, 12, tzinfo=UTC))

    shown = detail(reader, "lists", customer_list.pk)

    assert shown["list_id"] == 2**53
    assert datetime.fromisoformat(shown["created_at"]) == customer_list.created_at


def test_a_run_says_who_asked_for_it(reader: APIClient) -> None:
    user = make_user()

    shown = detail(reader, "runs", make_run(requested_by=user).pk)

    assert (shown["requested_by"], shown["requested_by_name"]) == (user.pk, str(user))


def test_a_run_that_nobody_asked_for_says_so(reader: APIClient) -> None:
    shown = detail(reader, "runs", make_run().pk)

    assert (shown["requested_by"], shown["requested_by_name"]) == (None, None)


def test_a_result_shows_what_became_of_the_record(reader: APIClient) -> None:
    result = make_result(outcome="REJECTED", code="invalid", message="No such e-mail.", details={"field": "email"})

    shown = detail(reader, "results", result.pk)

    assert shown["call"] == result.call.pk
    assert (shown["outcome"], shown["code"], shown["message"]) == ("REJECTED", "invalid", "No such e-mail.")
    assert shown["details"] == {"field": "email"}


def test_bodies_are_shown_to_those_who_may_read_them() -> None:
    call = make_call(request_body="sent", response_body="received")
    client = client_of(make_user("view_apicall", "view_apicall_body"))

    shown = detail(client, "calls", call.pk)

    assert (shown["request_body"], shown["response_body"], shown["bodies_note"]) == ("sent", "received", None)


def test_bodies_are_hidden_from_all_others_who_are_told_what_they_need() -> None:
    call = make_call(request_body="sent", response_body="received", bodies_emptied_at=timezone.now())
    client = client_of(make_user("view_apicall"))

    shown = detail(client, "calls", call.pk)

    assert (shown["request_body"], shown["response_body"]) == (None, None)
    assert "blueshift_sync.view_apicall_body" in shown["bodies_note"]
    assert shown["response_headers"] == call.response_headers


def test_emptied_bodies_are_told_from_empty_ones(reader: APIClient) -> None:
    call = make_call(request_body="", response_body="", bodies_emptied_at=timezone.now())

    shown = detail(reader, "calls", call.pk)

    assert (shown["request_body"], shown["response_body"]) == ("", "")
    assert "BODY_RETENTION_DAYS" in shown["bodies_note"]


def test_the_permission_to_read_bodies_alone_shows_no_call() -> None:
    call = make_call()
    client = client_of(make_user("view_apicall_body"))

    assert client.get(ENDPOINT["calls"].detail_url(call.pk)).status_code == 403


def test_a_list_of_calls_shows_neither_headers_nor_bodies(reader: APIClient) -> None:
    make_call()

    [shown] = reader.get(ENDPOINT["calls"].list_url).json()["results"]

    assert not [name for name in shown if "body" in name or "bodies" in name or "headers" in name]
