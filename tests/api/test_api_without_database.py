"""While the database is away every answer is a problem with a sentence; the log of the server says more."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

LOGIN = base64.b64encode(b"ops:a-secret").decode()
#: Asks every address that there is, by GET and by POST, with a password and with a session.
SCRIPT = f"""
import json, django
django.setup()
from django.test import Client
from tests.api.helpers import ADDRESSES
from blueshift_sync.health_check import SyncHealthCheck

def told(response):
    return [response.status_code, response["Content-Type"], response.content.decode()]

answers = {{}}
for address in ADDRESSES:
    for method in ("get", "post"):
        with_password = Client(raise_request_exception=False, headers={{"Authorization": "Basic {LOGIN}"}})
        with_session = Client(raise_request_exception=False)
        with_session.cookies["sessionid"] = "x" * 32
        for client in (with_password, with_session):
            response = getattr(client, method)(address.url(1))
            answers[f"{{address.name}} {{method}} {{client is with_session}}"] = told(response)
try:
    SyncHealthCheck().run()
except Exception as error:
    answers["health"] = [type(error).__name__, "", str(error)]
print(json.dumps(answers))
"""


class Asked(NamedTuple):
    answers: dict[str, list[Any]]
    log: str


@pytest.fixture(scope="module")
def asked() -> Asked:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listened on: whoever connects is refused
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.api.site_without_database",
            "CLOSED_PORT": str(bound.getsockname()[1]),
        }
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=Path(__file__).parents[2],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return Asked(json.loads(ended.stdout), ended.stderr)


def test_every_address_says_that_the_database_is_away(asked: Asked) -> None:
    answers = {name: answer for name, answer in asked.answers.items() if name != "health"}
    assert len(answers) > 80
    for name, (status, content_type, body) in answers.items():
        assert (status, content_type) == (503, "application/problem+json"), (name, body)
        problem = json.loads(body)
        assert (problem["code"], problem["title"]) == ("unavailable", "Service Unavailable")
        assert problem["detail"].startswith("The database can't be used at the moment.")
        assert "127.0.0.1" not in body
        assert "psycopg" not in body


def test_the_log_says_why(asked: Asked) -> None:
    assert "OperationalError" in asked.log
    assert "Connection refused" in asked.log


def test_the_check_of_django_health_check_says_it_too(asked: Asked) -> None:
    kind, _content_type, sentence = asked.answers["health"]
    assert kind == "ServiceUnavailable"
    assert sentence.endswith("The database can't be used at the moment.")
