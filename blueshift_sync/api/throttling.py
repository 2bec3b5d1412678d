"""A limit on requests that a site may set."""

from __future__ import annotations

from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle


class SyncThrottle(UserRateThrottle):
    """Each user gets the rate "blueshift_sync" of the site's DEFAULT_THROTTLE_RATES; without it, no limit."""

    scope = "blueshift_sync"

    def get_rate(self) -> str | None:
        rate = (api_settings.DEFAULT_THROTTLE_RATES or {}).get(self.scope)
        return None if rate is None else str(rate)
