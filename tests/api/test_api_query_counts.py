"""What a page costs doesn't grow with its rows, nor what an action costs with the table."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from blueshift_sync.models import Customer, ListMembership
from tests.api.helpers import ADDRESSES, ENDPOINTS, Endpoint
from tests.factories import make_customer, make_list, make_membership, make_result

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

SENDING = [address for address in ADDRESSES if "post" in address.methods]


def queries(client: APIClient, url: str, body: Any = None) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url) if body is None else client.post(url, body, format="json")
    assert response.status_code in {200, 202}, response.content
    return len(captured)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_a_page_takes_as_many_queries_as_a_row(reader: APIClient, endpoint: Endpoint) -> None:
    endpoint.make()
    one = queries(reader, endpoint.list_url)
    for _ in range(30):
        endpoint.make()

    assert queries(reader, endpoint.list_url) == one
    assert one <= 2


def test_a_push_and_its_rehearsal_take_as_many_queries_for_many(reader: APIClient) -> None:
    def costs() -> list[int]:
        for model in (Customer, ListMembership):  # none of them is another run's
            model._default_manager.update(state="SYNCED", due_at=None, run=None)
        body = {"filter": {"created_at__gte": "2020-01-01T00:00:00Z"}}
        return [
            queries(reader, f"/some/prefix/{name}/push/{query}", body)
            for name in ("customers", "memberships")
            for query in ("?dry_run=true", "")
        ]

    members = make_list()
    at_rest: dict[str, Any] = {"state": "SYNCED", "due_at": None}
    for _ in range(2):
        make_membership(customer_list=members, customer=make_customer(**at_rest), **at_rest)
    few = costs()
    for _ in range(40):
        make_membership(customer_list=members, customer=make_customer(**at_rest), **at_rest)

    assert costs() == few


def test_the_records_of_a_large_call_take_as_many_queries(reader: APIClient) -> None:
    def cost(call: Any) -> int:
        return queries(reader, f"/some/prefix/calls/{call.pk}/resend/", {})

    small, large = (make_result(customer=make_customer()).call for _ in range(2))
    for position in range(1, 40):
        make_result(call=large, position=position, customer=make_customer())

    assert cost(large) == cost(small)
