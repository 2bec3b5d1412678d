"""Who gets in: each kind of user, on each endpoint, with each method."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.views import APIView

from tests.api.helpers import ENDPOINTS, Endpoint, client_of, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

METHODS = ["get", "head", "post", "put", "patch", "delete", "options", "trace"]
READING = {"get", "head"}

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
each_method = pytest.mark.parametrize("method", METHODS)


def statuses(user: object, endpoint: Endpoint, method: str) -> set[int]:
    """The answers of the list and of a detail."""
    urls = [endpoint.list_url, endpoint.detail_url(endpoint.make().pk)]
    return {client_of(user).generic(method.upper(), url).status_code for url in urls}


def test_the_matrix_covers_every_endpoint_of_the_contract() -> None:
    names = {endpoint.name for endpoint in ENDPOINTS}
    assert names >= {"customers", "lists", "memberships", "runs", "calls", "results"}


@each_endpoint
@each_method
def test_anonymous_is_refused(endpoint: Endpoint, method: str) -> None:
    assert statuses(None, endpoint, method) <= {401, 403}


@each_endpoint
@each_method
def test_without_any_permission_a_user_is_refused(endpoint: Endpoint, method: str) -> None:
    assert statuses(make_user(), endpoint, method) == {403}


@each_endpoint
@each_method
def test_all_other_permissions_do_not_replace_the_one_to_view(endpoint: Endpoint, method: str) -> None:
    others = Permission.objects.exclude(codename=endpoint.view_permission).values_list("codename", flat=True)

    assert statuses(make_user(*others), endpoint, method) == {403}


@each_endpoint
@each_method
def test_the_permission_to_view_lets_a_user_read_and_nothing_else(endpoint: Endpoint, method: str) -> None:
    expected = {200} if method in READING else {405}

    assert statuses(make_user(endpoint.view_permission), endpoint, method) == expected


@each_endpoint
@each_method
def test_a_superuser_can_read_and_nothing_else(endpoint: Endpoint, method: str) -> None:
    expected = {200} if method in READING else {405}

    assert statuses(make_user(is_superuser=True), endpoint, method) == expected


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


@each_endpoint
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
        "filter_backends",
        "pagination_class",
    ],
)
def test_no_policy_is_left_to_the_sites_defaults(endpoint: Endpoint, policy: str) -> None:
    ours = [cls for cls in endpoint.view.__mro__ if cls.__module__.startswith("blueshift_sync.")]

    assert any(policy in vars(cls) for cls in ours)


@each_endpoint
def test_logging_in_is_left_to_the_site(endpoint: Endpoint) -> None:
    assert endpoint.view.authentication_classes is APIView.authentication_classes


@each_endpoint
def test_answers_are_not_kept_by_caches(endpoint: Endpoint) -> None:
    response = client_of(make_user(endpoint.view_permission)).get(endpoint.list_url)

    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
