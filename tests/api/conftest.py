from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.api.helpers import client_of, make_user

#: Its database is a PostgreSQL server that is away; CI has the driver, where it runs beside the servers.
collect_ignore = [] if find_spec("psycopg") else ["test_api_without_database.py"]


@pytest.fixture
def reader(db: None) -> APIClient:
    """A client whose user may see everything."""
    return client_of(make_user(is_superuser=True))


@pytest.fixture
def unthrottled(settings: Any, blueshift: Any) -> Any:
    """The simulator without a rate limit, on either side."""
    blueshift.scenario(calls_per_second=None)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    return blueshift
