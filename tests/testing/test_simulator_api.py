"""The documented answers, word for word, over a real socket."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests

from blueshift_sync.testing.process import Simulator, SimulatorError

Call = Callable[..., requests.Response]
BULK = "/api/v1/customers/bulk"
CUSTOMERS = "/api/v1/customers"
LISTS = "/api/v1/custom_user_lists"


def add(call: Call, list_id: int, values: list[Any], key: str = "email", query: str = "") -> requests.Response:
    path = f"{LISTS}/bulk_add_users_to_list/{list_id}{query}"
    return call("PUT", path, json={"identifier_key": key, "identifier_values": values})


def remove(call: Call, list_id: int, values: list[Any], query: str = "") -> requests.Response:
    path = f"{LISTS}/bulk_remove_users_from_list/{list_id}{query}"
    return call("PUT", path, json={"identifier_key": "email", "identifier_values": values})


def people(count: int) -> list[str]:
    return [f"person{number}@example.com" for number in range(count)]


# Customers


def test_bulk_success(bulk: Call, simulator: Simulator) -> None:
    answer = bulk(
        {"email": "person2@example.com", "firstname": "John", "lastname": "Smith"},
        {"email": "person3@example.com", "firstname": "Jane", "lastname": "Doe"},
        {
            "email": "person4@example.com",
            "customer_id": "CUST-12345",
            "firstname": "Mike",
            "lastname": "Johnson",
        },
        {"customer_id": "CUST-67890", "firstname": "Sarah", "lastname": "Williams"},
        {
            "customer_id": "CUST-11223",
            "email": "person5@example.com",
            "firstname": "Robert",
            "lastname": "Brown",
        },
    )
    assert (answer.status_code, answer.json()) == (200, {"customers": [], "errors": []})
    assert [customer["firstname"] for customer in simulator.customers] == [
        "John",
        "Jane",
        "Mike",
        "Sarah",
        "Robert",
    ]


def test_bulk_partial_failure(bulk: Call, simulator: Simulator) -> None:
    answer = bulk(
        {"email": "person6@example.com", "firstname": "John"},
        {"customer_id": "CUST-12345", "lastname": "Doe"},
        {"lastname": "Williams"},
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "customers": [{"lastname": "Williams", "customer_id": None}],
        "errors": [{"status": 400, "error_data": {"user_identifier_missing": ["No valid identifier found"]}}],
    }
    assert len(simulator.customers) == 2


def test_subscription_groups_and_other_structures_are_kept(bulk: Call, simulator: Simulator) -> None:
    groups = [{"id": "newsletter", "subscribed": True}, {"id": "promotions", "subscribed": False}]
    preferences = [
        {
            "sender_id": "10907",
            "subscribed": False,
            "unsubscribed_at": "2023-07-02T18:45:31.869574Z",
            "subscribed_at": "2023-05-18T05:33:31.869574Z",
        },
        {"sender_id": "8530", "subscribed": True, "subscribed_at": "2022-05-21T08:45:31.869574Z"},
    ]
    sent = {
        "email": "jane.doe@example.com",
        "customer_id": "customer_456",
        "subscription_groups": groups,
        "sms_preferences": preferences,
    }
    assert bulk(sent).json() == {"customers": [], "errors": []}
    customer = simulator.customer(customer_id="customer_456")
    assert customer is not None
    assert {key: customer[key] for key in sent} == sent


@pytest.mark.parametrize(
    "body", [{}, {"customers": None}, {"customers": {}}, {"customers": []}, {"customers": ["x"]}, [], "x"]
)
def test_a_bulk_call_without_a_list_of_customers_is_refused(call: Call, body: Any) -> None:
    answer = call("POST", BULK, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request"})


def test_more_than_50_customers_are_refused_as_a_whole(bulk: Call, simulator: Simulator) -> None:
    assert bulk(*({"email": email} for email in people(50))).status_code == 200
    answer = bulk(*({"customer_id": email} for email in people(51)))
    assert (answer.status_code, answer.json()) == (
        413,
        {"error": "You can upload maximum 50 users in one api call"},
    )
    assert len(simulator.customers) == 50
    simulator.scenario(bulk_limit_body=None)
    assert bulk(*({"customer_id": email} for email in people(51))).text == ""


def test_one_customer_is_created_and_read_back(call: Call, simulator: Simulator) -> None:
    sent = {"email": "testuser@getblueshift.com", "unsubscribed": "true", "plan": "gold"}
    made = call("POST", CUSTOMERS, json=sent)
    assert made.status_code == 200
    customer = made.json()["customer"]
    assert customer["custom_attributes"] == {"plan": "gold"}
    assert "plan" not in customer
    assert call("GET", f"{CUSTOMERS}/{customer['uuid']}").json() == {"customer": customer}
    found = call("GET", CUSTOMERS, params={"email": "TestUser@getblueshift.com"}).json()
    assert found == {"users": [customer], "user": customer}


def test_who_is_not_there_is_not_found(call: Call) -> None:
    assert call("GET", CUSTOMERS, params={"email": "a@example.com"}).json() == {"users": [], "user": None}
    assert call("GET", CUSTOMERS).status_code == 400
    assert call("GET", f"{CUSTOMERS}/{uuid.uuid4()}").status_code == 404
    assert call("GET", f"{LISTS}/id/1").status_code == 404


def test_one_wrong_customer_is_refused(call: Call) -> None:
    answer = call("POST", CUSTOMERS, json={"lastname": "x"})
    assert answer.status_code == 400
    assert answer.json() == {"errors": {"user_identifier_missing": ["No valid identifier found"]}}


@pytest.mark.parametrize("path", [f"{CUSTOMERS}/delete?delete_all_matching_customers=true", f"{CUSTOMERS}/forget"])
def test_every_customer_with_an_email_is_deleted_or_forgotten(
    bulk: Call, call: Call, simulator: Simulator, path: str
) -> None:
    bulk({"customer_id": "1", "email": "a@example.com"}, {"customer_id": "2", "email": "a@example.com"})
    assert call("POST", path, json={"email": "a@example.com"}).json() == {"status": "ok"}
    assert simulator.customers == []
    assert call("POST", path, json={"firstname": "x"}).status_code == 400


def test_without_the_flag_only_the_first_match_is_deleted(bulk: Call, call: Call, simulator: Simulator) -> None:
    bulk({"customer_id": "1", "email": "a@example.com"}, {"customer_id": "2", "email": "a@example.com"})
    call("POST", f"{CUSTOMERS}/delete", json={"email": "a@example.com"})
    assert [customer["customer_id"] for customer in simulator.customers] == ["2"]


# Lists


@pytest.mark.parametrize("query", ["", "?async=true", "?async=false"])
def test_bulk_add_and_remove_by_email(bulk: Call, call: Call, simulator: Simulator, query: str) -> None:
    simulator.create_list(35869, "News")
    emails = ["person7@example.com", "person8@example.com", "person9@example.com"]
    bulk(*({"email": email} for email in emails))
    answer = add(call, 35869, emails, query=query)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "errors": []})
    assert simulator.members(35869) == emails
    answer = remove(call, 35869, emails[:2], query=query)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "errors": []})
    assert simulator.members(35869) == emails[2:]


def test_bulk_add_by_customer_id(bulk: Call, call: Call, simulator: Simulator) -> None:
    simulator.create_list(7, source="customer_id")
    ids = [
        "23a1fae1-2103-4e18-b58c-9db0ea9f7bf7",
        "35b2gbf2-3214-5f29-c69d-0ec1fb0g8cg8",
        "46c3hcg3-4325-6g30-d70e-1fd2gc1h9dh9",
    ]
    bulk({"customer_id": ids[0]}, {"customer_id": ids[1]})
    assert add(call, 7, ids, key="customer_id").json() == {"status": "ok", "errors": []}
    assert simulator.members(7) == ids[:2]
    assert simulator.state["unknown_identifiers"] == [{"list_id": 7, "customer_id": ids[2]}]


@pytest.mark.parametrize(
    ("change", "query", "limit", "message"),
    [
        (add, "", 25, "You can add maximum 25 users in one api call"),
        (add, "?async=true", 500, "You can add maximum 500 users in one async api call"),
        (remove, "", 25, "You can remove maximum 25 users in one api call"),
        (remove, "?async=true", 500, "You can remove maximum 500 users in one async api call"),
    ],
)
def test_a_list_call_has_a_limit(
    call: Call, simulator: Simulator, *, change: Call, query: str, limit: int, message: str
) -> None:
    simulator.create_list(7)
    assert change(call, 7, people(limit), query=query).status_code == 200
    answer = change(call, 7, people(limit + 1), query=query)
    assert (answer.status_code, answer.json()) == (413, {"error": message})


@pytest.mark.parametrize(
    "body",
    [
        {"identifier_key": "phone", "identifier_values": ["1"]},
        {"identifier_key": "customer_id", "identifier_values": ["1"]},
        {"identifier_values": ["a@example.com"]},
        {"identifier_key": "email", "identifier_values": "a@example.com"},
        {"identifier_key": "email", "identifier_values": []},
        {"identifier_key": "email", "identifier_values": [1]},
        {"identifier_key": "email"},
        [],
    ],
)
def test_wrong_parameters_of_a_list_call(call: Call, simulator: Simulator, body: Any) -> None:
    simulator.create_list(7, source="email")
    answer = call("PUT", f"{LISTS}/bulk_add_users_to_list/7", json=body)
    assert (answer.status_code, answer.json()) == (400, {"errors": [{"detail": "Input params not valid"}]})


def test_a_list_that_is_deleted_old_or_unknown(call: Call, simulator: Simulator) -> None:
    simulator.create_list(1, status="deleted")
    simulator.create_list(2, status="old")
    assert add(call, 1, people(1)).status_code == 404
    assert call("GET", f"{LISTS}/id/1").json()["deleted_at"] is not None
    old = add(call, 2, people(1))
    assert old.status_code == 422
    assert old.json()["error"] == "Functionality not supported for old list."
    assert add(call, 3, people(1)).status_code == 404


def test_a_list_is_created_and_read(bulk: Call, call: Call, simulator: Simulator) -> None:
    made = call("POST", f"{LISTS}/create", json={"name": "VIPs", "description": "d", "source": "customer_id"})
    created = made.json()
    bulk({"customer_id": "1"})
    add(call, created["id"], ["1"], key="customer_id")
    read = call("GET", f"{LISTS}/id/{created['id']}").json()
    assert read == {**created, "user_count": 1}
    assert (read["filename"], read["source"], read["status"]) == ("VIPs", "customer_id", "ready")
    assert (read["version"], read["deleted_at"]) == ("v2", None)
    assert call("POST", f"{LISTS}/create", json={"name": "VIPs", "description": "again"}).status_code == 422
    simulator.scenario(create_list_answer="array")
    (second,) = call("POST", f"{LISTS}/create", json={"name": "Two", "description": "d"}).json()
    assert (second["filename"], second["source"]) == ("Two", "email")


def test_a_list_needs_a_name_and_a_known_source(call: Call) -> None:
    nameless = call("POST", f"{LISTS}/create", json={"description": "d"})
    assert (nameless.status_code, nameless.json()) == (400, {"errors": {"name": ["can't be blank"]}})
    wrong = call("POST", f"{LISTS}/create", json={"name": "x", "description": "d", "source": "phone"})
    assert wrong.status_code == 400


# The door


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic c2ltdWxhdG9yLWtleQ==",  # no colon
        "Basic c2ltdWxhdG9yLWtleTpzZWNyZXQ=",  # a password
        "Basic d3Jvbmc6",
        "Bearer c2ltdWxhdG9yLWtleTo=",
    ],
)
def test_a_wrong_key_is_refused(simulator: Simulator, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = requests.get(simulator.url + CUSTOMERS, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()) == (401, {"message": "Not authorized"})


def test_a_rotated_key_ends_the_old_one(call: Call, simulator: Simulator) -> None:
    simulator.scenario(api_keys=["new-key"])
    assert call("GET", CUSTOMERS, params={"email": "a@b.c"}).status_code == 401
    assert call("GET", CUSTOMERS, params={"email": "a@b.c"}, auth=("new-key", "")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/customers"),
        ("GET", "/"),
        ("PUT", BULK),
        ("DELETE", CUSTOMERS),
        ("POST", f"{LISTS}/bulk_add_users_to_list/1"),
        ("PUT", f"{LISTS}/bulk_add_users_to_list/news"),
        ("PUT", f"{LISTS}/bulk_add_users_to_list/"),
        ("HEAD", BULK),
    ],
)
def test_an_unrouted_request(call: Call, method: str, path: str) -> None:
    answer = call(method, path)
    assert answer.status_code == 404
    if method != "HEAD":
        assert answer.json() == {"status": "404", "error": "Not Found"}


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused(call: Call, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    body = b'{"customers": [{"email": "a@example.com"}]}'
    assert call("POST", BULK, data=body, headers=headers).status_code == 415
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert call("POST", BULK, data=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"customers": [\n  {"email": ]}', "line 2, column 13"),
        (b"", "line 1, column 1"),
        (b'{"customers": [{"customer_id": "1", "spent": NaN}]}', "line 1, column 1"),
        (b'{"customers": [{"email": "\xff@example.com"}]}', "line 1, column 1"),
        (b"[" * 100_000, "line 1, column 1"),
    ],
    ids=["cut", "empty", "nan", "latin-1", "deep"],
)
def test_malformed_json(call: Call, body: bytes, place: str) -> None:
    answer = call("POST", BULK, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {
        "status": 400,
        "error": f"Json Parse error: unexpected character at {place} [parse.c:671]",
    }


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("GET", CUSTOMERS), ("POST", BULK)])
def test_every_answer_names_its_request_and_its_time(call: Call, simulator: Simulator, method: str, path: str) -> None:
    answer = call(method, path)
    assert uuid.UUID(answer.headers["x-request-id"])
    assert float(answer.headers["x-runtime"]) >= 0
    assert simulator.requests[-1].request_id == answer.headers["x-request-id"]


def test_the_rate_is_limited_by_the_simulators_own_clock(call: Call, simulator: Simulator) -> None:
    simulator.scenario(calls_per_second=2, retry_after=2)
    answers = [call("GET", CUSTOMERS, params={"email": "a@b.c"}) for _ in range(12)]
    arrivals = [request.arrived_at for request in simulator.requests]
    in_last_second = [sum(at - 1 < earlier <= at for earlier in arrivals) for at in arrivals]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [429 if count > 2 else 200 for count in in_last_second]
    assert simulator.calls_in_any_second() == max(in_last_second)
    refused = answers[statuses.index(429)]
    assert refused.json() == {"message": "Rate limit exceeded"}
    assert refused.headers["Retry-After"] == "2"


def test_a_call_without_the_key_does_not_count_against_the_rate(call: Call, simulator: Simulator) -> None:
    simulator.scenario(calls_per_second=1)
    for _ in range(3):
        assert call("GET", CUSTOMERS, auth=("wrong", "")).status_code == 401
    assert call("GET", CUSTOMERS, params={"email": "a@b.c"}).status_code == 200


def test_no_retry_after_by_default(call: Call, simulator: Simulator) -> None:
    simulator.fail("status", status=429)
    answer = call("GET", CUSTOMERS)
    assert (answer.status_code, answer.json()) == (429, {"message": "Rate limit exceeded"})
    assert "Retry-After" not in answer.headers


def test_a_wrong_setting_is_refused_with_a_sentence(simulator: Simulator) -> None:
    with pytest.raises(SimulatorError, match=r'Unknown key "call_per_second".*did you mean "calls_per_second"'):
        simulator.scenario(call_per_second=1)
    with pytest.raises(SimulatorError, match='"source" in list 7 must be "email" or "customer_id"'):
        simulator.create_list(7, source="phone")
