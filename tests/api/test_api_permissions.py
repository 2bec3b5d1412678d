"""Who gets in, whatever the site's settings are. tests/api/test_api_matrix.py has all addresses and methods."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from rest_framework.views import APIView

from blueshift_sync.api.examples import of_parameter
from blueshift_sync.api.filters import CUSTOMER_FILTERS, RANGE
from blueshift_sync.api.openapi import _schema_of
from blueshift_sync.api.urls import urlpatterns
from tests.api.helpers import ADDRESSES, ENDPOINT, ENDPOINTS, Address, Endpoint, client_of, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
each_address = pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)


def statuses(user: object, endpoint: Endpoint, method: str) -> set[int]:
    """The answers of the list and of a detail."""
    urls = [endpoint.list_url, endpoint.detail_url(endpoint.make().pk)]
    return {client_of(user).generic(method.upper(), url).status_code for url in urls}


@each_endpoint
def test_an_inactive_superuser_is_refused(endpoint: Endpoint) -> None:
    user = make_user(is_superuser=True, is_active=False)

    assert statuses(user, endpoint, "get") == {403}


@each_endpoint
def test_an_inactive_user_is_refused_even_if_a_backend_grants_everything(settings: Any, endpoint: Endpoint) -> None:
    settings.AUTHENTICATION_BACKENDS = ["tests.api.helpers.GrantsEverything"]

    assert statuses(make_user(is_active=False), endpoint, "get") == {403}
    assert statuses(make_user(), endpoint, "get") == {200}


@each_endpoint
def test_the_refusal_names_the_permission(endpoint: Endpoint) -> None:
    response = client_of(make_user()).get(endpoint.list_url)

    assert f"blueshift_sync.{endpoint.view_permission}" in response.json()["detail"]


@each_address
@pytest.mark.parametrize(
    "policy",
    [
        "renderer_classes",
        "parser_classes",
        "content_negotiation_class",
        "permission_classes",
        "throttle_classes",
        "versioning_class",
        "metadata_class",
        "schema",
    ],
)
def test_no_policy_is_left_to_the_sites_defaults(address: Address, policy: str) -> None:
    ours = [cls for cls in address.view.__mro__ if cls.__module__.startswith("blueshift_sync.")]

    assert any(policy in vars(cls) for cls in ours)


@each_endpoint
@pytest.mark.parametrize("policy", ["filter_backends", "pagination_class"])
def test_no_list_is_left_to_the_sites_defaults(endpoint: Endpoint, policy: str) -> None:
    ours = [cls for cls in endpoint.view.__mro__ if cls.__module__.startswith("blueshift_sync.")]

    assert any(policy in vars(cls) for cls in ours)


@each_address
def test_logging_in_is_left_to_the_site(address: Address) -> None:
    assert address.view.authentication_classes is APIView.authentication_classes


@each_address
def test_answers_are_not_kept_by_caches(address: Address) -> None:
    response = client_of(make_user(is_superuser=True)).get(address.url(1))

    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


#: What filters need on top of the permission to view the rows themselves, as what they look at is other rows'.
LOOKS_AT = {
    "customers": {"customer_list": {"view_listmembership"}},
    "memberships": {name: {"view_customer"} for name in CUSTOMER_FILTERS[1:]},
    "runs": {
        "customer": {"view_recordresult"},
        "customer_list": {"view_apicall"},
        **{name: {"view_recordresult", "view_customer"} for name in CUSTOMER_FILTERS[1:]},
    },
    "calls": {
        "customer": {"view_recordresult"},
        **{name: {"view_recordresult", "view_customer"} for name in CUSTOMER_FILTERS[1:]},
    },
    "results": {
        "run": {"view_apicall"},
        "customer_list": {"view_apicall"},
        "identifier": {"view_customer"},
        **{f"call__started_at__{end}": {"view_apicall"} for end in RANGE},
        **{name: {"view_customer"} for name in CUSTOMER_FILTERS[1:]},
    },
}


def any_value(filter_: Any) -> str:
    value: str = of_parameter({"name": filter_.field_name, "schema": _schema_of(filter_)})
    return str(value).lower() if isinstance(value, bool) else str(value)


@each_endpoint
def test_no_filter_tells_of_rows_that_one_may_not_view(endpoint: Endpoint) -> None:
    needed = LOOKS_AT.get(endpoint.name, {})
    for name, filter_ in endpoint.view.filterset_class.base_filters.items():
        query = {name: any_value(filter_)}
        permissions = needed.get(name, set())
        for missing in permissions:
            user = make_user(endpoint.view_permission, *permissions - {missing})
            response = client_of(user).get(endpoint.list_url, query)
            assert response.status_code == 403, (name, missing)
            assert missing in response.json()["detail"]
            assert name in response.json()["detail"]
        user = make_user(endpoint.view_permission, *permissions)
        assert client_of(user).get(endpoint.list_url, query).status_code == 200, name


def test_no_filter_of_a_body_does_either() -> None:
    user = make_user("view_listmembership", "push_listmembership")
    chosen = {"filter": {"customer__email": "ann@example.com"}}

    response = client_of(user).post(f"{ENDPOINT['memberships'].list_url}push/", chosen, format="json")

    assert response.status_code == 403
    assert "view_customer" in response.json()["detail"]


def test_no_database_wraps_a_request_in_a_transaction() -> None:
    """Whatever ATOMIC_REQUESTS says, and wherever the tables are: slices of the work commit by themselves."""
    for pattern in urlpatterns:
        assert pattern.callback._non_atomic_requests == set(connections)  # type: ignore[attr-defined]
