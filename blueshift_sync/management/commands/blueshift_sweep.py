"""manage.py blueshift_sweep: brings back what was lost."""

from typing import Any

from django.core.management.base import BaseCommand

from blueshift_sync.delivery.alerts import tell_operators
from blueshift_sync.delivery.figures import keep_figures
from blueshift_sync.delivery.sweep import sweep


class Command(BaseCommand):
    help = (
        "Brings back what was lost: claims of dead workers, unfinished calls, wake-ups that never arrived. "
        "Takes the numbers that the overview shows, and mails operators what has changed, if ALERT_EMAILS names any."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        sweep()
        keep_figures()
        tell_operators()
