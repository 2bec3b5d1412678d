"""How many queries each page of the admin makes: as many as are stored, however many rows there are.

`pytest tests/admin/test_query_counts.py --renew-query-counts` writes query_counts.json anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from .addresses import addresses
from .rows import make_many_more, make_one_of_each

STORED = Path(__file__).with_name("query_counts.json")
FEW, MANY = 1, 12


def queries_of(client: Client, address: str) -> list[str]:
    client.get(address)  # what is kept between requests is there now
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code in {200, 302, 403, 405}, urlsplit(address).path
    return [query["sql"] for query in captured.captured_queries]


def test_no_page_makes_other_queries_than_before_or_more_for_more_rows(
    admin_client: Client, pytestconfig: pytest.Config
) -> None:
    rows = make_one_of_each()
    make_many_more(rows, FEW)
    pages = addresses(admin_client, rows)
    with_few = {name: queries_of(admin_client, address) for name, address in pages.items()}
    make_many_more(rows, MANY)
    with_many = {name: queries_of(admin_client, address) for name, address in pages.items()}

    growing = {name: with_many[name] for name, few in with_few.items() if len(few) != len(with_many[name])}
    assert growing == {}
    counts = {name: len(queries) for name, queries in sorted(with_few.items())}
    if pytestconfig.getoption("--renew-query-counts"):
        STORED.write_text(json.dumps(counts, indent=2) + "\n")
    assert counts == json.loads(STORED.read_text()), "If that is meant: pytest tests/admin --renew-query-counts"
