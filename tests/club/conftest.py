"""What the tests of the club share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections


@pytest.fixture
def visitors_elsewhere(settings: Any, transactional_db: None) -> Iterator[None]:
    """The club's visitors are on the other database."""
    settings.DATABASE_ROUTERS = ["tests.routers.VisitorsElsewhere"]
    yield
    connections["elsewhere"].close()


@pytest.fixture
def settings_of_site(settings: Any) -> Any:
    """Changes some of the site's settings of this app, until the end of the test."""

    def change(**values: Any) -> None:
        settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, **values}

    return change
