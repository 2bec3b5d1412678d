"""manage.py blueshift_ping: checks key and region."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from blueshift_sync import services
from blueshift_sync.exceptions import BlueshiftSyncError


class Command(BaseCommand):
    help = "Checks the API key and the region with a call that changes nothing. Ends a stop for a refused key."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call = services.check_key()
        except BlueshiftSyncError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Blueshift takes the key. It answered within {call.duration_ms} ms (call {call.pk}).")
