"""A site's mirror and audit of any size, written by PostgreSQL itself: a million customers take minutes, not hours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model

from blueshift_sync.delivery.figures import keep_figures
from blueshift_sync.models import (
    ApiCall,
    AttributeType,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListImport,
    ListImportMatch,
    ListImportPart,
    ListMembership,
    RecordResult,
    SyncRun,
)

LISTS, ATTRIBUTES, IMPORTS = 60, 60, 60
#: One of the imports is a file with a line for every customer.
LARGEST_IMPORT, LINES_PER_PART = 41, 1_000
#: Rows of each table for a customer; a page shows up to 50, so a thousand customers fill every page.
CALLS_PER_CUSTOMER, RESULTS_PER_CALL = 0.1, 50
RUNS_PER_CUSTOMER = REMOVALS_PER_CUSTOMER = 0.06
#: After so many the sums of 40 days of calls are complete.
SWEEPS = 40
BIG = (Customer, ListMembership, ApiCall, RecordResult, SyncRun, CustomerRemoval, ListImportPart, ListImportMatch)

#: Of a hundred records: 86 in step, and as many of the others as an operator has to look for on a bad day.
STATE = """(CASE WHEN i % 100 < 86 THEN 'SYNCED' WHEN i % 100 < 92 THEN 'PENDING'
    WHEN i % 100 < 98 THEN 'FAILED' ELSE 'EXCLUDED' END)"""
ERROR_CODE = """(CASE WHEN i % 100 = 99 THEN CASE WHEN i % 10000 = 99 THEN 'excluded_by_operator' ELSE 'excluded' END
    WHEN i % 100 NOT BETWEEN 92 AND 97 THEN '' WHEN i % 1000 < 993 THEN 'invalid_email'
    WHEN i % 1000 < 998 THEN 'type_changed' ELSE 'cause_' || i % 20 END)"""
OUTCOME = """(CASE WHEN i % 100 < 90 THEN 'ACCEPTED' WHEN i % 100 < 96 THEN 'REJECTED'
    WHEN i % 100 < 98 THEN 'RETRY' ELSE 'UNKNOWN' END)"""
CODE = """(CASE WHEN i % 100 < 90 THEN '' WHEN i % 1000 < 993 THEN 'invalid_email' ELSE 'cause_' || i % 20 END)"""
CALL_STATE = """(CASE WHEN i % 100 < 88 THEN 'SUCCEEDED' WHEN i % 100 < 95 THEN 'PARTIAL'
    WHEN i % 100 < 98 THEN 'FAILED' ELSE 'UNKNOWN' END)"""
#: The newest a moment ago, the oldest three months ago.
MOMENT = "now() - interval '90 days' * (1 - i::float / {count})"
BODY = (
    """'{"customers":[' || repeat('{"customer_id":"c' || i || '","email":"c' || i || '@example.com"},', 50) || ']}'"""
)


def fill(customers: int) -> None:
    """Empties the tables, and writes so many customers with what belongs to them. The same for the same number."""
    tables = [model for model in apps.get_app_config("blueshift_sync").get_models() if not model._meta.proxy]
    with connection.cursor() as cursor, _without_checks(cursor):
        cursor.execute(f"TRUNCATE {', '.join(_table(model) for model in tables)} CASCADE")
        _write(cursor, customers)
    for _ in range(SWEEPS):
        keep_figures()
    with connection.cursor() as cursor:
        for model in tables:
            cursor.execute(f"VACUUM ANALYZE {_table(model)}")


def size_on_disk() -> int:
    """Bytes of the whole database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def _write(cursor: Any, customers: int) -> None:
    runs, calls = int(customers * RUNS_PER_CUSTOMER), int(customers * CALLS_PER_CUSTOMER)
    failed = {
        "error_code": ERROR_CODE,
        "error_message": f"CASE WHEN {ERROR_CODE} = '' THEN '' ELSE 'Refused: ' || i END",
        "error_cause": f"CASE WHEN {STATE} = 'FAILED' THEN left(md5({ERROR_CODE}), 16) ELSE '' END",
        "failed_at": f"CASE WHEN {STATE} = 'FAILED' THEN {MOMENT.format(count=customers)} END",
    }
    waiting = {
        "state": STATE,
        "version": "2",
        "synced_version": f"CASE WHEN {STATE} = 'SYNCED' THEN 2 ELSE 1 END",
        "due_at": f"CASE WHEN {STATE} = 'PENDING' THEN now() END",
        "waiting_since": f"CASE WHEN {STATE} = 'PENDING' THEN now() END",
        "synced_at": MOMENT.format(count=customers),
        "run_id": f"1 + i % {runs}",
        "fingerprint": "md5(i::text)",
        "synced_fingerprint": "md5(i::text)",
    }
    name = {"list_id": "i", "name": "'List ' || i", "identifier_key": "'email'"}
    _insert(cursor, AttributeType, ATTRIBUTES, name="'attribute_' || i", json_type="'text'")
    _insert(cursor, CustomerList, LISTS, **name)
    _insert(
        cursor,
        SyncRun,
        runs,
        kind="CASE WHEN i % 3000 = 0 THEN 'LISTS' ELSE 'CUSTOMERS' END",
        trigger="CASE WHEN i % 3000 < 2 THEN 'ADMIN' ELSE 'SIGNAL' END",
        state="CASE WHEN i % 100 < 90 THEN 'SUCCEEDED' WHEN i % 100 < 97 THEN 'PARTIAL' ELSE 'FAILED' END",
        total="20",
        accepted="18",
        rejected="2",
        calls_made="2",
        **{name: MOMENT.format(count=runs) for name in ("created_at", "started_at", "heartbeat_at", "finished_at")},
    )
    _insert(
        cursor,
        Customer,
        customers,
        customer_id="'c' || i",
        email="'c' || i || '@example.com'",
        email_key="'c' || i || '@example.com'",
        firstname="'First ' || i",
        lastname="'Last ' || i",
        attributes="""jsonb_build_object('plan', 'gold', 'orders', i % 20, 'language', 'de')""",
        source_type="'shop.customer'",
        source_id="i::text",
        **waiting,
        **failed,
    )
    _insert(
        cursor,
        ListMembership,
        customers,
        customer_id="i",
        customer_list_id=f"1 + i % {LISTS}",
        source_type="'shop.newslettersignup'",
        source_id="i::text",
        synced_is_member="true",
        **waiting,
        **failed,
    )
    _insert(
        cursor,
        ApiCall,
        calls,
        run_id=f"1 + i % {runs}",
        customer_list_id=f"CASE WHEN i % 3 = 0 THEN 1 + i % {LISTS} END",
        endpoint="CASE WHEN i % 5000 = 0 THEN 'LIST_REMOVE' WHEN i % 3 = 0 THEN 'LIST_ADD' ELSE 'CUSTOMERS_BULK' END",
        method="'POST'",
        url="'https://api.getblueshift.com/api/v1/customers/bulk'",
        request_body=BODY,
        response_body="""'{"status":"success"}'""",
        status_code="200",
        request_id="'request-' || i",
        state=CALL_STATE,
        record_count=str(RESULTS_PER_CALL),
        started_at=MOMENT.format(count=calls),
        duration_ms="100 + i % 900",
        error_count="3",
        error_code=f"CASE WHEN {CALL_STATE} = 'FAILED' THEN 'http_503' ELSE '' END",
    )
    _insert(
        cursor,
        RecordResult,
        calls * RESULTS_PER_CALL,
        call_id=f"1 + (i - 1) / {RESULTS_PER_CALL}",
        customer_id=f"1 + (i * 7) % {customers}",
        membership_id=f"CASE WHEN (1 + (i - 1) / {RESULTS_PER_CALL}) % 3 = 0 THEN 1 + (i * 7) % {customers} END",
        position=f"(i - 1) % {RESULTS_PER_CALL}",
        identifier=f"'c' || (1 + (i * 7) % {customers})",
        version="1",
        outcome=OUTCOME,
        code=CODE,
        message=f"CASE WHEN {CODE} = '' THEN '' ELSE 'Refused: ' || i END",
        error_cause=f"CASE WHEN {CODE} = '' THEN '' ELSE left(md5({CODE}), 16) END",
    )
    _insert(
        cursor,
        CustomerRemoval,
        int(customers * REMOVALS_PER_CUSTOMER),
        kind="'DELETE'",
        identifier_key="'customer_id'",
        identifier="'c' || i",
        customer_id="i",
        source_type="'shop.customer'",
        source_id="i::text",
        **waiting,
        **failed,
    )
    _insert(
        cursor,
        ListImport,
        IMPORTS,
        customer_list_id=f"1 + i % {LISTS}",
        filename="'members-' || i || '.csv'",
        identifier_key="'email'",
        state=f"CASE WHEN i = {LARGEST_IMPORT} OR i % 10 = 0 THEN 'READY' ELSE 'DONE' END",
        lines=str(customers),
        matched=str(customers - customers // 10),
        unknown=str(customers // 10),
        customers=str(customers),
    )
    _insert(
        cursor,
        ListImportPart,
        customers // LINES_PER_PART,
        list_import_id=str(LARGEST_IMPORT),
        number="i",
        problem_count="100",
        problems="""(SELECT jsonb_agg(jsonb_build_array(1000 * i + n, 'n' || n || '@example.com', 'unknown'))
            FROM generate_series(1, 100) AS n)""",
    )
    _insert(cursor, ListImportMatch, customers, list_import_id=str(LARGEST_IMPORT), customer_id="i")


def _insert(cursor: Any, model: type[Model], count: int, **values: str) -> None:
    """Writes rows with the primary keys 1 to `count`. `values` are SQL by column, of the row's number `i`.

    Columns that aren't named get the model's default, so that a new one needs nothing here.
    """
    given = {"id": "i", **values}
    columns = {field.column: given.pop(field.column, None) or _default(field) for field in model._meta.concrete_fields}
    assert not given, f"{model.__name__} has no {', '.join(given)}."
    cursor.execute(
        f"INSERT INTO {_table(model)} ({', '.join(columns)}) "
        f"SELECT {', '.join(columns.values())} FROM generate_series(1, {count}) AS i"
    )
    cursor.execute(f"SELECT setval(pg_get_serial_sequence('{_table(model)}', 'id'), {count})")


def _default(field: Any) -> str:
    value = field.get_default()
    if isinstance(value, datetime):
        return "now()"
    if isinstance(value, dict | list):
        return f"'{json.dumps(value)}'::jsonb"
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool | int) else f"'{value}'"


def _table(model: type[Model]) -> str:
    return str(model._meta.db_table)


@contextmanager
def _without_checks(cursor: Any) -> Iterator[None]:
    """The rows fit together by construction, and indexes are made quicker afterwards, all at once."""
    cursor.execute("SET session_replication_role = replica")
    cursor.execute("SET synchronous_commit = off")
    cursor.execute("SET maintenance_work_mem = '512MB'")
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = ANY(%s::regclass[]) AND NOT indisprimary "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [[_table(model) for model in BIG]],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    try:
        yield
    finally:
        for _, definition in indexes:
            cursor.execute(definition)
        for setting in ("session_replication_role", "synchronous_commit", "maintenance_work_mem"):
            cursor.execute(f"RESET {setting}")
