"""Rows of the mirror are deleted while their call is in flight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db(transaction=True)

Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def in_flight(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something done while the first call is in flight."""

    def do(action: Callable[[], object]) -> None:
        original = BlueshiftClient.send
        actions = iter([action])

        def send(client: BlueshiftClient, call: HttpCall, **options: Any) -> Exchange:
            exchange = original(client, call, **options)
            for each in actions:
                each()
                connection.close()
            return exchange

        monkeypatch.setattr(BlueshiftClient, "send", send)

    return do


def test_of_a_deleted_customer_the_result_remains(unthrottled: Any, in_flight: Meanwhile) -> None:
    for name in ("ada", "bob", "eve"):
        make_customer(customer_id=name)
    in_flight(Customer.objects.filter(customer_id="bob").delete)
    drain()
    assert set(Customer.objects.values_list("customer_id", "state")) == {("ada", "SYNCED"), ("eve", "SYNCED")}
    assert ApiCall.objects.get().state == "SUCCEEDED"
    results = RecordResult.objects.order_by("position").values_list("identifier", "customer__customer_id")
    assert list(results) == [("ada", "ada"), ("bob", None), ("eve", "eve")]


def test_of_a_deleted_list_the_results_remain(unthrottled: Any, in_flight: Meanwhile) -> None:
    unthrottled.create_list(7, source="customer_id")
    customer_list = make_list(list_id=7, identifier_key="customer_id")
    in_step = {"state": "SYNCED", "due_at": None, "synced_version": 1}
    make_membership(customer_list=customer_list, customer=make_customer(customer_id="ada", **in_step))
    in_flight(CustomerList.objects.all().delete)
    drain()
    assert ApiCall.objects.get().state == "SUCCEEDED"
    assert list(RecordResult.objects.values_list("customer__customer_id", "membership")) == [("ada", None)]


@pytest.fixture
def before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something done between the first claims and the opening of their calls."""

    def do(action: Callable[[], object]) -> None:
        original = drain_module.open_calls
        actions = iter([action])

        def open_calls(to_open: Any, job_id: str) -> list[ApiCall]:
            for each in actions:
                each()
            return original(to_open, job_id)

        monkeypatch.setattr(drain_module, "open_calls", open_calls)

    return do


def test_a_list_deleted_before_its_call_is_opened_holds_up_nobody(
    unthrottled: Any, before_it_is_opened: Meanwhile
) -> None:
    """The call is opened without its list, beside those of others."""
    in_step = {"state": "SYNCED", "due_at": None, "synced_version": 1}
    for number in (7, 8):
        unthrottled.create_list(number, source="customer_id")
        customer_list = make_list(list_id=number, identifier_key="customer_id")
        make_membership(customer_list=customer_list, customer=make_customer(customer_id=f"of-{number}", **in_step))
    make_customer(customer_id="ada")
    before_it_is_opened(CustomerList.objects.filter(list_id=7).delete)
    drain()
    assert Customer.objects.get(customer_id="ada").state == "SYNCED"
    assert list(ListMembership.objects.values_list("customer_list__list_id", "state")) == [(8, "SYNCED")]
    calls = ApiCall.objects.order_by("url").values_list("endpoint", "customer_list__list_id")
    assert sorted(calls, key=str) == [("CUSTOMERS_BULK", None), ("LIST_ADD", 8), ("LIST_ADD", None)]
    assert not ApiCall.objects.filter(state="OPEN").exists()
    assert len(unthrottled.requests) == 3


def test_a_list_deleted_before_it_is_read_holds_up_nobody(unthrottled: Any, before_it_is_opened: Meanwhile) -> None:
    unthrottled.create_list(7, source="customer_id")
    make_list(list_id=7, identifier_key="")
    make_customer(customer_id="ada")
    before_it_is_opened(CustomerList.objects.all().delete)
    drain()
    assert Customer.objects.get().state == "SYNCED"
    assert set(ApiCall.objects.values_list("endpoint", "state")) == {
        ("CUSTOMERS_BULK", "SUCCEEDED"),
        ("LIST_READ", "SUCCEEDED"),
    }
