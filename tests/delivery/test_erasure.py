"""A person is erased: nothing of it is left in the audit and the mirror, and the skeleton of the record is."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, find_customer
from blueshift_sync.delivery import erasure
from blueshift_sync.delivery.audit import close_calls
from blueshift_sync.delivery.batches import Batch, Finished
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.erased_bodies import ERASED, ERASED_PART
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, CustomerRemoval, ListMembership, RecordResult
from tests.factories import (
    make_call,
    make_customer,
    make_detached_customer,
    make_list,
    make_membership,
    make_removal,
    make_result,
)

pytestmark = pytest.mark.django_db

State = Customer.State
ADA = {"customer_id": "ada-1", "email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace"}
SECRETS = ("ada-1", "ada@example.com", "Lovelace", "+44 20")


@pytest.fixture
def ada() -> Customer:
    """Whose object was deleted."""
    return make_detached_customer(**ADA, attributes={"phone_number": "+44 20"})


def sent(*customers: dict[str, Any], **fields: Any) -> ApiCall:
    return make_call(request_body=json.dumps({"customers": customers}), record_count=len(customers), **fields)


def everything() -> str:
    """All that the tables of ours say."""
    rows: list[Any] = []
    for model in (Customer, ListMembership, CustomerRemoval, ApiCall, RecordResult):
        assert issubclass(model, Model)
        rows += model._default_manager.values()
    return json.dumps(rows, default=str)


def carried(customer: Customer, position: int = 1, **fields: Any) -> RecordResult:
    """A call with three customers, of which this one was refused."""
    parts = [{"customer_id": f"c{number}", "email": f"c{number}@example.com"} for number in range(3)]
    parts[position] = customer.payload
    call = sent(
        *parts,
        error="ada@example.com is bad",
        response_body=json.dumps({"customers": [customer.payload], "errors": [{"status": 400, "x": "+44 20"}]}),
    )
    refused = {"outcome": "REJECTED", "code": "bad", "message": "Lovelace is bad", "details": {"x": "+44 20"}}
    fields = {"call": call, "customer": customer, "position": position, "identifier": "ada-1", **refused, **fields}
    return make_result(**fields)


def test_nothing_of_the_person_is_left_and_the_skeleton_is(ada: Customer) -> None:
    result = carried(ada)
    make_removal(customer=ada, identifier="ada-1", state=State.SYNCED, source_id="ada@example.com")
    make_membership(
        customer=ada, is_member=False, state=State.SYNCED, synced_identifier="ada@example.com", error_message="+44 20"
    )
    user = User.objects.create(username="olga")
    erased = services.erase_person(ada, requested_by=user)
    assert (erased.row, erased.calls, erased.results, erased.removals, erased.still_needed) == (True, 1, 1, 1, 0)
    assert [secret for secret in SECRETS if secret in everything()] == []

    before, call = result.call, ApiCall.objects.get()
    for name in ("state", "started_at", "record_count", "url", "status_code", "request_id", "duration_ms"):
        assert getattr(call, name) == getattr(before, name)
    assert json.loads(call.request_body)["customers"][0]["email"] == "c0@example.com"
    assert json.loads(call.request_body)["customers"][1] == ERASED_PART
    assert json.loads(call.response_body)["errors"] == [{**ERASED_PART, "status": 400}]
    now = RecordResult.objects.get()
    for name in ("call_id", "customer_id", "position", "outcome", "code", "version"):
        assert getattr(now, name) == getattr(result, name)
    assert (now.identifier, now.message, now.details["erased"]["by"]) == (ERASED, "", "olga")
    ada.refresh_from_db()
    assert (ada.state, ada.error_code) == ("EXCLUDED", "erased")
    assert "by olga" in ada.error_message


def test_the_others_of_the_call_stay_as_they_are(ada: Customer) -> None:
    result = carried(ada)
    other = make_result(call=result.call, customer=make_customer(), position=0, message="A sentence.")
    services.erase_person(ada)
    other.refresh_from_db()
    assert (other.message, other.details) == ("A sentence.", {})
    assert other.identifier != ERASED


def test_a_row_that_a_source_owns_is_left_and_its_history_erased() -> None:
    customer = make_customer(**ADA, source_type="site.person", source_id="5", state=State.SYNCED)
    carried(customer)
    erased = services.erase_person(customer)
    assert (erased.row, erased.results) == (False, 1)
    customer.refresh_from_db()
    assert (customer.email, customer.state) == ("ada@example.com", "SYNCED")
    assert "ada@example.com" not in json.dumps(list(ApiCall.objects.values()), default=str)


def test_a_row_made_by_hand_is_emptied_and_not_sent_any_more() -> None:
    customer = make_customer(**ADA, source_type=None, source_id=None, state=State.PENDING)
    services.erase_person(customer)
    assert (customer.state, customer.customer_id, customer.email) == ("EXCLUDED", None, "")
    assert services.push([customer]).total == 0


@pytest.mark.parametrize("what", ["customer", "membership", "removal"])
def test_while_a_call_is_on_its_way_nothing_is_erased(ada: Customer, what: str) -> None:
    carried(ada)
    if what == "customer":
        claim = {"claim_token": uuid.uuid4(), "claim_expires_at": ada.created_at, "claimed_version": 1}
        Customer.objects.filter(pk=ada.pk).update(state=State.SENDING, **claim)
    elif what == "membership":
        make_membership(customer=ada, state=State.SENDING)
    else:
        make_removal(customer=ada, state=State.SENDING)
    before = everything()
    with pytest.raises(BlueshiftSyncError, match="on its way"):
        services.erase_person(ada)
    assert everything() == before


def test_what_is_sent_in_between_is_erased_as_well(ada: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    erase_removals = erasure._erase_removals

    def meanwhile(*args: Any) -> int:
        carried(ada)
        return erase_removals(*args)

    monkeypatch.setattr(erasure, "_erase_removals", meanwhile)
    assert services.erase_person(ada).results == 1
    assert "Lovelace" not in everything()


def test_what_must_still_be_sent_keeps_its_identifier_and_is_counted(unthrottled: Any) -> None:
    unthrottled.create_list(7, source="email")
    news = make_list(list_id=7, identifier_key="email")
    person = make_detached_customer(**ADA)
    make_membership(customer=person, customer_list=news, is_member=False, synced_is_member=True, state=State.PENDING)
    make_removal(customer=person, identifier="ada-1", state=State.FAILED, due_at=None)
    erased = services.erase_person(person)
    assert (erased.row, erased.still_needed) == (True, 2)
    drain()
    call = ApiCall.objects.get(endpoint="LIST_REMOVE")
    assert json.loads(call.request_body)["identifier_values"] == ["ada@example.com"]
    CustomerRemoval.objects.update(state=State.EXCLUDED)
    again = services.erase_person(person)
    assert (again.still_needed, again.results, again.removals) == (0, 1, 1)
    assert "ada" not in everything().lower().replace("metadata", "")


@pytest.mark.parametrize("trouble", [{"status": "DELETED"}, {"identifier_key": ""}])
def test_a_list_that_nobody_can_be_taken_off_keeps_no_identifier(ada: Customer, trouble: dict[str, str]) -> None:
    make_membership(
        customer=ada,
        customer_list=make_list(**{"identifier_key": "email", **trouble}),
        is_member=False,
        state=State.PENDING,
        synced_identifier="ada@example.com",
    )
    assert services.erase_person(ada).still_needed == 0
    assert "ada@example.com" not in everything()


def test_results_and_removals_without_a_customer_are_found_by_identifier(ada: Customer) -> None:
    make_result(customer=None, identifier="ada-1", call=sent({"customer_id": "ada-1"}), position=0)
    make_result(customer=None, identifier="ada@example.com", call=sent({"email": "ada@example.com"}), position=0)
    make_result(customer=None, identifier="bob@example.com")
    make_removal(customer=None, identifier="ada-1", state=State.SYNCED)
    erased = services.erase_person(ada)
    assert (erased.results, erased.removals) == (2, 1)
    assert "ada-1" not in everything()
    assert "bob@example.com" in everything()


def test_a_call_whose_worker_died_without_results_is_found_by_its_body(ada: Customer) -> None:
    lost = sent({"email": "bob@example.com"}, ada.payload, state="UNKNOWN", error_code="worker_died")
    assert services.erase_person(ada).calls == 1
    lost.refresh_from_db()
    assert json.loads(lost.request_body)["customers"] == [{"email": "bob@example.com"}, ERASED_PART]


def test_an_answer_that_comes_afterwards_brings_nothing_back(ada: Customer) -> None:
    result = carried(ada)
    ApiCall.objects.update(state="UNKNOWN")
    services.erase_person(ada)
    exchange = Exchange(status=200, headers={}, body=b'{"email": "ada@example.com"}', duration_ms=5)
    batch = Batch(find_customer("x@example.com"), None, Customer)
    close_calls([Finished(batch, result.call, exchange, Answer(CallOutcome.ANSWERED, "", "", ()))])
    assert "ada@example.com" not in everything()


def test_the_second_time_there_is_nothing_to_erase(ada: Customer) -> None:
    carried(ada)
    services.erase_person(ada)
    before = RecordResult.objects.values().get()
    erased = services.erase_person(ada)
    assert (erased.calls, erased.results, erased.removals) == (0, 0, 0)
    assert RecordResult.objects.values().get() == before


def test_by_slices_all_goes_and_one_that_was_interrupted_is_finished(
    ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SLICE", 2)
    monkeypatch.setattr(erasure, "LOOKED_AT", 3)
    for number in range(7):
        carried(ada, position=number % 3)
    erase_results = erasure._erase_results
    slices = iter(range(2))

    def interrupted(*args: Any) -> set[int]:
        next(slices)
        return erase_results(*args)

    monkeypatch.setattr(erasure, "_erase_results", interrupted)
    with pytest.raises(StopIteration):
        services.erase_person(ada)
    ada.refresh_from_db()
    assert ada.email
    monkeypatch.setattr(erasure, "_erase_results", erase_results)
    services.erase_person(ada)
    assert [secret for secret in SECRETS if secret in everything()] == []


def test_the_number_of_statements_goes_by_the_persons_calls_alone(ada: Customer) -> None:
    carried(ada)
    with CaptureQueriesContext(connection) as few:
        services.erase_person(ada)
    other = make_detached_customer(**{**ADA, "customer_id": "other"})
    for _ in range(20):
        make_result(customer=make_customer())
    carried(other)
    with CaptureQueriesContext(connection) as again:
        services.erase_person(other)
    assert len(again) == len(few)


def test_whoever_was_refused_the_customer_id_may_have_it(ada: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[set[str]] = []
    monkeypatch.setattr("blueshift_sync.services.mirror.let_have_ids", lambda ids, using: freed.append(ids))
    services.erase_person(ada)
    assert freed == [{"ada-1"}]
