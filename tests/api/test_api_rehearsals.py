"""A rehearsal tells the very calls: whatever the records are like, the simulator then receives just those."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import (
    ApiCall,
    AttributeType,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListMembership,
    RecordResult,
    SyncRun,
)
from tests.api.helpers import ADDRESSES, ENDPOINT
from tests.factories import make_call, make_customer, make_list, make_membership, make_removal, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

SYNCED: dict[str, Any] = {"state": "SYNCED", "version": 1, "synced_version": 1, "due_at": None, "waiting_since": None}
FAILED: dict[str, Any] = {"state": "FAILED", "error_code": "email_invalid", "error_message": "No.", "due_at": None}
EXCLUDED: dict[str, Any] = {"state": "EXCLUDED", "error_code": "excluded", "error_message": "Left out.", "due_at": None}
STATES = {"synced": SYNCED, "failed": FAILED, "excluded": EXCLUDED}
LISTS = {"email": 7, "customer_id": 8}

#: What a customer may be like: with an ID or known by an address only, that others share; with values of two types.
PEOPLE = st.fixed_dictionaries(
    {
        "is": st.sampled_from(["synced", "synced", "failed", "excluded"]),
        "has_id": st.booleans(),
        "address": st.sampled_from(["a", "b", "own", "own", "none"]),
        "value": st.sampled_from([1, 1, "text", None]),
    }
)
#: What a membership may be like: on the list, off it, under another identifier, failed, excluded.
PLACES = st.fixed_dictionaries(
    {
        "list": st.sampled_from(list(LISTS)),
        "is": st.sampled_from(["synced", "failed", "excluded", "none", "none"]),
        "is_member": st.booleans(),
        "known_as": st.sampled_from(["", "", "before@example.com"]),
    }
)
SCENES = st.lists(st.tuples(PEOPLE, PLACES), min_size=1, max_size=12)
EXAMPLES = 5


class Scene:
    """The rows of one example, all of them in one run and in the results of one call."""

    def __init__(self, people: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        self.run = make_run(kind="CUSTOMERS")
        self.list_run = make_run(kind="LISTS")
        self.lists = {
            key: CustomerList.objects.filter(list_id=number).first()
            or make_list(list_id=number, identifier_key=key, source=key, mode="sync")
            for key, number in LISTS.items()
        }
        self.customers = [self._customer(number, person) for number, (person, _place) in enumerate(people)]
        self.memberships = [
            self._membership(customer, place)
            for customer, (_person, place) in zip(self.customers, people, strict=True)
            if place["is"] != "none"
        ]
        self.call = make_call(run=self.run)
        for customer in self.customers:
            make_result(call=self.call, customer=customer)

    def _customer(self, number: int, person: dict[str, Any]) -> Customer:
        addresses = {"own": f"p{number}@example.com", "none": ""}
        email = addresses.get(person["address"], f"{person['address']}@example.com")
        has_id = person["has_id"] or not email
        attributes = {} if person["value"] is None else {"plan": person["value"]}
        return make_customer(
            customer_id=f"p-{number}" if has_id else None,
            email=email,
            attributes=attributes,
            run=self.run,
            **STATES[person["is"]],
        )

    def _membership(self, customer: Customer, place: dict[str, Any]) -> ListMembership:
        known = {"synced_identifier": place["known_as"], "synced_is_member": True} if place["known_as"] else {}
        return make_membership(
            customer=customer,
            customer_list=self.lists[place["list"]],
            is_member=place["is_member"],
            run=self.list_run,
            **known,
            **STATES[place["is"]],
        )

    @property
    def pks(self) -> list[int]:
        return [customer.pk for customer in self.customers]


#: Each action that sends, by its address's name: which row it is about, and its body.
ACTIONS: dict[str, Any] = {
    "customers-push-many": lambda scene: (0, {"ids": scene.pks}),
    "customers-push": lambda scene: (scene.pks[0], {}),
    "memberships-push-many": lambda scene: (0, {"filter": {"created_at__gte": "2020-01-01"}}),
    "memberships-push": lambda scene: (scene.memberships[0].pk if scene.memberships else 0, {}),
    "lists-add": lambda scene: (scene.lists["email"].pk, {"customers": scene.pks}),
    "lists-remove": lambda scene: (scene.lists["customer_id"].pk, {"customers": scene.pks}),
    "runs-retry": lambda scene: (scene.run.pk, {}),
    "runs-retry of lists": lambda scene: (scene.list_run.pk, {}),
    "calls-resend": lambda scene: (scene.call.pk, {}),
}


def test_no_action_that_sends_is_forgotten() -> None:
    sending = {address.name for address in ADDRESSES if "dry_run" in getattr(address.view, "own_parameters", ())}
    found = {
        f"{name}-{action.url_name}"
        for name, endpoint in ENDPOINT.items()
        for action in endpoint.view.get_extra_actions()
        if "dry_run" in action.kwargs.get("own_parameters", ())
    }
    assert sending == set()  # they are actions, each with parameters of its own
    assert found == {name.partition(" ")[0] for name in ACTIONS}


def clear() -> None:
    for model in (RecordResult, ApiCall, ListMembership, CustomerRemoval, Customer, SyncRun, AttributeType):
        model._default_manager.all().delete()


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_told_is_what_is_sent(
    name: str, reader: APIClient, unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two with one address go one after the other, a second apart.
    monkeypatch.setattr("blueshift_sync.delivery.claim.timedelta", lambda seconds: timedelta(seconds=seconds - 0.95))
    for key, number in LISTS.items():
        unthrottled.create_list(number, source=key)
    happened = {"calls": 0, "left_out": 0}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(SCENES)
    def told_and_sent(people: Any) -> None:
        clear()
        scene, before = Scene(people), len(unthrottled.requests)
        pk, body = ACTIONS[name](scene)
        address = next(each for each in ADDRESSES if each.name == name.partition(" ")[0]).url(pk)

        told = reader.post(f"{address}?dry_run=true", body, format="json")
        assert len(unthrottled.requests) == before
        asked = reader.post(address, body, format="json")
        if told.status_code != 200:
            assert told.status_code == asked.status_code
            return
        drain()

        answer = told.json()
        assert answer["next"] is None
        sent = [(call.method, call.url, call.request_body) for call in ApiCall.objects.filter(run=asked.json()["id"])]
        planned = [(call["method"], call["url"], call["request_body"]) for call in answer["calls"]]
        assert sorted(sent) == sorted(planned)
        # Others may have followed: a list hears of a customer's new address when Blueshift has that.
        arrived = unthrottled.requests[before:]
        received = Counter((request.method, unthrottled.url + request.path, request.body) for request in arrived)
        assert Counter(planned) <= received
        carried = {record["customer"] for call in answer["calls"] for record in call["records"]}
        left_out = {left["customer"] for left in answer["left_out"]}
        assert not carried & left_out
        assert all(left["reason"] for left in answer["left_out"])
        happened["calls"] += len(sent)
        happened["left_out"] += len(left_out)

    told_and_sent()
    assert happened["calls"]


def test_the_pages_of_a_long_one_have_the_calls_that_are_made(
    unthrottled: Any, reader: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page cuts a call in two, whoever of its records is left out."""
    monkeypatch.setattr("blueshift_sync.sources.rehearsal.RECORDS_AT_ONCE", 60)
    people = [make_customer(**(EXCLUDED if number % 7 == 3 else SYNCED)) for number in range(300)]
    body = {"ids": [customer.pk for customer in people]}
    address = "/some/prefix/customers/push/"
    planned, left_out, page = [], [], f"{address}?dry_run=true"
    while page:
        told = reader.post(page, body, format="json").json()
        planned += [call["request_body"] for call in told["calls"]]
        left_out += [left["customer"] for left in told["left_out"]]
        page = told["next"]

    reader.post(address, body, format="json")
    drain()

    assert sorted(request.body for request in unthrottled.requests) == sorted(planned)
    assert left_out == [customer.pk for number, customer in enumerate(people) if number % 7 == 3]


def test_a_rehearsal_ends_where_there_is_nothing_more(reader: APIClient) -> None:
    """A run may be of customers and of removals: the second page isn't named where it would be empty."""
    run = make_run()
    make_customer(run=run, **FAILED)

    assert reader.post(f"/some/prefix/runs/{run.pk}/retry/?dry_run=true").json()["next"] is None
    make_removal(run=run, **FAILED)

    page = reader.post(f"/some/prefix/runs/{run.pk}/retry/?dry_run=true").json()
    following = reader.post(page["next"]).json()
    assert [call["endpoint"] for call in page["calls"]] == ["CUSTOMERS_BULK"]
    assert [call["endpoint"] for call in following["calls"]] == ["CUSTOMER_DELETE"]
    assert following["next"] is None


def test_a_removal_that_would_wait_or_not_be_done_is_left_out(reader: APIClient) -> None:
    run = make_run()
    waits, is_used, goes = (make_removal(run=run, **FAILED) for _ in range(3))
    make_membership(customer=waits.customer, is_member=False)
    make_customer(customer_id=is_used.identifier + "-x")
    CustomerRemoval.objects.filter(pk=is_used.pk).update(identifier=is_used.identifier + "-x")

    told = reader.post(f"/some/prefix/runs/{run.pk}/retry/?dry_run=true").json()

    assert [record["customer"] for call in told["calls"] for record in call["records"]] == [goes.customer_id]
    reasons = {left["customer"]: left["reason"] for left in told["left_out"]}
    assert "taken off its lists first" in reasons[waits.customer_id]
    assert "is in use again" in reasons[is_used.customer_id]
    assert set(CustomerRemoval.objects.values_list("state", flat=True)) == {"FAILED"}


def test_a_record_that_is_just_being_sent_is_told_of(reader: APIClient) -> None:
    """It goes once more when that call has ended."""
    customer = make_customer(state="SENDING")

    told = reader.post(f"/some/prefix/customers/{customer.pk}/push/?dry_run=true").json()

    assert [record["customer"] for call in told["calls"] for record in call["records"]] == [customer.pk]
    customer.refresh_from_db()
    assert customer.state == "SENDING"
