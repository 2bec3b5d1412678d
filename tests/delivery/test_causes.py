"""The causes are found along their index, on every database, however many records have none or the same one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync.delivery.causes import failed_in_run, groups_of, of_cause
from blueshift_sync.models import Customer, RecordResult
from blueshift_sync.models.causes import cause_of
from blueshift_sync.models.state import failure
from tests.factories import make_call, make_customer, make_membership, make_removal, make_run

pytestmark = pytest.mark.django_db

NOW = timezone.now()
WELL, ALIKE = 8_000, 500
PRIMARY_KEYS = ("_pkey", "PRIMARY KEY", "PRIMARY ")
MESSAGES = ("Name is bad", "Phone is bad", "Age is bad")


@pytest.fixture
def many(db: None) -> None:
    """Customers and results that are well, and some that failed for one of three causes."""
    Customer.objects.bulk_create(
        [Customer(customer_id=f"c{number}", state="SYNCED", due_at=None) for number in range(WELL)]
        + [
            Customer(
                customer_id=f"f{number}", **failure("rejected", MESSAGES[number % 3], NOW - timedelta(seconds=number))
            )
            for number in range(ALIKE)
        ],
        batch_size=1000,
    )
    call = make_call()
    RecordResult.objects.bulk_create(
        [RecordResult(call=call, position=number, outcome="ACCEPTED") for number in range(WELL)]
        + [
            RecordResult(
                call=call,
                position=WELL + number,
                outcome="REJECTED",
                code="rejected",
                error_cause=cause_of("rejected", MESSAGES[number % 3]),
            )
            for number in range(ALIKE)
        ],
        batch_size=1000,
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def indexes_used(work: Callable[[], object], table: str) -> Iterator[str]:
    """For each access of the table the name of the index that it is read by; of none, what is done instead."""
    with CaptureQueriesContext(connection) as queries:
        work()
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN (FORMAT JSON)", "mysql": "EXPLAIN"}
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"{explain[connection.vendor]} {query['sql']}")
            rows: Any = cursor.fetchall()
        match connection.vendor:
            case "sqlite":
                yield from (detail for *_, detail in rows if table in detail)
            case "postgresql":
                plan = rows[0][0]
                yield from _nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"], table)
            case _:
                yield from (f"{row[5]} {row[9]}" for row in rows if row[2] == table)


def _nodes(node: dict[str, Any], table: str) -> Iterator[str]:
    if node.get("Relation Name") == table:
        yield node.get("Index Name") or json.dumps(node.get("Plans", node["Node Type"]))
    for child in node.get("Plans", []):
        yield from _nodes(child, table)


@pytest.mark.parametrize("model", [Customer, RecordResult])
def test_causes_are_found_by_their_index(model: Any, many: None) -> None:
    table = model._meta.db_table
    name = {Customer: "bsync_customer_cause", RecordResult: "bsync_result_cause"}[model]
    used = list(indexes_used(lambda: groups_of(model, model._default_manager.all()), table))
    assert len([each for each in used if name in each]) >= 4
    assert [each for each in used if not any(index in each for index in (name, *PRIMARY_KEYS))] == []


def test_the_records_of_a_cause_are_read_in_the_order_of_their_index(many: None) -> None:
    rows = of_cause(Customer.objects.all(), cause_of("rejected", MESSAGES[0])).order_by("-failed_at", "-id")
    (used,) = indexes_used(lambda: list(rows[:10]), Customer._meta.db_table)
    assert "bsync_customer_cause" in used
    assert "filesort" not in used


def test_groups_tell_how_many_and_since_when(many: None) -> None:
    found = groups_of(Customer, Customer.objects.all())
    assert found.is_all
    assert [(group.last.error_message, group.count) for group in found.groups] == [
        ("Name is bad", 167),
        ("Phone is bad", 167),
        ("Age is bad", 166),
    ]
    first, last = found.groups[0].first, found.groups[0].last
    assert (first.customer_id, last.customer_id) == ("f498", "f0")


def test_groups_of_results_are_in_the_order_of_what_happened_last(many: None) -> None:
    found = groups_of(RecordResult, RecordResult.objects.all())
    assert [group.last.position - WELL for group in found.groups] == [499, 498, 497]
    assert [group.first.position - WELL for group in found.groups] == [1, 0, 2]


def test_in_a_run_only_its_own_failures_are_counted() -> None:
    run, other = make_run(), make_run()
    for _ in range(3):
        make_customer(run=run, state="FAILED", error_message="Name is bad")
    make_removal(run=run, state="FAILED", customer=None)
    make_customer(run=run, state="SYNCED")
    make_customer(run=other, state="FAILED")
    make_membership(run=run, state="FAILED")
    found, is_all = failed_in_run(run, (Customer, type(make_removal())))
    assert is_all
    assert [(each.model.__name__, each.count) for each in found] == [("Customer", 3), ("CustomerRemoval", 1)]
