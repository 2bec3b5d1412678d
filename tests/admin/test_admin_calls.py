"""The page of a call: what was sent, what came back, what became of each record."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from blueshift_sync.models import ApiCall, RecordResult
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

from .conftest import Login
from .pages import page_url, text_of

Outcome = RecordResult.Outcome


def test_the_page_sums_the_call_up(admin_client: Client) -> None:
    run, customer_list = make_run(), make_list(name="Newsletter")
    call = make_call(
        run=run,
        customer_list=customer_list,
        state=ApiCall.State.FAILED,
        status_code=422,
        duration_ms=1312,
        attempt=3,
        request_id="9f4c1f7e",
        job_id="b7d52c3e",
        error_code="list_unsupported",
        error="Functionality not supported for old list.",
    )
    response = admin_client.get(page_url(call))
    text = text_of(response)
    for expected in (
        "Failed",
        "Bulk create/update customers",
        f"POST {call.url}",
        "422",
        "1.3 s",
        "Attempt 3",
        "9f4c1f7e",
        "b7d52c3e",
        "list_unsupported",
        call.error,
    ):
        assert expected in text
    for linked in (run, customer_list):
        assert f'href="{page_url(linked)}"' in response.content.decode()


def test_bodies_are_shown_indented_and_as_they_were(admin_client: Client) -> None:
    call = make_call(request_body='{"customers":[{"firstname":"Zoë"}]}')
    response = admin_client.get(page_url(call))
    page = response.content.decode()
    indented = json.dumps({"customers": [{"firstname": "Zoë"}]}, indent=2, ensure_ascii=False)
    shown = html.unescape(strip_tags(response.context["messages_sent"][0].coloured))
    assert shown == indented
    assert response.context["messages_sent"][0].coloured in page
    assert "{&quot;customers&quot;:[{&quot;firstname&quot;:&quot;Zoë&quot;}]}" in page.partition("<details>")[2]


@pytest.mark.parametrize("body", ["<html>502 Bad Gateway</html>", '{"customers": [', "[" * 100_000])
def test_a_body_that_is_no_json_is_shown_as_it_is(body: str, admin_client: Client) -> None:
    response = admin_client.get(page_url(make_call(request_body="", response_body=body)))
    assert body in response.context["messages_sent"][1].raw
    assert "<details>" not in response.content.decode()
    assert "The body is empty." in text_of(response)


def test_headers_are_a_table(admin_client: Client) -> None:
    call = make_call(response_headers={"x-request-id": "9f4c1f7e"})
    assert '<th scope="row">x-request-id</th><td>9f4c1f7e</td>' in admin_client.get(page_url(call)).content.decode()


def test_bodies_need_their_own_permission(login: Login) -> None:
    call = make_call(request_body='{"email": "secret@example.com"}', response_body="secret answer")
    refused = text_of(login("view_apicall").get(page_url(call)))
    assert "you need the permission “Can read request and response bodies”" in refused
    assert "secret" not in refused
    assert "secret answer" in text_of(login("view_apicall", "view_apicall_body").get(page_url(call)))


def test_emptied_bodies_name_the_setting(admin_client: Client) -> None:
    call = make_call(request_body="", response_body="", bodies_emptied_at=timezone.now())
    assert "BODY_RETENTION_DAYS" in text_of(admin_client.get(page_url(call)))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": "OPEN", "status_code": None, "response_body": ""}, "its answer hasn't been recorded yet"),
        ({"state": "OPEN", "status_code": None, "response_body": ""}, "No answer has been recorded."),
        ({"state": "UNKNOWN"}, "Whether Blueshift carried this out isn't known"),
        ({"url": "https://api.getblueshift.com/x?async=true"}, "Blueshift accepted this for processing."),
    ],
)
def test_the_page_says_what_a_state_means(fields: dict[str, Any], sentence: str, admin_client: Client) -> None:
    assert sentence in text_of(admin_client.get(page_url(make_call(**fields))))


def test_rejected_records_come_first_with_a_count_of_each_outcome(admin_client: Client) -> None:
    call = make_call()
    for outcome in (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.RETRY, Outcome.UNKNOWN, Outcome.REJECTED):
        make_result(call=call, outcome=outcome, identifier=outcome.value)
    text = text_of(admin_client.get(page_url(call)))
    assert "1 Rejected 1 Unknown 1 To be sent again 2 Accepted" in text
    identifiers = [word for word in text.partition("Details")[2].split() if word in Outcome.values]
    assert identifiers == ["REJECTED", "UNKNOWN", "RETRY", "ACCEPTED", "ACCEPTED"]


def test_records_link_to_what_was_sent_while_it_exists(admin_client: Client) -> None:
    call, customer, membership = make_call(), make_customer(), make_membership()
    make_result(call=call, customer=customer, identifier="CUST-1")
    make_result(call=call, customer=membership.customer, membership=membership, identifier="on-list@example.com")
    make_result(call=call, identifier="gone@example.com", code="gone", message="Gone.", details={"status": 404})
    page = admin_client.get(page_url(call)).content.decode()
    assert f'<a href="{page_url(customer)}">CUST-1</a>' in page
    assert f'<a href="{page_url(membership)}">on-list@example.com</a>' in page
    assert "<td>gone@example.com</td>" in page
    assert "&quot;status&quot;: 404" in page


def test_the_table_of_records_is_bounded(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.calls.RECORDS_SHOWN", 3)
    call = make_call()
    for _ in range(4):
        make_result(call=call)
    response = admin_client.get(page_url(call))
    assert len(response.context["tables"][0].rows) == 3
    assert f"call__id__exact={call.pk}" in response.content.decode()


def test_five_hundred_records_take_no_more_queries_than_one(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    call = make_call(run=make_run())
    customer = make_customer()
    RecordResult.objects.bulk_create(
        RecordResult(call=call, customer=customer, position=position, outcome=Outcome.ACCEPTED)
        for position in range(500)
    )
    with django_assert_max_num_queries(11):
        response = admin_client.get(page_url(call))
    assert len(response.context["tables"][0].rows) == 500


def test_a_results_page_tells_all_of_it(admin_client: Client) -> None:
    result = make_result(
        customer=make_customer(customer_id="CUST-1"),
        outcome=Outcome.REJECTED,
        code="user_identifier_missing",
        message="No valid identifier found",
        details={"status": 400},
        version=7,
    )
    response = admin_client.get(page_url(result))
    for expected in ("Rejected", "CUST-1", "user_identifier_missing", "No valid identifier found", "Version sent 7"):
        assert expected in text_of(response)
    assert f'href="{page_url(result.call)}"' in response.content.decode()
