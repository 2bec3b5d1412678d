"""Whatever comes in a query, the answer is a page or a refusal, never a server error."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from tests.api.helpers import ENDPOINTS, Endpoint

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
        assert reader.get(f"{endpoint.list_url}?{query}").status_code in {200, 400}

    answers()


@pytest.mark.parametrize("query", ["%", "%zz", "%ff=%ff", "&&&", "=", "state", "state[]=1", "a=1;b=2"])
def test_a_malformed_query_is_no_server_error(reader: APIClient, query: str) -> None:
    for endpoint in ENDPOINTS:
        assert reader.get(f"{endpoint.list_url}?{query}").status_code in {200, 400}
