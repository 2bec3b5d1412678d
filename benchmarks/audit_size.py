"""What the audit of one delivered record takes on PostgreSQL's disk, against the record's own JSON."""

from __future__ import annotations

import json

from django.db import connection

from blueshift_sync.models import ApiCall, RecordResult

from . import people
from .harness import Row, check_all_delivered, fill, measure, simulator

RECORDS = 10_000
TABLES = {"calls": ApiCall._meta.db_table, "results": RecordResult._meta.db_table}


def run() -> list[Row]:
    fill(RECORDS)
    _vacuum()
    empty_sizes = _sizes()
    with simulator() as blueshift:
        measure("ours:draining", blueshift={"BASE_URL": blueshift.url})
    check_all_delivered(RECORDS)
    _vacuum()
    parts = {name: (size - empty_sizes.get(name, 0)) / RECORDS for name, size in _sizes().items()}
    sent = sum(len(json.dumps(people.payload(number), separators=(",", ":"))) for number in range(RECORDS)) / RECORDS
    total = sum(parts.values())
    split = {name: round(size) for name, size in sorted(parts.items(), key=lambda part: -part[1]) if size >= 0.5}
    return [
        Row(
            "bytes of audit per delivered record, against its JSON",
            total / sent,
            note=f"{total:.0f} bytes against {sent:.0f}: "
            + ", ".join(f"{name} {size}" for name, size in list(split.items())[:5]),
            details={"bytes_per_record": split, "json_bytes": round(sent)},
        )
    ]


def _vacuum() -> None:
    with connection.cursor() as cursor:
        for table in TABLES.values():
            cursor.execute(f"VACUUM {table}")


def _sizes() -> dict[str, int]:
    """Bytes by part: each table, its TOAST (the long bodies, compressed), and each of its indexes."""
    sizes: dict[str, int] = {}
    with connection.cursor() as cursor:
        for name, table in TABLES.items():
            cursor.execute("SELECT pg_total_relation_size(%s), pg_indexes_size(%s), pg_relation_size(%s)", [table] * 3)
            total, indexes, rows = cursor.fetchone()
            sizes |= {f"{name}: rows": rows, f"{name}: bodies out of line": total - indexes - rows}
            cursor.execute(
                "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes WHERE relname = %s",
                [table],
            )
            sizes |= {f"index {index.removeprefix('blueshift_sync_')}": size for index, size in cursor.fetchall()}
    return sizes
