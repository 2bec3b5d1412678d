"""The hand-made SQL says exactly what the ORM would say, whatever the values are."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Case, F, Value, When
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blueshift_sync.delivery.audit import RESULT_COLUMNS
from blueshift_sync.delivery.statements import (
    FEW_VALUES,
    UPDATED_AT_A_TIME,
    ByKey,
    find_rows,
    insert_copies,
    insert_each,
    insert_rows,
    update_each,
    update_rows,
)
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult
from tests.factories import make_call, make_customer, make_list, make_run

pytestmark = pytest.mark.django_db

#: Texts that end a literal, begin a comment or a parameter, or mean something to one of the databases.
NASTY = [
    "'",
    "''",
    "\\",
    "\\'",
    "%s",
    "%",
    "%%(a)s",
    '"',
    "`",
    "--",
    "/*",
    ";",
    "\n",
    "\t",
    "ü",
    "漢字",
    "😀",
    "$1",
    "?",
    ":x",
]
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, other=TEXTS)
def test_texts_arrive_as_they_are(text: str, other: str) -> None:
    call = make_call()
    insert_rows(
        RecordResult,
        RESULT_COLUMNS,
        [
            (call.pk, None, None, 0, text, 1, "RETRY", "", other, "", {other: text}),
            (call.pk, None, None, 1, other, 2, "ACCEPTED", "", "", "", {}),
        ],
    )
    first, second = call.results.order_by("position")
    assert (first.identifier, first.message, first.details) == (text, other, {other: text})
    assert (second.identifier, second.message, second.details, second.version) == (other, "", {}, 2)
    assert update_rows(ApiCall, [call.pk], {"response_body": text}, state=call.state) == 1
    call.refresh_from_db()
    assert call.response_body == text
    call.results.all().delete()


def test_rows_get_their_own_values_and_those_of_their_columns() -> None:
    ada, grace, mary = (make_customer(version=version) for version in (3, 4, 5))
    runs = [make_run(), make_run()]
    tokens = {ada.pk: uuid.uuid4(), grace.pk: uuid.uuid4()}
    values = {
        "state": "SENDING",
        "claim_token": ByKey.of(tokens),
        "claimed_version": F("version"),
        "claim_expires_at": timezone.now(),
        "run": ByKey.of({ada.pk: runs[0].pk, grace.pk: runs[1].pk}),
        "error_message": ByKey.of({ada.pk: "it's 100 %", grace.pk: "it's 100 %"}),
    }
    assert update_rows(Customer, list(tokens), values) == 2
    for customer, run in zip([ada, grace], runs, strict=True):
        customer.refresh_from_db()
        assert (customer.claim_token, customer.claimed_version) == (tokens[customer.pk], customer.version)
        assert (customer.run, customer.error_message) == (run, "it's 100 %")
    mary.refresh_from_db()
    assert mary.state == "PENDING"


@pytest.mark.parametrize("count", [FEW_VALUES, FEW_VALUES + 1, 3 * UPDATED_AT_A_TIME + 1])
def test_each_of_many_rows_gets_its_own_values(count: int) -> None:
    """Whatever their types, by however many statements; in among others that are the same for all."""
    run, now = make_run(), timezone.now()
    insert_each([Customer(email=f"{number}@example.com") for number in range(count)])
    rows = list(Customer.objects.order_by("pk"))
    for number, row in enumerate(rows):
        row.firstname = None if number == 3 else f"it's \\ 100 % {number}"
        row.attributes = {} if number == 4 else {"n": [number, "it's"]}
        row.claim_token = uuid.uuid4() if number % 2 else None
        row.claim_expires_at = row.failed_at = now + timedelta(seconds=number)
        row.version = number + 1
        row.run_id = run.pk if number < 5 else None
        row.email = f"Mail{number}@example.com"
    names = ["firstname", "attributes", "claim_token", "claim_expires_at", "failed_at", "version", "run_id", "email"]
    tokens = {row.pk: row.claim_token for row in rows}
    values = {name: ByKey.of({row.pk: getattr(row, name) for row in rows}) for name in names}
    for row in rows:
        row.state, row.claimed_version = ("SENDING" if tokens[row.pk] else "PENDING"), (1 if tokens[row.pk] else None)
    values |= {
        "state": ByKey.of({row.pk: row.state for row in rows}),
        "error_message": "it's the same",
        "attempts": F("attempts") + 2,
        "claimed_version": ByKey.of({row.pk: row.claimed_version for row in rows}),
        "error_code": Case(When(version__gt=0, then=Value("some")), default=Value("")),
    }
    pks = [row.pk for row in rows[:-1]]
    assert update_rows(Customer, pks, values, attempts=0, error_code="") == count - 1
    written = list(Customer.objects.order_by("pk"))
    for row, found in zip(rows[:-1], written[:-1], strict=True):
        assert [getattr(found, name) for name in names] == [getattr(row, name) for name in names]
        assert (found.state, found.error_message, found.attempts, found.error_code) == (
            row.state,
            "it's the same",
            2,
            "some",
        )
    assert (written[-1].attempts, written[-1].state) == (0, "PENDING")
    assert update_rows(Customer, pks, values, attempts=0) == 0


def test_values_that_are_no_words_can_differ_as_well() -> None:
    calls = [make_call() for _ in range(3)]
    headers = {call.pk: {"x-request-id": f"'{call.pk}'"} for call in calls}
    update_rows(ApiCall, list(headers), {"response_headers": ByKey.of(headers), "status_code": None})
    for call in calls:
        call.refresh_from_db()
        assert (call.response_headers, call.status_code) == (headers[call.pk], None)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"state": "PENDING"}, {0, 1}),
        ({"state": ["PENDING", "SYNCED"]}, {0, 1, 2}),
        ({"due_at": None}, {2}),
        ({"version": F("synced_version")}, {1}),
        ({"state": "it's"}, set()),
        ({"state": []}, set()),
    ],
)
def test_conditions(condition: dict[str, Any], expected: set[int]) -> None:
    rows = [make_customer(), make_customer(version=2, synced_version=2), make_customer(state="SYNCED", due_at=None)]
    assert set(find_rows(Customer, **condition)) == {rows[number].pk for number in expected}
    assert update_rows(Customer, [row.pk for row in rows], {"attempts": 7}, **condition) == len(expected)
    assert Customer.objects.filter(attempts=7).count() == len(expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
def test_instances_are_inserted_and_updated_as_they_are(texts: list[str]) -> None:
    fields = ["email", "firstname", "attributes", "subscription_groups", "due_at", "fingerprint", "run"]
    run = make_run()
    new = [
        Customer(email=text, firstname=None if number else text, attributes={text: [number]}, due_at=None)
        for number, text in enumerate(texts)
    ]
    insert_each(new)
    rows = list(Customer.objects.order_by("pk"))
    assert [_values(row) for row in rows] == [_values(row) for row in new]
    for number, (row, text) in enumerate(zip(rows, reversed(texts), strict=True)):
        row.email, row.firstname, row.attributes = text, None if number == 1 else text, {"text": text}
        row.subscription_groups = [{"id": text, "subscribed": True}] if number else []
        row.due_at, row.run = timezone.now() if number else None, run if number == 1 else None
    update_each(rows, fields)
    assert [_values(row) for row in Customer.objects.order_by("pk")] == [_values(row) for row in rows]
    Customer.objects.all().delete()


def _values(row: Customer) -> dict[str, Any]:
    names = [field.attname for field in Customer._meta.concrete_fields if field.name not in {"id", "email_key"}]
    return {name: getattr(row, name) for name in names}


@pytest.mark.parametrize("text", ["plain", "it's 100 %\\"])
def test_copies_differ_in_one_column_only(text: str) -> None:
    run, lists = make_run(), make_list()
    customers = [make_customer().pk for _ in range(3)]
    template = ListMembership(customer_list=lists, run=run, error_message=text, synced_identifier=text, due_at=None)
    insert_copies(template, "customer_id", customers)
    rows = list(ListMembership.objects.order_by("pk"))
    names = [field.attname for field in ListMembership._meta.concrete_fields if field.name not in {"id", "customer"}]
    assert [row.customer_id for row in rows] == customers
    for row in rows:
        assert [getattr(row, name) for name in names] == [getattr(template, name) for name in names]


def test_more_instances_than_fit_into_one_statement() -> None:
    insert_each([Customer(email=f"{number}@example.com") for number in range(250)])
    rows = list(Customer.objects.order_by("pk"))
    for number, row in enumerate(rows):
        row.version = number + 1
    update_each(rows, ["version"])
    assert list(Customer.objects.order_by("pk").values_list("version", flat=True)) == list(range(1, 251))


@pytest.mark.parametrize("value", ["text", "", "it's", ["a"], {"a": "'"}, [], {}, 1.5, True])
def test_any_json_value_stays_what_it_is(value: Any) -> None:
    customer = make_customer()
    update_rows(Customer, [customer.pk], {"attributes": value})
    customer.refresh_from_db()
    assert customer.attributes == value


def test_nothing_is_nothing() -> None:
    insert_each([])
    update_each([], ["attempts"])
    insert_rows(RecordResult, RESULT_COLUMNS, [])
    assert update_rows(Customer, [], {"attempts": 1}) == 0
