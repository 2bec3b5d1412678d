"""Faults as a client meets them, over a real socket."""

import json
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
import requests

from blueshift_sync.testing.process import Simulator

Call = Callable[..., requests.Response]
ANN = {"customer_id": "1", "firstname": "Ann"}


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "It did not happen within 10 seconds."
        time.sleep(0.01)


def ids(simulator: Simulator) -> list[Any]:
    return [customer["customer_id"] for customer in simulator.customers]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"errors": {"name": ["can't be blank"]}}),
        (401, {"message": "Not authorized"}),
        (403, {"message": "Permission denied"}),
        (404, {"status": "404", "error": "Not Found"}),
        (429, {"message": "Rate limit exceeded"}),
        (500, {"message": "Internal Server Error - Please contact support for more information."}),
        (502, {"message": "Bad Gateway - Please retry the request."}),
        (
            503,
            {"message": "Service Unavailable - The service is temporarily unavailable. Try again later."},
        ),
        (
            504,
            {"message": "Gateway Timeout - The server took too long to respond. Retry with exponential backoff."},
        ),
        (418, {"message": "I'm a Teapot"}),
        (599, {"message": "Status 599"}),
    ],
)
def test_a_status_has_its_documented_body_and_no_effect(
    bulk: Call, simulator: Simulator, status: int, body: dict[str, Any]
) -> None:
    simulator.fail("status", status=status, next=1)
    answer = bulk(ANN)
    assert (answer.status_code, answer.json()) == (status, body)
    assert simulator.customers == []
    assert bulk(ANN).status_code == 200


def test_a_status_may_have_another_body_headers_and_an_effect(bulk: Call, simulator: Simulator) -> None:
    simulator.fail("status", status=503, body=None, headers={"Retry-After": "7"}, apply=True)
    answer = bulk(ANN)
    assert (answer.text, answer.headers["retry-after"]) == ("null", "7")
    assert ids(simulator) == ["1"]


@pytest.mark.parametrize(
    ("fault", "options", "applied"),
    [("reset", {}, []), ("reset", {"apply": True}, ["1"]), ("reset_after", {}, ["1"])],
)
def test_a_reset_is_a_tcp_reset(
    bulk: Call, simulator: Simulator, fault: str, options: dict[str, Any], applied: list[str]
) -> None:
    simulator.fail(fault, next=1, **options)
    with pytest.raises(requests.ConnectionError) as caught:
        bulk(ANN)
    assert isinstance(caught.value.args[0].args[1], ConnectionResetError)
    assert ids(simulator) == applied
    assert [(request.status, request.fault) for request in simulator.requests] == [(None, fault)]
    assert bulk(ANN).status_code == 200


@pytest.mark.parametrize(("options", "applied"), [({}, ["1"]), ({"apply": False}, [])])
def test_a_cut_answer_is_read_incompletely(
    bulk: Call, simulator: Simulator, options: dict[str, Any], applied: list[str]
) -> None:
    simulator.fail("cut", next=1, **options)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        bulk(ANN)
    assert ids(simulator) == applied


def test_cut_json_has_the_right_length_and_the_wrong_end(bulk: Call, simulator: Simulator) -> None:
    simulator.fail("cut_json", next=1)
    answer = bulk(ANN)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert '{"customers":[],"errors":[]}'.startswith(answer.text)
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert ids(simulator) == ["1"]


@pytest.mark.parametrize(("options", "status"), [({}, 502), ({"status": 200}, 200)])
def test_an_html_page(bulk: Call, simulator: Simulator, options: dict[str, Any], status: int) -> None:
    simulator.fail("html", **options)
    answer = bulk(ANN)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<html>")
    assert simulator.customers == []


def test_an_empty_answer(bulk: Call, simulator: Simulator) -> None:
    simulator.fail("empty")
    answer = bulk(ANN)
    assert (answer.status_code, answer.content) == (200, b"")
    assert ids(simulator) == ["1"]


def test_latency_holds_one_call_and_not_the_others(bulk: Call, simulator: Simulator) -> None:
    simulator.fail("latency", seconds=60, next=1)
    host, port = simulator.url.removeprefix("http://").split(":")
    credential = b64encode(f"{simulator.api_key}:".encode())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/v1/customers/bulk HTTP/1.1\r\nHost: simulator\r\nContent-Type: application/json\r\n"
            b"Authorization: Basic " + credential + b"\r\nContent-Length: 2\r\n\r\n{}"
        )
        wait_until(lambda: simulator.requests)
        assert bulk({"customer_id": "2"}).status_code == 200
        held, answered = simulator.requests
        assert (held.answered_at, held.status) == (None, None)
        assert answered.status == 200
        assert ids(simulator) == ["2"]


@pytest.mark.parametrize("seconds", [0.05, [0.05, 0.06]])
def test_latency_lasts_as_long_as_it_says(bulk: Call, simulator: Simulator, seconds: Any) -> None:
    simulator.fail("latency", seconds=seconds)
    assert bulk(ANN).status_code == 200
    (request,) = simulator.requests
    assert request.answered_at is not None
    assert request.answered_at - request.arrived_at >= 0.045  # event loops count in milliseconds, and may be early
    assert ids(simulator) == ["1"]


def test_single_records_of_a_call_are_rejected(bulk: Call, simulator: Simulator) -> None:
    simulator.fail("reject", customers="vip-*", status=409, error_data={"conflict": ["try again"]}, next=1)
    sent = [{"customer_id": "1"}, {"customer_id": "vip-2"}, {"email": "vip-3@example.com"}]
    assert bulk(*sent).json() == {
        "customers": [sent[1], {**sent[2], "customer_id": None}],
        "errors": [{"status": 409, "error_data": {"conflict": ["try again"]}}] * 2,
    }
    assert ids(simulator) == ["1"]
    assert bulk(*sent).json() == {"customers": [], "errors": []}


def test_a_rule_is_about_one_endpoint(bulk: Call, call: Call, simulator: Simulator) -> None:
    simulator.create_list(7)
    simulator.fail("status", status=503, endpoint="LIST_ADD")
    assert bulk(ANN).status_code == 200
    body = {"identifier_key": "email", "identifier_values": ["a@example.com"]}
    add = call("PUT", "/api/v1/custom_user_lists/bulk_add_users_to_list/7", json=body)
    assert add.status_code == 503


def test_an_asynchronous_call_takes_effect_later(bulk: Call, call: Call, simulator: Simulator) -> None:
    simulator.create_list(7)
    simulator.scenario(async_delay=0.2)
    bulk({"email": "a@example.com"})
    body = {"identifier_key": "email", "identifier_values": ["a@example.com"]}
    path = "/api/v1/custom_user_lists/bulk_add_users_to_list/7?async=true"
    assert call("PUT", path, json=body).json() == {"status": "ok", "errors": []}
    wait_until(lambda: simulator.members(7) == ["a@example.com"])


def test_what_was_to_come_does_not_outlive_a_reset(bulk: Call, call: Call, simulator: Simulator) -> None:
    simulator.scenario(async_delay=0.05)
    bulk({"customer_id": "1"})
    call("POST", "/api/v1/customers/forget", json={"customer_id": "1"})
    simulator.reset()
    simulator.scenario(calls_per_second=None, async_delay=0.1)
    bulk({"customer_id": "1"}, {"customer_id": "2"})
    call("POST", "/api/v1/customers/forget", json={"customer_id": "2"})
    wait_until(lambda: len(simulator.customers) < 2)
    assert ids(simulator) == ["1"]
