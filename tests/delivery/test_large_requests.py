"""Customers so large that many in one call, or many calls at once, are more than a database takes in one statement."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from blueshift_sync.delivery.batches import LARGEST_BODY
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.statements import insert_each, update_each
from blueshift_sync.models import ApiCall, Customer, SyncRun
from tests.factories import make_customer

pytestmark = pytest.mark.django_db

MEGABYTE = 1024 * 1024


def longest_statement() -> int:
    """What the server takes, in bytes; what MariaDB takes if nobody has changed it where there is no such limit."""
    if connection.vendor != "mysql":
        return 16 * MEGABYTE
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return int(cursor.fetchone()[0])


def make_more_than_a_statement_holds(size: int) -> int:
    """Makes customers of so many bytes each, together more than a statement may have. Returns how many they are."""
    count = longest_statement() // size + 2
    for number in range(count):
        make_customer(attributes={"text": f"{number}".rjust(size, ".")})
    return count


def test_they_go_in_calls_that_can_be_stored(unthrottled: Any) -> None:
    count = make_more_than_a_statement_holds(MEGABYTE)
    drain()
    assert Customer.objects.filter(state="SYNCED").count() == count
    bodies = [request.body for request in unthrottled.requests]
    assert max(map(len, bodies)) <= LARGEST_BODY
    assert sorted(ApiCall.objects.values_list("request_body", flat=True)) == sorted(bodies)
    assert len(unthrottled.customers) == count


def test_many_such_calls_are_opened_together(unthrottled: Any, settings: Any) -> None:
    count = make_more_than_a_statement_holds(2 * MEGABYTE)
    # Customers get a third of the places.
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CONCURRENCY": 3 * count, "CUSTOMERS_PER_CALL": 1}
    drain()
    assert Customer.objects.filter(state="SYNCED").count() == count


def test_one_that_is_too_large_by_itself_fails_with_a_sentence_and_holds_nobody_up(unthrottled: Any) -> None:
    others = [make_customer() for _ in range(3)]
    large = make_customer(attributes={"text": "." * LARGEST_BODY})
    drain()
    large.refresh_from_db()
    assert (large.state, large.error_code) == ("FAILED", "value_not_sendable")
    assert large.error_message.startswith("This record makes a call of more than 3,145,728 bytes:")
    assert {customer["customer_id"] for customer in unthrottled.customers} == {row.customer_id for row in others}
    run = SyncRun.objects.get()
    assert (run.state, run.total, run.accepted, run.rejected) == ("PARTIAL", 4, 3, 1)


def test_masked_it_is_longer_and_stored_all_the_same(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "REDACT": ["digits"]}
    make_customer(attributes={"digits": [1] * (LARGEST_BODY // 2 - 200)})
    drain()
    assert Customer.objects.get().state == "SYNCED"
    assert len(ApiCall.objects.get().request_body) > 2.9 * LARGEST_BODY


def test_rows_are_written_by_several_statements() -> None:
    # Each of these characters is twelve bytes of JSON, with two backslashes that are doubled.
    text = "\N{GRINNING FACE}" * 200_000
    count = longest_statement() // (12 * len(text)) + 2
    rows = [Customer(customer_id=f"c{number}", attributes={"text": text}) for number in range(count)]
    insert_each(rows)
    stored = list(Customer.objects.order_by("pk"))
    assert [row.attributes for row in stored] == [{"text": text}] * count
    for number, row in enumerate(stored):
        row.attributes = {"text": f"{number}{text}"}
    update_each(stored, ["attributes"])
    assert [row.attributes for row in Customer.objects.order_by("pk")] == [row.attributes for row in stored]
