"""One person is taken out of a call's bodies; what they say of others stays, and they stay JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blueshift_sync.client import customers_bulk, list_add
from blueshift_sync.delivery.erased_bodies import ERASED, ERASED_PART, PersonInCall, positions_of

ADA = {
    "customer_id": "422",
    "email": "ada@example.com",
    "firstname": "Ada",
    "plan": "gold",
    "phone_number": "+44 20 7946",
    "ssn": 987654321,
}
BOB = {"customer_id": "423", "email": "bob@example.com", "firstname": "Bob", "plan": "gold", "city": "Ada Springs"}
EVE = {"customer_id": "424", "email": "eve@example.com"}


def request_of(*customers: dict[str, Any]) -> str:
    body = customers_bulk(customers).body
    assert body is not None
    return body.decode()


def ada_in(*customers: dict[str, Any]) -> PersonInCall:
    return PersonInCall(request_of(*customers), [customers.index(ADA)], [])


def erased(person: PersonInCall, answer: Any) -> Any:
    return json.loads(person.of_response(json.dumps(answer)))


def test_of_a_batch_only_the_persons_part_goes() -> None:
    person = ada_in(BOB, ADA, EVE)
    assert json.loads(person.of_request(request_of(BOB, ADA, EVE))) == {"customers": [BOB, ERASED_PART, EVE]}


def test_of_a_list_call_only_the_persons_identifier_goes() -> None:
    body = list_add(1, "email", ["bob@example.com", "ada@example.com"]).body
    assert body is not None
    person = PersonInCall(body.decode(), [1], [])
    assert json.loads(person.of_request(body.decode())) == {
        "identifier_key": "email",
        "identifier_values": ["bob@example.com", ERASED],
    }
    assert erased(person, {"errors": ["ADA@example.com is unknown"]}) == {"errors": [f"{ERASED} is unknown"]}


def test_a_removal_says_nothing_but_by_what_it_was() -> None:
    person = PersonInCall('{"email":"ada@example.com"}', [0], [])
    assert person.of_request('{"email":"ada@example.com"}') == f'{{"email":"{ERASED}"}}'


def test_the_echo_of_a_refused_customer_goes_with_what_its_error_says() -> None:
    answer = {
        "customers": [{**BOB, "customer_id": None}, {**ADA, "plan": None}],
        "errors": [
            {"status": 422, "error_data": {"city": ["Ada Springs is no city; call +44 20 7946"]}},
            {"status": 400, "error_data": {"phone_number": ["+44 20 7946 is wrong"]}},
        ],
    }
    assert erased(ada_in(BOB, ADA, EVE), answer) == {
        "customers": [answer["customers"][0], ERASED_PART],
        "errors": [answer["errors"][0], {**ERASED_PART, "status": 400}],
    }


def test_an_answer_without_the_person_is_left_byte_by_byte() -> None:
    body = '{ "customers": [],\n "errors": [] }'
    assert ada_in(BOB, ADA).of_response(body) == body


def test_one_person_after_another_can_be_erased() -> None:
    first = ada_in(BOB, ADA, EVE)
    answer = {"customers": [ADA, EVE], "errors": [{"status": 400}, {"status": 400}]}
    request, response = first.of_request(request_of(BOB, ADA, EVE)), first.of_response(json.dumps(answer))
    second = PersonInCall(request, [2], [])
    assert json.loads(second.of_request(request)) == {"customers": [BOB, ERASED_PART, ERASED_PART]}
    assert json.loads(second.of_response(response))["customers"] == [ERASED_PART, ERASED_PART]
    again = PersonInCall(request, [1], ["422"])
    assert again.of_request(request) == request


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"message": "ada@example.com is taken"}, {"message": f"{ERASED} is taken"}),
        ({"errors": [{"detail": "Ada is no name"}]}, {"errors": [{"detail": f"{ERASED} is no name"}]}),
        (
            {"errors": [{"email": "ADA@example.com", "why": "taken"}, {"email": "bob@example.com", "why": "gold"}]},
            {"errors": [ERASED_PART, {"email": "bob@example.com", "why": "gold"}]},
        ),
        ({"errors": {"ada@example.com": ["taken"]}}, {"errors": {ERASED: ["taken"]}}),
        ({"message": "987654321 is no number"}, {"message": f"{ERASED} is no number"}),
        # Not the person's own: a status, a plan that others have, somebody else's city.
        ({"errors": [{"status": 422, "detail": "gold"}]}, {"errors": [{"status": 422, "detail": "gold"}]}),
        (
            {"errors": [{"customer_id": 423, "city": "Ada Springs"}]},
            {"errors": [{"customer_id": 423, "city": "Ada Springs"}]},
        ),
        ({"errors": [{"customer_id": 422, "city": "Rome"}]}, {"errors": [ERASED_PART]}),
        (["a", None, 1.5, True], ["a", None, 1.5, True]),
    ],
)
def test_any_other_answer_loses_what_is_the_persons_alone(answer: Any, expected: Any) -> None:
    assert erased(ada_in(BOB, ADA), answer) == expected


def test_of_a_call_for_one_even_short_identifiers_go() -> None:
    assert ada_in(ADA).of_text("Customer 422 is gold.") == f"Customer {ERASED} is {ERASED}."


@pytest.mark.parametrize(
    "body", ["", "<html>ada@example.com</html>", '{"customers":[{"email":"ada@example.com"', "null"]
)
def test_what_is_no_json_is_searched_as_text(body: str) -> None:
    assert ada_in(BOB, ADA).of_response(body) == body.replace("ada@example.com", ERASED)


def test_identifiers_that_the_body_doesnt_hold_are_looked_for_too() -> None:
    person = PersonInCall("", [3], ["old@example.com", ""])
    assert person.of_request("") == ""
    assert person.of_response('{"message":"old@example.com"}') == f'{{"message":"{ERASED}"}}'


def test_masked_fields_dont_make_everything_masked_erased() -> None:
    masked = {"customer_id": "c1", "email": "***"}
    person = PersonInCall(request_of(masked), [0], [])
    assert person.of_text("*** is bad") == "*** is bad"


def test_a_person_is_found_in_a_request_by_any_identifier() -> None:
    assert positions_of(request_of(BOB, ADA, EVE), ["ADA@example.com"]) == [1]
    assert positions_of(request_of(BOB, ADA, EVE), ["424", "423"]) == [0, 2]
    assert positions_of(request_of(BOB), ["nobody@example.com", ""]) == []
    assert positions_of("", ["nobody@example.com"]) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(JSON, st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_whatever_was_sent_and_answered_stays_json(answer: Any, own: dict[str, Any], other: dict[str, Any]) -> None:
    body = json.dumps({"customers": [own, other]})
    person = PersonInCall(body, [0], ["ada@example.com"])
    assert json.loads(person.of_request(body)) == {"customers": [ERASED_PART, other]}
    json.loads(person.of_response(json.dumps(answer)))
    person.of_response(json.dumps(answer)).encode()
