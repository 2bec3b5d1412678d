"""The periodic work, for `manage.py rqcron blueshift_sync.cron`."""

from rq.cron import register

from .conf import app_settings
from .tasks import sweep

#: Seconds between two sweeps; it also is how late a retry can be that no drain waited for.
SWEEP_SECONDS = 15

# Sweeps that nobody took are dropped: a day without workers leaves no heap of them.
register(sweep, queue_name=app_settings().QUEUE, interval=SWEEP_SECONDS, result_ttl=0, ttl=10 * SWEEP_SECONDS)
