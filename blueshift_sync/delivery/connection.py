"""The client for the account that the settings name."""

from __future__ import annotations

from ..client import REGIONS, BlueshiftClient
from ..conf import app_settings
from ..exceptions import SendingOff


def make_client() -> BlueshiftClient:
    """A client for the account that the settings name. Raises SendingOff where nothing may be sent."""
    settings = app_settings()
    if not settings.ENABLED:
        raise SendingOff("Sending is switched off: BLUESHIFT_SYNC['ENABLED'] is False.")
    if not settings.API_KEY or not settings.has_key:
        raise SendingOff("There is no key to send with: BLUESHIFT_SYNC['API_KEY'] is not set.")
    connect, read = settings.TIMEOUT
    return BlueshiftClient(
        api_key=settings.API_KEY,
        base_url=settings.BASE_URL or REGIONS[settings.REGION].api,
        timeout=(connect, read),
    )
