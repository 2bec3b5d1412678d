"""Answers are read into the closed vocabulary; a record is accepted on positive evidence only."""

import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from blueshift_sync.client import (
    MAX_RETRY_AFTER,
    CallOutcome,
    Exchange,
    RecordOutcome,
    Request,
    TransportFailure,
    customers_bulk,
    find_customer,
    list_add,
    list_remove,
    read_answer,
    read_list,
)

DOCUMENTED = json.loads((Path(__file__).parent / "documented.json").read_text())["cases"]

ONE_CUSTOMER = customers_bulk([{"customer_id": "1", "email": "a@example.com"}])
CUSTOMERS = customers_bulk([{"customer_id": "1"}, {"customer_id": "2"}, {"customer_id": "3"}])
ONE_MEMBER = list_add(1, "email", ["a@example.com"])
MEMBERS = list_add(1, "email", ["a@example.com", "b@example.com"])

ACCEPTED, REJECTED, RETRY, UNKNOWN = RecordOutcome


def answered(body: Any, status: int = 200, **headers: str) -> Exchange:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def outcomes(request: Request, exchange: Exchange) -> list[RecordOutcome]:
    return [record.outcome for record in read_answer(request, exchange).records]


def request_of(case: dict[str, Any]) -> Request:
    if case["endpoint"] == "customers_bulk":
        return customers_bulk(case["sent"])
    build = list_add if case["endpoint"] == "list_add" else list_remove
    return build(35869, "email", case["sent"], case["mode"])


@pytest.mark.parametrize("case", DOCUMENTED, ids=lambda case: case["name"])
def test_documented_answers_are_understood(case: dict[str, Any]) -> None:
    answer = read_answer(request_of(case), answered(case["response"], case["status"]))

    assert answer.outcome == case["outcome"]
    assert [record.outcome for record in answer.records] == case["records"]
    assert [record.code for record in answer.records] == case["codes"]
    assert answer.message == case["message"]


def test_a_rejection_carries_name_sentence_and_the_error_as_received() -> None:
    error = {"status": 400, "error_data": {"Email Invalid": ["is not an address", "is too long"]}}

    answer = read_answer(CUSTOMERS, answered({"customers": [{"customer_id": "2"}], "errors": [error]}))

    rejected = answer.records[1]
    assert (rejected.code, rejected.message) == ("email_invalid", "is not an address; is too long")
    assert rejected.details == error


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, REJECTED), (422, REJECTED), (None, REJECTED), (409, RETRY), (429, RETRY), (500, RETRY), ("503", RETRY)],
)
def test_the_status_inside_an_error_says_whether_it_may_pass(status: Any, outcome: RecordOutcome) -> None:
    error = {"status": status, "error_data": {"some_name": ["some words"]}}

    read = outcomes(CUSTOMERS, answered({"customers": [{"customer_id": "3"}], "errors": [error]}))

    assert read == [ACCEPTED, ACCEPTED, outcome]


def test_errors_are_paired_with_customers_in_step() -> None:
    body = {
        "customers": [{"customer_id": "3"}, {"customer_id": "1"}],
        "errors": [{"error_data": {"third": ["x"]}}, {"error_data": {"first": ["x"]}}],
    }

    answer = read_answer(CUSTOMERS, answered(body))

    assert [record.code for record in answer.records] == ["first", "", "third"]


@pytest.mark.parametrize("error", ["no good", {"message": "no good"}, {"detail": "no good"}, ["no good"]])
def test_errors_of_other_shapes_still_give_a_sentence(error: Any) -> None:
    answer = read_answer(CUSTOMERS, answered({"customers": [{"customer_id": "1"}], "errors": [error]}))

    assert (answer.records[0].outcome, answer.records[0].message) == (REJECTED, "no good")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"customers": [], "errors": ["boom"]}, id="an error without a customer"),
        pytest.param({"customers": [{"customer_id": "1"}], "errors": []}, id="a customer without an error"),
        pytest.param({"customers": [{"customer_id": "9"}], "errors": ["boom"]}, id="a customer that was not sent"),
        pytest.param({"customers": [{"customer_id": "1"}], "errors": [{}]}, id="an error that says nothing"),
        pytest.param({"customers": [{}], "errors": ["boom"]}, id="an empty customer"),
    ],
)
def test_errors_that_fit_no_customer_leave_all_unknown(body: Any) -> None:
    answer = read_answer(CUSTOMERS, answered(body))

    assert (answer.outcome, answer.code) == (CallOutcome.UNREADABLE, "unmatched_errors")
    assert {record.outcome for record in answer.records} == {UNKNOWN}
    assert answer.message == answer.records[0].message != ""


@pytest.mark.parametrize("echoes", [[], [{"customer_id": "someone else"}], [{}, {}]])
def test_the_error_of_a_single_customer_is_its_own(echoes: list[Any]) -> None:
    answer = read_answer(ONE_CUSTOMER, answered({"customers": echoes, "errors": [{"error_data": {"bad": ["x"]}}]}))

    assert [(record.outcome, record.code) for record in answer.records] == [(REJECTED, "bad")]


def test_several_errors_of_a_single_customer_are_all_told() -> None:
    answer = read_answer(ONE_CUSTOMER, answered({"customers": [], "errors": ["one", {"status": 500, "error": "two"}]}))

    assert (answer.records[0].outcome, answer.records[0].message) == (REJECTED, "one; two")
    assert answer.records[0].details == {"errors": ["one", {"status": 500, "error": "two"}]}


@pytest.mark.parametrize(
    "request_", [ONE_CUSTOMER, CUSTOMERS, ONE_MEMBER, MEMBERS], ids=lambda request: request.endpoint
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Welcome</title></html>",
        b'{"customers":[],"errors":[',
        b'{"customers":[],"errors":["boom"],"errors":[]}',
        b'{"status":"ok","errors":["boom"],"errors":[]}',
        b"[" * 100_000,
        {},
        [],
        "ok",
        {"status": "ok"},
        {"customers": []},
        {"errors": []},
        {"customers": None, "errors": None},
        {"customers": [], "errors": {}},
        {"customers": [], "errors": [], "status": "error"},
        {"customers": [], "errors": [], "status": 500},
        {"customers": [], "errors": [], "error": "boom"},
        {"customers": [], "errors": [], "success": False},
        {"status": "ok", "errors": [], "error": "boom"},
        {"status": "ok", "errors": [], "success": False},
        {"status": "queued", "errors": []},
        {"status": "ok", "errors": {}},
    ],
    ids=str,
)
def test_a_200_that_proves_nothing_accepts_nothing(request_: Request, body: Any) -> None:
    answer = read_answer(request_, answered(body))

    assert answer.outcome is CallOutcome.UNREADABLE
    assert {record.outcome for record in answer.records} == {UNKNOWN}
    assert answer.code == "unreadable_answer"
    assert answer.message.endswith(".")


def test_a_harmless_addition_to_the_documented_shape_is_no_contradiction() -> None:
    body = {"customers": [], "errors": [], "status": 200, "success": True, "error": None, "request_id": "1"}

    assert outcomes(CUSTOMERS, answered(body)) == [ACCEPTED, ACCEPTED, ACCEPTED]


def test_the_error_of_a_single_list_member_is_its_own() -> None:
    answer = read_answer(ONE_MEMBER, answered({"status": "error", "errors": [{"email": "unknown"}]}))

    assert [(record.outcome, record.message) for record in answer.records] == [(REJECTED, "email: unknown")]


def test_the_errors_of_several_list_members_cannot_be_told_apart() -> None:
    answer = read_answer(MEMBERS, answered({"status": "ok", "errors": [{"email": "unknown"}]}))

    assert (answer.outcome, answer.code) == (CallOutcome.UNREADABLE, "unmatched_errors")
    assert {record.outcome for record in answer.records} == {UNKNOWN}


def test_an_answer_that_was_cut_accepts_nothing_though_its_start_reads_well() -> None:
    whole = b'{"customers":[],"errors":[]}'
    cut = Exchange(200, {}, whole, error="The answer was cut.", code="answer_too_long")
    broken = Exchange(200, {}, whole, failure=TransportFailure.NO_ANSWER, error="It broke.", code="connection_lost")

    answers = [read_answer(ONE_CUSTOMER, exchange) for exchange in (cut, broken)]

    assert [answer.outcome for answer in answers] == [CallOutcome.UNREADABLE, CallOutcome.NO_ANSWER]
    assert [answer.records[0].outcome for answer in answers] == [UNKNOWN, UNKNOWN]
    assert [answer.code for answer in answers] == ["answer_too_long", "connection_lost"]


def test_a_refusal_counts_though_its_body_broke_off() -> None:
    exchange = Exchange(401, {}, b'{"mess', failure=TransportFailure.NO_ANSWER, error="It broke.")

    assert read_answer(ONE_CUSTOMER, exchange).outcome is CallOutcome.UNAUTHORIZED


@pytest.mark.parametrize(
    ("failure", "outcome", "record"),
    [
        (TransportFailure.NOT_SENT, CallOutcome.NOT_SENT, RETRY),
        (TransportFailure.NO_ANSWER, CallOutcome.NO_ANSWER, UNKNOWN),
    ],
)
def test_a_failed_transport_tells_whether_the_call_may_have_arrived(
    failure: TransportFailure, outcome: CallOutcome, record: RecordOutcome
) -> None:
    answer = read_answer(CUSTOMERS, Exchange(failure=failure, error="It failed.", code="some_word"))

    assert (answer.outcome, answer.code, answer.message) == (outcome, "some_word", "It failed.")
    assert {(one.outcome, one.code) for one in answer.records} == {(record, "some_word")}


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (100, CallOutcome.UNEXPECTED, "http_100"),
        (302, CallOutcome.UNEXPECTED, "http_302"),
        (999, CallOutcome.UNEXPECTED, "http_999"),
        (400, CallOutcome.BAD_REQUEST, "bad_request"),
        (418, CallOutcome.BAD_REQUEST, "http_418"),
        (401, CallOutcome.UNAUTHORIZED, "unauthorized"),
        (403, CallOutcome.FORBIDDEN, "forbidden"),
        (404, CallOutcome.NOT_FOUND, "not_found"),
        (408, CallOutcome.SERVER_ERROR, "http_408"),
        (409, CallOutcome.CONFLICT, "conflict"),
        (413, CallOutcome.TOO_LARGE, "too_large"),
        (422, CallOutcome.UNPROCESSABLE, "unprocessable"),
        (425, CallOutcome.SERVER_ERROR, "http_425"),
        (429, CallOutcome.RATE_LIMITED, "rate_limited"),
        (599, CallOutcome.SERVER_ERROR, "http_599"),
    ],
)
def test_every_status_has_its_outcome_and_code(status: int, outcome: CallOutcome, code: str) -> None:
    answer = read_answer(ONE_CUSTOMER, answered(b"", status))

    assert (answer.outcome, answer.code) == (outcome, code)
    assert answer.message.startswith(f"Blueshift answered {status}.")


SPLIT = "RETRY batch_refused"


@pytest.mark.parametrize(
    ("status", "one_customer", "customers", "one_member", "members"),
    [
        (400, "REJECTED bad_request", SPLIT, "REJECTED bad_request", SPLIT),
        (413, "REJECTED too_large", SPLIT, "RETRY too_large", SPLIT),
        (422, "REJECTED unprocessable", SPLIT, "RETRY unprocessable", "RETRY unprocessable"),
        (404, *["RETRY not_found"] * 4),
        (401, *["RETRY unauthorized"] * 4),
        (409, *["RETRY conflict"] * 4),
        (429, *["RETRY rate_limited"] * 4),
        (503, *["RETRY http_503"] * 4),
        (302, *["RETRY http_302"] * 4),
    ],
)
def test_a_refused_call_decides_over_its_records(
    status: int, one_customer: str, customers: str, one_member: str, members: str
) -> None:
    def fates(request: Request) -> set[str]:
        return {f"{one.outcome} {one.code}" for one in read_answer(request, answered(b"", status)).records}

    assert fates(ONE_CUSTOMER) == {one_customer}
    assert fates(CUSTOMERS) == {customers}
    assert fates(ONE_MEMBER) == {one_member}
    assert fates(MEMBERS) == {members}


@pytest.mark.parametrize("wrap", [lambda thing: thing, lambda thing: [thing]], ids=["object", "array of one"])
def test_a_read_gives_the_object(wrap: Any) -> None:
    found = {"filename": "Newsletter", "source": "email", "status": "active", "user_count": 3}

    answer = read_answer(read_list(1), answered(wrap(found)))

    assert (answer.outcome, answer.records, answer.data) == (CallOutcome.ANSWERED, (), found)


def test_a_ping_is_answered_by_a_search_that_found_nobody() -> None:
    answer = read_answer(find_customer("nobody@example.com"), answered({"users": []}))

    assert (answer.outcome, answer.data) == (CallOutcome.ANSWERED, {"users": []})


@pytest.mark.parametrize(
    "request_", [read_list(1), find_customer("a@example.com")], ids=lambda request: request.endpoint
)
@pytest.mark.parametrize("body", [b"", b"<html>", {}, [], [{}, {}], {"error": "boom"}, {"status": "ok"}, 3], ids=str)
def test_a_read_of_something_else_is_unreadable(request_: Request, body: Any) -> None:
    answer = read_answer(request_, answered(body))

    assert (answer.outcome, answer.records, answer.data) == (CallOutcome.UNREADABLE, (), None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("١٢", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Foo 99999999999999999999 99:99:99 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +" + "9" * 20, None),
    ],
)
def test_retry_after_is_read_with_care(header: str, seconds: float | None) -> None:
    assert read_answer(ONE_CUSTOMER, answered(b"", 429, Retry_After=header)).retry_after == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    header = formatdate(time.time() + 120, usegmt=True)

    seconds = read_answer(ONE_CUSTOMER, answered(b"", 503, retry_after=header)).retry_after

    assert seconds is not None
    assert 100 < seconds <= 120


def test_blueshifts_request_id_is_kept_in_any_spelling_and_bounded() -> None:
    answer = read_answer(ONE_CUSTOMER, answered(b"", 500, X_Request_Id="abc\x00\n" + "d" * 999))

    assert answer.request_id.startswith("abc d")
    assert len(answer.request_id) == 255
