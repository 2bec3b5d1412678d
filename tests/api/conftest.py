from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.api.helpers import client_of, make_user


@pytest.fixture
def reader(db: None) -> APIClient:
    """A client whose user may see everything."""
    return client_of(make_user(is_superuser=True))
