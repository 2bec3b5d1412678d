"""Deleting and forgetting one customer: what is asked, and what the answers prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from blueshift_sync.client import (
    CallOutcome,
    Exchange,
    RecordOutcome,
    Request,
    delete_customer,
    forget_customer,
    read_answer,
)

REMOVALS = [delete_customer("customer_id", "7"), forget_customer("customer_id", "7")]
EITHER = pytest.mark.parametrize("request_", REMOVALS, ids=["delete", "forget"])


def answered(status: int, body: Any) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(status=status, body=raw)


def test_all_profiles_of_a_customer_id_are_deleted() -> None:
    request = delete_customer("customer_id", "7")
    assert (request.method, request.path) == ("POST", "/api/v1/customers/delete")
    assert request.query == {"delete_all_matching_customers": "true"}
    assert (request.payload, request.records) == ({"customer_id": "7"}, ("7",))


def test_of_an_address_that_others_may_share_only_the_first_profile_is_deleted() -> None:
    request = delete_customer("email", "a@example.com")
    assert request.query == {}
    assert request.payload == {"email": "a@example.com"}


@pytest.mark.parametrize("key", ["customer_id", "email"])
def test_forgetting_has_no_choice(key: str) -> None:
    request = forget_customer(key, "a@example.com")
    assert (request.method, request.path, request.query) == ("POST", "/api/v1/customers/forget", {})
    assert request.payload == {key: "a@example.com"}


@pytest.mark.parametrize("make", [delete_customer, forget_customer])
def test_nobody_is_removed_by_nothing(make: Callable[[str, str], Request]) -> None:
    with pytest.raises(ValueError, match="There is no customer_id to remove a customer by"):
        make("customer_id", " ")
    with pytest.raises(ValueError, match="removed by email or customer_id, not by 'uuid'"):
        make("uuid", "7")


def test_the_repr_shows_nobody() -> None:
    assert "a@example.com" not in repr(delete_customer("email", "a@example.com"))


@EITHER
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "ok"}),
        (200, {"success": True}),
        (200, {"message": "Customer will be deleted"}),
        (200, {"status": "ok", "errors": []}),
        (202, b""),
        (204, b""),
    ],
)
def test_accepted_means_accepted_for_processing(request_: Request, status: int, body: Any) -> None:
    answer = read_answer(request_, answered(status, body))
    (record,) = answer.records
    assert (answer.outcome, record.outcome) == (CallOutcome.ANSWERED, RecordOutcome.ACCEPTED)
    assert record.code == "accepted_for_processing"


@EITHER
@pytest.mark.parametrize("body", [b"", b"<html><title>Welcome</title></html>", b'{"status"', {}, [], "ok", None])
def test_a_200_that_says_nothing_proves_nothing(request_: Request, body: Any) -> None:
    answer = read_answer(request_, answered(200, body))
    assert answer.outcome == CallOutcome.UNREADABLE
    assert [record.outcome for record in answer.records] == [RecordOutcome.UNKNOWN]


@EITHER
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errors": [{"detail": "Input params not valid"}]}, "Input params not valid"),
        ({"success": False, "error": "No such account"}, "No such account"),
        ({"success": False, "message": "Not today"}, "Not today"),
        ({"errors": {"email": ["is invalid"]}}, "email: is invalid"),
    ],
)
def test_a_200_that_complains_is_a_refusal(request_: Request, body: Any, message: str) -> None:
    (record,) = read_answer(request_, answered(200, body)).records
    assert (record.outcome, record.message) == (RecordOutcome.REJECTED, message)


@EITHER
def test_a_complaint_that_may_pass_goes_again(request_: Request) -> None:
    (record,) = read_answer(request_, answered(200, {"status": 409, "error": "Conflict"})).records
    assert record.outcome == RecordOutcome.RETRY


@EITHER
def test_who_isnt_there_is_removed(request_: Request) -> None:
    body = {"errors": [{"title": "error", "detail": "Error: Resource not found"}]}
    answer = read_answer(request_, answered(404, body))
    (record,) = answer.records
    assert (answer.outcome, record.outcome, record.code) == (CallOutcome.ANSWERED, RecordOutcome.ACCEPTED, "not_found")
    assert "404" in record.message
    assert "Resource not found" in record.message


@EITHER
@pytest.mark.parametrize("body", [b"", b"<html><title>404 Not Found</title></html>"])
def test_a_404_of_somebody_else_proves_nothing(request_: Request, body: bytes) -> None:
    answer = read_answer(request_, answered(404, body))
    assert answer.outcome == CallOutcome.NOT_FOUND
    assert [record.outcome for record in answer.records] == [RecordOutcome.RETRY]


@EITHER
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, RecordOutcome.REJECTED),
        (401, RecordOutcome.RETRY),
        (403, RecordOutcome.RETRY),
        (409, RecordOutcome.RETRY),
        (413, RecordOutcome.REJECTED),
        (422, RecordOutcome.REJECTED),
        (429, RecordOutcome.RETRY),
        (500, RecordOutcome.RETRY),
        (503, RecordOutcome.RETRY),
    ],
)
def test_a_refusal_is_about_the_one_customer(request_: Request, status: int, outcome: RecordOutcome) -> None:
    (record,) = read_answer(request_, answered(status, {"message": "No"})).records
    assert record.outcome == outcome
