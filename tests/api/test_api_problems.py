"""Errors in one shape, that say nothing of what is inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError
from rest_framework.test import APIClient

from blueshift_sync.api.views import CustomerViewSet
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import SyncRun
from tests.api.helpers import ENDPOINT, client_of
from tests.factories import make_customer

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CUSTOMERS = ENDPOINT["customers"]
SECRET = 'SELECT "secret" FROM passwords'


def refused_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(self: Any) -> None:
        raise error

    monkeypatch.setattr(CustomerViewSet, "get_queryset", refuse)


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_of_ours_is_logged_and_says_nothing(
    reader: APIClient, monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    refused_with(monkeypatch, DatabaseError(SECRET))

    response = reader.get(CUSTOMERS.list_url)

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"secret" not in response.content
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


def test_an_error_of_ours_is_reported_as_any_of_the_sites(monkeypatch: pytest.MonkeyPatch, reader: APIClient) -> None:
    """What listens to Django's signal hears of it, as the test client does."""
    refused_with(monkeypatch, DatabaseError(SECRET))
    reader.raise_request_exception = True

    with pytest.raises(DatabaseError):
        reader.get(CUSTOMERS.list_url)


def test_a_refusal_of_the_package_is_told(monkeypatch: pytest.MonkeyPatch, reader: APIClient) -> None:
    refused_with(monkeypatch, BlueshiftSyncError("There is a reason."))

    response = reader.get(CUSTOMERS.list_url)

    assert (response.status_code, response.json()["detail"]) == (409, "There is a reason.")


def test_too_many_requests_are_told_when_to_come_back(settings: Any, reader: APIClient) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"blueshift_sync": "1/day"}}
    cache.clear()
    reader.get(CUSTOMERS.list_url)

    response = reader.get(CUSTOMERS.list_url)

    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert int(response["Retry-After"]) > 0


def test_a_login_is_asked_for_as_the_site_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework.authentication import BasicAuthentication

    monkeypatch.setattr(CustomerViewSet, "authentication_classes", [BasicAuthentication])

    response = client_of(None).get(CUSTOMERS.list_url)

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", ["x/", "1/2/3/", "1/unheard-of/", "%0A/", "%2F/", "push/1/"])
def test_whatever_is_below_an_endpoint_is_answered_by_it(reader: APIClient, path: str) -> None:
    response = reader.get(CUSTOMERS.list_url + path)

    assert response.status_code in {404, 405}
    assert response["Content-Type"] == "application/problem+json"
    assert client_of(None).get(CUSTOMERS.list_url + path).status_code in {401, 403}


def test_each_wrong_parameter_is_named(reader: APIClient) -> None:
    response = reader.get(CUSTOMERS.list_url, {"state": "BROKEN", "run": "x"})

    problem = response.json()
    assert problem["errors"].keys() == {"state", "run"}
    assert problem["detail"].startswith(("state: ", "run: "))


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_django_itself_refuses_is_no_server_error(reader: APIClient, method: str) -> None:
    """More parameters than DATA_UPLOAD_MAX_NUMBER_FIELDS, which Django finds out when they are first looked at."""
    body = {"ids": [make_customer().pk]}
    address = CUSTOMERS.list_url if method == "get" else f"{CUSTOMERS.list_url}push/"

    response = reader.generic(method.upper(), f"{address}?{'a&' * 1001}", json.dumps(body), "application/json")

    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert response.json()["code"] == "refused"


def test_under_a_foreign_host_nothing_is_done(reader: APIClient, settings: Any) -> None:
    """Where no middleware asks first."""
    settings.ALLOWED_HOSTS, settings.MIDDLEWARE = ["ours.example"], []

    response = reader.post(f"{CUSTOMERS.detail_url(make_customer().pk)}push/", headers={"Host": "theirs.example"})

    assert response.status_code == 400
    assert not SyncRun.objects.exists()
