from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from tests.api.helpers import ENDPOINT

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


@pytest.fixture(autouse=True)
def empty_cache(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


def test_a_site_may_set_a_rate(settings: Any, reader: APIClient) -> None:
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"blueshift_sync": "2/day"}}
    url = ENDPOINT["customers"].list_url

    assert [reader.get(url).status_code for _ in range(3)] == [200, 200, 429]


def test_without_a_rate_there_is_no_limit(settings: Any, reader: APIClient) -> None:
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"user": "1/day"}}
    url = ENDPOINT["customers"].list_url

    assert [reader.get(url).status_code for _ in range(3)] == [200, 200, 200]
