"""A client that was generated from the API's description does an errand with it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.live.conftest import Demo
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def client_package(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name under which the generated package can be imported."""
    directory = tmp_path_factory.mktemp("client")
    schema = directory / "schema.json"
    schema.write_text(json.dumps(requests.get(f"{demo.api}/schema/", headers=demo.headers, timeout=30).json()))
    config = directory / "config.json"
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": "generated_client"}))
    generate = ["generate", "--path", str(schema), "--config", str(config), "--meta", "none", "--fail-on-warning"]
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("openapi-python-client")), *generate, "--output-path", "generated_client"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sys.path.insert(0, str(directory))
    yield "generated_client"
    sys.path.remove(str(directory))


@pytest.fixture
def call(demo: Demo, client_package: str) -> Iterator[Any]:
    """Calls an operation by its tag and its name, as the generated client has them."""
    client = importlib.import_module(client_package).Client(base_url=demo.api, headers=demo.headers)

    def operation(tag: str, name: str, **arguments: Any) -> Any:
        return importlib.import_module(f"{client_package}.api.{tag}.{name}").sync(client=client, **arguments)

    yield operation
    client.get_httpx_client().close()


def test_a_push_is_followed_to_its_end(call: Any, client_package: str) -> None:
    models = importlib.import_module(f"{client_package}.models")
    customers = call("customers", "customers_list", state=models.CustomersListState.SYNCED, page_size=3).results
    wanted = models.CustomersToPush(ids=[customer.id for customer in customers])

    told = call("customers", "customers_push_many", body=wanted, dry_run=True)
    run = call("customers", "customers_push_many", body=wanted, idempotency_key="generated-1")
    again = call("customers", "customers_push_many", body=wanted, idempotency_key="generated-1")
    wait_until(lambda: call("runs", "runs_retrieve", id=run.id).finished_at is not None, seconds=60)

    assert isinstance(told, models.Rehearsal)
    assert sum(each.record_count for each in told.calls) == 3
    assert (run.id, run.total, run.trigger) == (again.id, 3, "API")
    ended = call("runs", "runs_retrieve", id=run.id)
    assert (ended.state, ended.accepted) == ("SUCCEEDED", 3)
    results = call("results", "results_list", run=run.id).results
    assert {result.customer for result in results} == {customer.id for customer in customers}


def test_a_refusal_is_a_problem(call: Any, client_package: str) -> None:
    models = importlib.import_module(f"{client_package}.models")

    refused = call("customers", "customers_push_many", body=models.CustomersToPush(ids=[999_999_999]))

    assert isinstance(refused, models.Problem)
    assert "999999999" in refused.detail
