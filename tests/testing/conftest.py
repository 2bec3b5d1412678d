import os
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import requests

from blueshift_sync.testing.process import Simulator

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
SECRET_KEY = "test"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
BLUESHIFT_SYNC = {"API_KEY": "the-site's", "REGION": "eu", "TIMEOUT": (1, 2)}
"""


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """An empty simulator without a rate limit."""
    running_simulator.reset()
    running_simulator.scenario(calls_per_second=None)
    return running_simulator


Call = Callable[..., requests.Response]


@pytest.fixture
def call(simulator: Simulator) -> Iterator[Call]:
    """Calls the API with the key, over kept-alive connections."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (simulator.api_key, "")

        def send(method: str, path: str, **options: Any) -> requests.Response:
            return session.request(method, simulator.url + path, timeout=10, **options)

        yield send


@pytest.fixture
def bulk(call: Call) -> Callable[..., requests.Response]:
    def send(*customers: dict[str, Any]) -> requests.Response:
        return call("POST", "/api/v1/customers/bulk", json={"customers": list(customers)})

    return send


@pytest.fixture
def site(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A site whose pytest loads the plugin, as an installed package would have it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    installed = any(entry.name == "blueshift_sync" for entry in entry_points(group="pytest11"))
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider --ds=site_settings\nfilterwarnings = error")
    pytester.makepyfile(site_settings=SETTINGS)
    if not installed:
        pytester.makeconftest('pytest_plugins = ["blueshift_sync.testing.plugin"]')
    return pytester
