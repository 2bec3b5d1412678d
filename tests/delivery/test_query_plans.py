"""With a large backlog, what a worker asks again and again is answered from an index, on every database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery import gathering, imports, retention
from blueshift_sync.delivery.call_sums import sum_up_calls
from blueshift_sync.delivery.drain import seconds_until_due
from blueshift_sync.delivery.lists import note_counts
from blueshift_sync.delivery.memberships import ListTurns, lists_with_due_members
from blueshift_sync.delivery.memberships import claim_memberships as claim_all
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.status import take_status
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import (
    ApiCall,
    Customer,
    CustomerList,
    ListImportMatch,
    ListMembership,
    RecordResult,
    SyncRun,
)
from tests.delivery.one_call import claim_customers, claim_memberships
from tests.factories import make_customer, make_import, make_list, make_run

DUE_CUSTOMERS = 80_000
DUE_MEMBERSHIPS = 20_000
OLD_CALLS = 21_600
FEW = 40
#: Customers who are in step, and as many who are due, while a file is matched.
IN_FILES = 10_000
TABLES = (Customer._meta.db_table, ListMembership._meta.db_table)


@pytest.fixture
def backlog(db: None) -> None:
    """Due rows: four fifths of them customers, the others memberships of customers that are in step."""
    make_backlog(DUE_CUSTOMERS, DUE_MEMBERSHIPS)


def make_backlog(due_customers: int, due_memberships: int) -> None:
    due_at = timezone.now() - timedelta(hours=1)
    in_step = {"state": "SYNCED", "due_at": None}
    customers = [
        Customer(customer_id=f"c{number}", **({"due_at": due_at} if number < due_customers else in_step))
        for number in range(due_customers + due_memberships)
    ]
    Customer.objects.bulk_create(customers, batch_size=2000)
    news, run = make_list(identifier_key="customer_id"), make_run(kind="LISTS")
    pks = Customer.objects.filter(state="SYNCED").values_list("pk", flat=True)
    ListMembership.objects.bulk_create(
        [ListMembership(customer_list=news, customer_id=pk, run=run, due_at=due_at) for pk in pks], batch_size=2000
    )
    analyze()


def analyze() -> None:
    """What autovacuum does after a while."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def plans(work: Callable[[], object], tables: Sequence[str]) -> dict[str, list[str]]:
    """The plan of each statement of `work` on the large tables: how each of them is read."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        work()
    statements = [query["sql"] for query in queries]
    large = [
        sql
        for sql in statements
        if sql.startswith(("SELECT", "UPDATE", "DELETE")) and any(table in sql for table in tables)
    ]
    return {sql: list(accesses(sql, tables)) for sql in large}


def accesses(sql: str, tables: Sequence[str]) -> Iterator[str]:
    """How the database would read the large tables, as it says itself."""
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN (FORMAT JSON)", "mysql": "EXPLAIN"}
    with connection.cursor() as cursor:
        cursor.execute(f"{explain[connection.vendor]} {sql}")
        rows: Any = cursor.fetchall()
    match connection.vendor:
        case "sqlite":
            yield from (detail for *_, detail in rows if any(table in detail for table in tables))
        case "postgresql":
            plan = rows[0][0]
            yield from _nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"], tables)
        case _:
            yield from (f"{row[3]} {row[2]}" for row in rows if row[2] in tables)


def _nodes(node: dict[str, Any], tables: Sequence[str]) -> Iterator[str]:
    if node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable":
        condition = "with a condition" if "Index Cond" in node or "Recheck Cond" in node else "of everything"
        yield f"{node['Node Type']} {condition} on {node['Relation Name']}"
    for child in node.get("Plans", []):
        yield from _nodes(child, tables)


def reads_everything(access: str) -> bool:
    match connection.vendor:
        case "sqlite":
            return access.startswith("SCAN")
        case "postgresql":
            return access.startswith("Seq Scan") or "of everything" in access
        case _:
            return access.startswith(("ALL ", "index "))


def assert_read_by_index(work: Callable[[], object], tables: Sequence[str] = TABLES) -> None:
    found = plans(work, tables)
    assert found
    assert {sql: plan for sql, plan in found.items() if any(map(reads_everything, plan))} == {}


def test_nothing_that_is_asked_again_and_again_reads_the_whole_backlog(backlog: None) -> None:
    run = make_run()
    assert_read_by_index(lambda: claim_customers(lambda kind: run.pk))
    assert_read_by_index(lambda: claim_memberships(lambda kind: run.pk))
    assert_read_by_index(seconds_until_due)
    Customer.objects.filter(state="SENDING").update(claim_expires_at=timezone.now() - timedelta(hours=1))
    assert_read_by_index(recover_expired_claims)
    assert_read_by_index(sweep)
    # The backlog takes its time to be made: the status is asked here too.
    Customer.objects.filter(state="PENDING", customer_id__endswith="7").update(state="FAILED", due_at=None)
    assert_read_by_index(take_status)


def test_a_file_is_matched_and_carried_out_by_indexes(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of it, by either identifier, while another file with many customers waits, and the list has many members.

    Of a hundredth of a table PostgreSQL reads all, and rightly; of a million customers a part is far less.
    """
    make_backlog(IN_FILES, IN_FILES)
    news = CustomerList.objects.get()
    found = list(Customer.objects.order_by("pk")[:FEW])
    for customer in found:
        customer.email = f"{customer.customer_id}@example.com"
        customer.save()
    another = make_import(*Customer.objects.order_by("-pk")[:IN_FILES], customer_list=news)
    rows = []
    for key in ("customer_id", "email"):
        row = make_import(state="MATCHING", identifier_key=key, customer_list=news, parts_matched=0)
        row.parts.update(lines=[[number, getattr(customer, key)] for number, customer in enumerate(found, start=1)])
        rows.append(row)
    analyze()
    tables = (*TABLES, ListImportMatch._meta.db_table)
    for row in rows:
        assert_read_by_index(lambda matched=row: imports.match(matched.pk, seconds=None), tables)  # type: ignore[misc]
        row.refresh_from_db()
        assert row.customers == FEW
    monkeypatch.setattr(gathering, "SLICE", FEW // 2)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)
    assert_read_by_index(lambda: services.start_import(row), tables)
    assert news.memberships.filter(run__imports=row).count() == gathering.SLICE
    assert another.matches.count() == IN_FILES


@pytest.fixture
def many_lists(db: None) -> None:
    """A thousand lists, with twenty due members each."""
    Customer.objects.bulk_create(Customer(customer_id=f"c{number}") for number in range(20))
    Customer.objects.update(state="SYNCED", due_at=None)
    CustomerList.objects.bulk_create(
        CustomerList(list_id=number, identifier_key="customer_id", is_ready=True, read_due_at=None)
        for number in range(1, 1001)
    )
    people = list(Customer.objects.values_list("pk", flat=True))
    due_at = timezone.now() - timedelta(hours=1)
    for customer_list in CustomerList.objects.order_by("pk"):
        ListMembership.objects.bulk_create(
            ListMembership(customer_list=customer_list, customer_id=pk, due_at=due_at) for pk in people
        )
    analyze()


def test_of_a_thousand_lists_those_with_due_members_are_found_by_index(many_lists: None) -> None:
    run = make_run(kind="LISTS")
    turns = ListTurns()
    tables = [ListMembership._meta.db_table]
    assert_read_by_index(lambda: [turns.next() for _ in range(30)], tables)
    assert_read_by_index(lambda: claim_all(lambda kind: run.pk, 2, turns), tables)
    # The others have been sent: each costs a look into the index.
    last = CustomerList.objects.latest("pk")
    ListMembership.objects.exclude(customer_list=last).update(state="SYNCED", due_at=None, claim_token=None)
    assert_read_by_index(lambda: list(lists_with_due_members()[:20]), tables)
    assert list(lists_with_due_members()) == [last.pk]
    assert_read_by_index(lambda: note_counts(last.pk), tables)


@pytest.fixture
def old_audit(db: None) -> None:
    """Ten calls a minute for a day and a half: a third of them are too old, and the oldest are without bodies."""
    now = timezone.now()
    run = make_run(created_at=now - timedelta(days=2), finished_at=now - timedelta(days=2), state="SUCCEEDED")
    calls = [
        ApiCall(
            started_at=now - timedelta(days=1.5) + timedelta(seconds=6 * number),
            state="SUCCEEDED",
            record_count=1,
            bodies_emptied_at=now if number < OLD_CALLS / 3 else None,
        )
        for number in range(OLD_CALLS)
    ]
    ApiCall.objects.bulk_create(calls, batch_size=2000)
    pks = ApiCall.objects.order_by("pk").values_list("pk", flat=True)
    RecordResult.objects.bulk_create([RecordResult(call_id=pk, position=0) for pk in pks], batch_size=5000)
    runs = [SyncRun(created_at=now - timedelta(seconds=20 * number)) for number in range(5000)]
    SyncRun.objects.bulk_create(runs)
    Customer.objects.bulk_create([Customer(customer_id=f"c{number}") for number in range(20_000)], batch_size=2000)
    Customer.objects.filter(customer_id="c7").update(run=run)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def two_of(slices: Callable[[Any], Iterator[object]], rows: Any) -> list[object]:
    return list(islice(slices(rows), 2))


def test_a_plan_that_reads_everything_is_noticed(db: None) -> None:
    for _ in range(3):
        make_customer()
    with pytest.raises(AssertionError):
        assert_read_by_index(lambda: list(Customer.objects.filter(firstname="Nobody")))


def test_the_overview_and_retention_read_the_calls_that_they_are_about_and_no_others(
    old_audit: None, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "/admin/blueshift_sync/overview/"
    tables = (ApiCall._meta.db_table, Customer._meta.db_table)
    assert_read_by_index(lambda: admin_client.get(page), tables)  # nothing is summed up yet
    assert_read_by_index(lambda: sum_up_calls(timezone.now()), tables)
    for _ in range(10):
        sum_up_calls(timezone.now())
    assert_read_by_index(lambda: admin_client.get(page), tables)
    assert "lack calls since" not in admin_client.get(page).content.decode()
    monkeypatch.setattr(retention, "CALLS", 100)
    before = timezone.now() - timedelta(hours=35)
    tables = [model._meta.db_table for model in (ApiCall, RecordResult, SyncRun, Customer)]
    for rows, slices in (
        (retention._with_bodies(timezone.now() - timedelta(hours=23)), retention._empty),
        (retention._ended_calls(before), retention._delete_calls),
        (retention._ended_runs(before), retention._delete_runs),
    ):
        assert_read_by_index(partial(two_of, slices, rows), tables)
