"""The app: checks and sources are found at start-up; nothing touches the database."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class BlueshiftSyncConfig(AppConfig):
    name = "blueshift_sync"
    verbose_name = _("Blueshift")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401, PLC0415 - registered by being imported
        from .delivery.leftovers import clear_redis_with_the_tables  # noqa: PLC0415 - models are loaded only now
        from .sources.registration import autodiscover  # noqa: PLC0415 - the same

        post_migrate.connect(clear_redis_with_the_tables, sender=self, dispatch_uid=self.name)
        autodiscover()
