from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.api.helpers import client_of, make_user


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
