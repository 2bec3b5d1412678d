"""Pages: each row once, in order, at a cost that doesn't grow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.api.helpers import ENDPOINT, ENDPOINTS, Endpoint, ids, make_user
from tests.factories import make_call, make_customer, make_list

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
each_ordering = pytest.mark.parametrize(
    ("endpoint", "ordering"),
    [
        (endpoint, sign + field)
        for endpoint in ENDPOINTS
        for field in endpoint.view.ordering_fields
        for sign in ("", "-")
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)


def walk(client: APIClient, url: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a list, page by page."""
    response = client.get(url, parameters)
    rows: list[dict[str, Any]] = []
    for _page in range(20):
        assert response.status_code == 200, response.content
        rows += response.json()["results"]
        following = response.json()["next"]
        if following is None:
            return rows
        response = client.get(following)
    pytest.fail("The pages don't end.")


def rows_with_ties(endpoint: Endpoint, field: str) -> list[int]:
    """Seven rows: where the field allows it some share a value and some have none."""
    model_field = endpoint.model._meta.get_field(field)
    rows = [endpoint.make() for _ in range(7)]
    if not model_field.unique and field not in {"position", "customer_id"}:
        values: list[Any] = [1, 1, 1, 2, 2]
        if model_field.get_internal_type() == "DateTimeField":
            values = [timezone.now() - timedelta(microseconds=value) for value in values]
        for row, value in zip(rows, values, strict=False):
            endpoint.model.objects.filter(pk=row.pk).update(**{field: value})
    if model_field.null:
        endpoint.model.objects.filter(pk__in=[rows[0].pk, rows[6].pk]).update(**{field: None})
    return [row.pk for row in rows]


@each_ordering
def test_every_row_is_on_one_page_in_the_order_asked_for(reader: APIClient, endpoint: Endpoint, ordering: str) -> None:
    field, down = ordering.removeprefix("-"), ordering.startswith("-")
    made = rows_with_ties(endpoint, field)

    rows = walk(reader, endpoint.list_url, {"ordering": ordering, "page_size": 2})

    assert sorted(row["id"] for row in rows) == sorted(made)
    with_value = [row for row in rows if row[field] is not None]
    assert rows[: len(with_value)] == with_value  # those without a value are last
    places = [(row[field], row["id"]) for row in with_value]
    assert places == sorted(places, reverse=down)


@each_endpoint
def test_the_default_order_visits_every_row_once(reader: APIClient, endpoint: Endpoint) -> None:
    made = [endpoint.make().pk for _ in range(5)]

    rows = walk(reader, endpoint.list_url, {"page_size": 2})

    assert sorted(row["id"] for row in rows) == made


@pytest.mark.parametrize("name", ["runs", "calls", "results"])
def test_the_audit_shows_the_newest_first(reader: APIClient, name: str) -> None:
    made = [ENDPOINT[name].make().pk for _ in range(3)]

    assert ids(reader.get(ENDPOINT[name].list_url)) == made[::-1]


def test_calls_of_one_moment_are_ordered_by_id(reader: APIClient) -> None:
    moment = timezone.now()
    made = [make_call(started_at=moment).pk for _ in range(5)]

    rows = walk(reader, ENDPOINT["calls"].list_url, {"page_size": 2})

    assert [row["id"] for row in rows] == made[::-1]


def test_rows_that_come_meanwhile_shift_nothing(reader: APIClient) -> None:
    made = [make_call().pk for _ in range(4)]
    first = reader.get(ENDPOINT["calls"].list_url, {"page_size": 2})
    make_call()

    assert ids(first) + ids(reader.get(first.json()["next"])) == made[::-1]


def test_the_next_page_keeps_the_filters(reader: APIClient) -> None:
    failed = [make_customer(state="FAILED").pk for _ in range(3)]
    make_customer(state="SYNCED")

    rows = walk(reader, ENDPOINT["customers"].list_url, {"page_size": 2, "state": "FAILED"})

    assert [row["id"] for row in rows] == failed


def test_a_last_page_that_is_full_has_no_next(reader: APIClient) -> None:
    make_customer()
    make_customer()

    assert reader.get(ENDPOINT["customers"].list_url, {"page_size": 2}).json()["next"] is None


@each_endpoint
def test_no_page_counts_or_skips_rows(reader: APIClient, endpoint: Endpoint) -> None:
    for _ in range(5):
        endpoint.make()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        walk(reader, endpoint.list_url, {"page_size": 1})

    statements = " ".join(query["sql"].upper() for query in queries)
    assert "COUNT(" not in statements
    assert "OFFSET" not in statements


@each_endpoint
def test_the_number_of_queries_does_not_grow_with_the_page(reader: APIClient, endpoint: Endpoint) -> None:
    def queries_of_a_page(size: int) -> int:
        while endpoint.model.objects.count() < size:
            own = {"requested_by": make_user()} if endpoint.name == "runs" else {}
            endpoint.make(**own)
        with CaptureQueriesContext(connection) as queries:
            assert len(ids(reader.get(endpoint.list_url))) == size
        return len(queries)

    assert queries_of_a_page(2) == queries_of_a_page(30)


def test_a_list_of_calls_leaves_headers_and_bodies_in_the_database(reader: APIClient) -> None:
    make_call()
    with CaptureQueriesContext(connection) as queries:
        reader.get(ENDPOINT["calls"].list_url)

    assert not any("_body" in query["sql"] or "_headers" in query["sql"] for query in queries)


@pytest.mark.parametrize("size", ["0", "-1", "501", "ten", "1.5", "9" * 5000, "²"])
def test_an_impossible_page_size_is_refused(reader: APIClient, size: str) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, {"page_size": size})

    assert response.status_code == 400
    assert "500" in response.json()["errors"]["page_size"][0]


def test_the_largest_page_size_is_possible(reader: APIClient) -> None:
    assert reader.get(ENDPOINT["customers"].list_url, {"page_size": 500}).status_code == 200


@pytest.mark.parametrize("ordering", ["email", "id,created_at", "--id", "-", "claim_token", "memberships__id", "?"])
def test_an_unknown_ordering_is_refused_and_the_possible_ones_named(reader: APIClient, ordering: str) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, {"ordering": ordering})

    assert response.status_code == 400
    assert "created_at" in response.json()["errors"]["ordering"][0]


def cursor_of(client: APIClient, url: str, **parameters: Any) -> str:
    following: str = client.get(url, {"page_size": 1, **parameters}).json()["next"]
    return following.partition("cursor=")[2].partition("&")[0].replace("%3A", ":")


@pytest.mark.parametrize("cursor", ["x", "cD0x", "a:b:c", "é", "9" * 5000])
def test_a_made_up_cursor_is_refused(reader: APIClient, cursor: str) -> None:
    response = reader.get(ENDPOINT["customers"].list_url, {"cursor": cursor})

    assert response.status_code == 404
    assert response.json()["errors"].keys() == {"cursor"}


def test_a_cursor_of_another_ordering_is_refused(reader: APIClient) -> None:
    url = ENDPOINT["customers"].list_url
    make_customer()
    make_customer()
    cursor = cursor_of(reader, url, ordering="id")

    assert reader.get(url, {"ordering": "id", "cursor": cursor}).status_code == 200
    assert reader.get(url, {"ordering": "-id", "cursor": cursor}).json()["errors"].keys() == {"cursor"}


def test_a_cursor_of_another_list_is_refused(reader: APIClient) -> None:
    make_list()
    make_list()
    cursor = cursor_of(reader, ENDPOINT["lists"].list_url)

    response = reader.get(ENDPOINT["customers"].list_url, {"cursor": cursor})

    assert response.status_code == 404
    assert response.json()["errors"].keys() == {"cursor"}
