"""Whatever a site's settings are, the API answers the same. Many are read when modules are imported: in processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from blueshift_sync.api.views import CustomerViewSet
from tests.api.helpers import ENDPOINT

pytestmark = pytest.mark.urls("tests.api.urls")

#: Asks every address that there is, with what is right and with what is wrong.
SCRIPT = """
import base64, json, django
django.setup()
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
connection.creation.create_test_db(verbosity=0)
from tests import factories
from tests.api.helpers import ADDRESSES, ENDPOINTS
User.objects.create_superuser("ops", "ops@example.com", "x")
login = {"Authorization": "Basic " + base64.b64encode(b"ops:x").decode()}
customer = factories.make_customer(attributes={"big": 2**60, "share": 0.5})
membership = factories.make_membership(customer=customer)
call = factories.make_call(run=factories.make_run(scope={"number": 2**60}))
factories.make_result(call=call, customer=customer)
factories.make_customer(state="FAILED", error_code="null", due_at=None)

def told(response):
    return [response.status_code, dict(response.headers), response.content.decode()]

def path(address):
    return address.url(1).removeprefix("/below")

answers = {}
def ask(name, client, method, address, *args, **kwargs):
    answers[f"{len(answers)} {name} {method} {address}"] = told(getattr(client, method)(address, *args, **kwargs))

stranger = Client(raise_request_exception=False)
client = Client(raise_request_exception=False, headers=login)
for address in ADDRESSES:
    ask("stranger", stranger, "get", path(address))
    ask("reading", client, "get", path(address), headers={"Accept": "text/html; version=1"})
    ask("format", client, "get", path(address) + "?format=html")
    if "post" in address.methods:
        for body in ([], {}, {"ids": [1]}, {"customers": [1]}, {"filter": {"customer_id": "customer"}}):
            ask("acting", client, "post", path(address), json.dumps(body), content_type="application/json")
        ask("form", client, "post", path(address), {"ids": "1"})
    ask("options", client, "options", path(address))
for endpoint in ENDPOINTS:
    listed = endpoint.list_url.removeprefix("/below")
    for name in endpoint.view.filterset_class.base_filters:
        for value in ("customer", "2026-01-01T00:00:00Z"):
            ask("filter", client, "get", f"{listed}?{name}={value}&ordering=-id")
    ask("null", client, "get", f"{listed}?state=null")
    ask("page", client, "get", f"{listed}?page_size=1")
    ask("no slash", client, "get", listed.rstrip("/"))
print(json.dumps(answers))
"""
#: What differs from one run to the next: moments, seconds and signatures.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
SECONDS = r"\"(oldest_waiting_seconds|sweep_age_seconds)\":[\d.]+|_seconds(\{[^}]*\})? [\d.e+]+|\d+ seconds?"
VARYING = re.compile(rf"cursor=[^\"&]+|{SECONDS}")


def answers_with(settings: str, directory: Path) -> dict[str, Any]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "TEST_VAR": str(directory)}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-5000:]
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def comparable(answer: list[Any]) -> list[Any]:
    status, headers, body = answer
    text = VARYING.sub("", MOMENT.sub("then", body)).replace("/below", "")
    kept = {
        name: value.replace("/below", "")
        for name, value in headers.items()
        if name not in {"Content-Length", "Expires"}
    }
    return [status, kept, text]


def test_the_sites_settings_change_no_answer(tmp_path: Path) -> None:
    plain = answers_with("tests.api.site_plain", tmp_path / "plain")
    hostile = answers_with("tests.api.site_hostile", tmp_path / "hostile")

    assert hostile.keys() == plain.keys()
    assert {answer[0] for answer in plain.values()} >= {200, 202, 400, 403, 404, 405, 415}
    for name, answer in hostile.items():
        assert comparable(answer) == comparable(plain[name]), name
        assert answer[0] < 500, name
    links = [answer[1]["Location"] for answer in hostile.values() if answer[0] == 202]
    assert links
    assert all(re.match("http://testserver/below/some/prefix/(runs|lists)/", link) for link in links)


@pytest.mark.django_db
def test_where_nobody_can_log_in_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CustomerViewSet, "authentication_classes", [])

    response = APIClient().get(ENDPOINT["customers"].list_url)

    assert response.status_code == 403
    assert "DEFAULT_AUTHENTICATION_CLASSES" in response.json()["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "/1", "/push", "/1/push"])
def test_an_address_without_its_slash_is_told_of_it(reader: APIClient, path: str) -> None:
    for method in ("get", "post"):
        response = getattr(reader, method)(ENDPOINT["customers"].list_url.rstrip("/") + path)

        assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
        assert response.json()["detail"].endswith("All of them end with a slash.")
