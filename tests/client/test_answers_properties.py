"""Whatever comes back is read without an exception, and nothing is accepted that Blueshift didn't accept."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from blueshift_sync.client import (
    Answer,
    CallOutcome,
    Exchange,
    RecordAnswer,
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

REQUESTS = [
    customers_bulk([{"customer_id": "1", "email": "a@example.com"}]),
    customers_bulk([{"customer_id": "1"}, {"email": "b@example.com", "plan": "x"}, {"lastname": "Doe"}]),
    customers_bulk([{"lastname": "twin"}, {"lastname": "twin"}]),
    list_add(1, "email", ["a@example.com"]),
    list_remove(1, "customer_id", ["1", "2"], "sync"),
    read_list(1),
    find_customer("a@example.com"),
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_values = st.recursive(
    scalars | st.sampled_from(["ok", "1", "2", "a@example.com", "Doe", "twin", 400, 429]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
echoes = st.dictionaries(st.sampled_from(["customer_id", "email", "uuid", "lastname", "plan"]), json_values, max_size=4)
errors = json_values | st.fixed_dictionaries(
    {"status": json_values, "error_data": st.dictionaries(st.text(max_size=8), json_values, max_size=2)}
)
#: Bodies near the documented shapes, where the mistakes would be.
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "customers": st.lists(echoes | json_values, max_size=4) | json_values,
        "errors": st.lists(errors, max_size=4) | json_values,
        "status": st.just("ok") | json_values,
        "success": json_values,
        "error": json_values,
    },
)
bodies = (
    st.binary(max_size=64)
    | (json_values | near_misses).map(lambda value: json.dumps(value).encode())
    | near_misses.map(lambda value: json.dumps(value).encode()[:-3])
    | st.sampled_from([b"[" * 50_000, b"9" * 5_000, '{"errors":[]}'.encode("utf-16"), b'{"\\ud800":"\\udfff"}'])
)
headers = st.dictionaries(st.sampled_from(["Retry-After", "retry-after", "X-Request-Id", "x"]), st.text(), max_size=3)
exchanges = st.builds(
    Exchange,
    status=st.none() | st.integers(0, 1000) | st.sampled_from([200, 200, 200, 201, 400, 413, 429]),
    headers=headers,
    body=bodies,
    failure=st.none() | st.sampled_from(TransportFailure),
    error=st.sampled_from(["", "", "Something failed."]),
)
requests = st.sampled_from(REQUESTS)


def accepted(answer: Answer) -> int:
    return sum(record.outcome is RecordOutcome.ACCEPTED for record in answer.records)


def assert_storable(value: Any) -> None:
    """As JSON in UTF-8, without NUL and without numbers that JSON doesn't know."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert "\\u0000" not in text.replace("\\\\", "")


@given(requests, exchanges)
@settings(deadline=None)
def test_reading_never_raises_and_answers_for_every_record(request: Request, exchange: Exchange) -> None:
    answer = read_answer(request, exchange)

    assert len(answer.records) == len(request.records)
    everything: list[Answer | RecordAnswer] = [answer, *answer.records]
    for said in everything:
        assert said.message.isprintable()
        assert len(said.message) <= 1000
        assert said.code == "" or said.code.replace("_", "").isalnum()
    for record in answer.records:
        assert_storable(record.details)
    assert_storable(answer.data)
    assert answer.retry_after is None or 0 <= answer.retry_after <= 86_400
    assert (answer.message == "") is (answer.outcome is CallOutcome.ANSWERED)


@given(requests, exchanges)
@settings(deadline=None)
def test_nothing_is_accepted_outside_a_whole_success(request: Request, exchange: Exchange) -> None:
    answer = read_answer(request, exchange)

    if exchange.status is None or exchange.status // 100 != 2 or exchange.failure or exchange.error:
        assert answer.outcome is not CallOutcome.ANSWERED
    if answer.outcome is not CallOutcome.ANSWERED:
        assert accepted(answer) == 0


@given(st.sampled_from(REQUESTS[:3]), near_misses | json_values)
@settings(deadline=None)
def test_accepted_customers_are_those_that_no_error_is_about(request: Request, body: Any) -> None:
    answer = read_answer(request, Exchange(200, {}, json.dumps(body).encode()))

    if accepted(answer):
        assert isinstance(body["customers"], list)
        assert isinstance(body["errors"], list)
        assert len(body["customers"]) == len(body["errors"]) == len(request.records) - accepted(answer)
        assert not body.get("error")
        assert body.get("success", True) is True


@given(st.sampled_from(REQUESTS[3:5]), near_misses | json_values)
@settings(deadline=None)
def test_list_members_are_accepted_all_or_none_and_only_by_the_documented_body(request: Request, body: Any) -> None:
    answer = read_answer(request, Exchange(200, {}, json.dumps(body).encode()))

    if accepted(answer):
        assert accepted(answer) == len(request.records)
        assert (body["status"], body["errors"]) == ("ok", [])
        assert not body.get("error")
        assert body.get("success", True) is True


@dataclass
class Case:
    """A customer, whether it fails, and how its echo differs from what was sent."""

    identifiers: tuple[str, ...]
    extra: dict[str, Any]
    fails: bool
    dropped: set[str]
    added_nulls: set[str]
    spell: Callable[[str], str]

    def customer(self, number: int) -> dict[str, Any]:
        known = {"customer_id": f"C-{number}", "email": f"Person{number}@Example.com"}
        return {name: known[name] for name in self.identifiers} | self.extra

    def echo(self, number: int) -> dict[str, Any]:
        sent = self.customer(number)
        echo = {name: value for name, value in sent.items() if name not in self.dropped}
        if "email" in echo:
            echo["email"] = self.spell(echo["email"])
        return dict.fromkeys(self.added_nulls) | echo


cases = st.builds(
    Case,
    identifiers=st.sampled_from([("customer_id",), ("email",), ("customer_id", "email")]),
    extra=st.dictionaries(st.sampled_from(["firstname", "plan", "vip"]), st.sampled_from([None, True, 1.5, "x", [2]])),
    fails=st.booleans(),
    dropped=st.sets(st.sampled_from(["firstname", "plan", "vip"])),
    added_nulls=st.sets(st.sampled_from(["customer_id", "email", "uuid", "lastname"])),
    spell=st.sampled_from([str.lower, str.upper, str.swapcase]),
)


@given(st.lists(cases, min_size=2, max_size=12))
@settings(deadline=None)
def test_exactly_the_echoed_customers_are_rejected(batch: list[Case]) -> None:
    failing = [position for position, case in enumerate(batch) if case.fails]
    body = {
        "customers": [batch[position].echo(position) for position in failing],
        "errors": [{"status": 400, "error_data": {f"at_{position}": ["bad"]}} for position in failing],
    }
    request = customers_bulk(case.customer(number) for number, case in enumerate(batch))

    answer = read_answer(request, Exchange(200, {}, json.dumps(body).encode()))

    assert answer.outcome is CallOutcome.ANSWERED
    assert [(record.outcome, record.code) for record in answer.records] == [
        (RecordOutcome.REJECTED, f"at_{position}") if case.fails else (RecordOutcome.ACCEPTED, "")
        for position, case in enumerate(batch)
    ]
