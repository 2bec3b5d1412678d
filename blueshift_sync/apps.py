"""The app: checks and sources are found at start-up; nothing touches the database."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BlueshiftSyncConfig(AppConfig):
    name = "blueshift_sync"
    verbose_name = _("Blueshift")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401, PLC0415 - registered by being imported
        from .sources.registration import autodiscover  # noqa: PLC0415 - models are loaded only now

        autodiscover()
