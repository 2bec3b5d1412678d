"""Whatever comes in a query, the answer is a page or a refusal, never a server error."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from blueshift_sync.delivery.status_totals import THRESHOLDS
from tests.api.helpers import ADDRESSES, ENDPOINTS, Address, Endpoint
from tests.factories import make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

VALUES = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Nd", "Zs"]), max_size=5),
    st.integers().map(str),
    st.integers(min_value=2**31, max_value=2**80).map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from(["\0", "%", "'", '"', "null", "true", "None", "NaN", "9" * 5000, "1_0", "٣", "FAILED"]),
)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_no_query_is_a_server_error(reader: APIClient, endpoint: Endpoint) -> None:
    endpoint.make()
    known = [*endpoint.view.filterset_class.base_filters, "ordering", "page_size", "cursor"]
    queries = st.lists(st.tuples(st.sampled_from(known) | st.text(max_size=5), VALUES), min_size=1, max_size=3)

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(queries)
    def answers(pairs: list[tuple[str, str]]) -> None:
        query = "&".join(
            f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}" for name, value in pairs
        )
        assert reader.get(f"{endpoint.list_url}?{query}").status_code in {200, 400, 404}

    answers()


@pytest.mark.parametrize("query", ["%", "%zz", "%ff=%ff", "&&&", "=", "state", "state[]=1", "a=1;b=2"])
def test_a_malformed_query_is_no_server_error(reader: APIClient, query: str) -> None:
    for endpoint in ENDPOINTS:
        assert reader.get(f"{endpoint.list_url}?{query}").status_code in {200, 400}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
ACTIONS = [address for address in ADDRESSES if "post" in address.methods]
EXAMPLES = 500


def bodies(address: Address) -> st.SearchStrategy[Any]:
    """Of names that it knows, and others, with values that fit nowhere."""
    known = ["ids", "customers", "filter", "list_id", "name", "identifier_key", "mode", "description"]
    filters = [*address.view.filterset_class.base_filters]
    fields = st.sampled_from(known) | st.text(max_size=5)
    chosen = st.dictionaries(st.sampled_from(filters) | st.text(max_size=5), JSON, max_size=3)
    return JSON | st.dictionaries(fields, JSON | chosen | st.lists(JSON, max_size=5), max_size=3)


@pytest.mark.parametrize("address", ACTIONS, ids=lambda address: address.name)
def test_no_body_key_or_path_is_a_server_error(reader: APIClient, address: Address) -> None:
    row = make_customer()
    pks = st.sampled_from(["1", str(row.pk), "0", "-1", "9" * 30, "x", "%00", "1.0", "٣"])

    @settings(
        max_examples=EXAMPLES // len(ACTIONS) + 1,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        bodies(address), pks, st.sampled_from(["", "?dry_run=true", "?dry_run=true&cursor=x", "?cursor=%00"]), VALUES
    )
    def answers(body: Any, pk: str, query: str, key: str) -> None:
        path = address.url(1234567).replace("1234567", pk) + query
        text = json.dumps(body)
        headers = {"Idempotency-Key": key.encode("latin-1", "replace").decode("latin-1")}
        response = reader.post(path, text, content_type="application/json", headers=headers)
        assert response.status_code in {200, 201, 202, 400, 404, 409, 413}, response.content
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"

    answers()


@pytest.mark.parametrize("name", ["status", "metrics", "schema"])
def test_no_query_of_the_others_is_a_server_error(reader: APIClient, name: str) -> None:
    address = next(address for address in ADDRESSES if address.name == name)

    everything = list(HealthCheck)

    @settings(max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=everything)
    @given(st.sampled_from([*THRESHOLDS, "sending", "format"]), VALUES)
    def answers(parameter: str, value: str) -> None:
        query = f"{parameter}={quote(value, errors='surrogatepass')}"
        assert reader.get(f"{address.url(1)}?{query}").status_code in {200, 400, 503}

    answers()
