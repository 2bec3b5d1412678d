"""The requests are those of Blueshift's reference pages, and never beyond its limits."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync.client import (
    REGIONS,
    Endpoint,
    Request,
    customers_bulk,
    find_customer,
    list_add,
    list_remove,
    read_list,
)


def test_customers_are_posted_in_one_array() -> None:
    customers: list[dict[str, Any]] = [{"email": "a@example.com"}, {"customer_id": "2", "plan": None}]

    request = customers_bulk(customers)

    assert (request.method, request.path, request.query) == ("POST", "/api/v1/customers/bulk", {})
    assert request.body == b'{"customers":[{"email":"a@example.com"},{"customer_id":"2","plan":null}]}'
    assert request.records == tuple(customers)


@pytest.mark.parametrize(
    ("build", "endpoint", "action"),
    [
        (list_add, Endpoint.LIST_ADD, "bulk_add_users_to_list"),
        (list_remove, Endpoint.LIST_REMOVE, "bulk_remove_users_from_list"),
    ],
)
@pytest.mark.parametrize(("mode", "query"), [("sync", {}), ("async", {"async": "true"})])
def test_list_members_are_put_by_identifier(
    build: Callable[..., Request], endpoint: Endpoint, action: str, mode: str, query: dict[str, str]
) -> None:
    request = build(35869, "email", ["a@example.com", "b@example.com"], mode)

    assert (request.endpoint, request.method) == (endpoint, "PUT")
    assert request.path == f"/api/v1/custom_user_lists/{action}/35869"
    assert request.query == query
    assert json.loads(request.body or b"") == {
        "identifier_key": "email",
        "identifier_values": ["a@example.com", "b@example.com"],
    }
    assert request.records == ("a@example.com", "b@example.com")


def test_reads_send_no_body_and_no_records() -> None:
    reads = (read_list(7), find_customer("a+b@example.com"))

    assert [(read.method, read.path, read.query) for read in reads] == [
        ("GET", "/api/v1/custom_user_lists/id/7", {}),
        ("GET", "/api/v1/customers", {"email": "a+b@example.com"}),
    ]
    assert all(read.body is None and read.records == () for read in reads)


def test_the_body_is_ascii_whatever_the_names_are() -> None:
    body = customers_bulk([{"firstname": "Zoë \U0001f600 \ud800"}]).body or b""

    assert body.isascii()
    assert json.loads(body)["customers"][0]["firstname"] == "Zoë \U0001f600 \ud800"


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        _ = customers_bulk([{"score": float("nan")}]).body


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: customers_bulk([]), "takes 1 to 50 customers per call, not 0"),
        (lambda: customers_bulk([{}] * 51), "takes 1 to 50 customers per call, not 51"),
        (lambda: list_add(1, "email", []), r"takes 1 to 500 identifiers \(async\) per call, not 0"),
        (lambda: list_add(1, "email", ["a"] * 501), r"takes 1 to 500 identifiers \(async\) per call, not 501"),
        (lambda: list_remove(1, "email", ["a"] * 26, "sync"), r"takes 1 to 25 identifiers \(sync\) per call, not 26"),
        (lambda: list_add(1, "uuid", ["a"]), "identifier key is email or customer_id, not 'uuid'"),
        (lambda: list_add(1, "email", ["a"], "later"), "mode is sync or async, not 'later'"),
    ],
)
def test_what_blueshift_would_refuse_is_not_built(build: Callable[[], Request], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: customers_bulk([{"customer_id": str(number)} for number in range(50)]), 50),
        (lambda: list_add(1, "customer_id", map(str, range(500)), "async"), 500),
        (lambda: list_add(1, "customer_id", map(str, range(25)), "sync"), 25),
    ],
)
def test_a_full_batch_is_built(build: Callable[[], Request], count: int) -> None:
    assert len(build().records) == count


def test_the_repr_shows_no_personal_data() -> None:
    requests = (customers_bulk([{"email": "jane@example.com"}]), find_customer("jane@example.com"))

    assert not any("jane" in repr(request) for request in requests)


def test_the_regions_are_the_documented_ones() -> None:
    assert {name: region.api for name, region in REGIONS.items()} == {
        "us": "https://api.getblueshift.com",
        "eu": "https://api.eu.getblueshift.com",
    }
