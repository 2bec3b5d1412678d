"""Rows of the mirror are deleted while their call is in flight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, CustomerList, RecordResult
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
