"""The periodic work, for `manage.py rqcron blueshift_sync.cron`."""

from rq.cron import register

from .conf import app_settings
from .tasks import prune, sweep

#: Seconds between two sweeps; it also is how late a retry can be that no drain waited for.
SWEEP_SECONDS = 15
#: Seconds between two looks for audit that is too old. Each takes PRUNE_SECONDS at most, in which far more goes away
#: than is sent at Blueshift's limit meanwhile.
PRUNE_INTERVAL = 300

# Those that nobody took are dropped: a day without workers leaves no heap of them.
register(sweep, queue_name=app_settings().QUEUE, interval=SWEEP_SECONDS, result_ttl=0, ttl=10 * SWEEP_SECONDS)
register(prune, queue_name=app_settings().QUEUE, interval=PRUNE_INTERVAL, result_ttl=0, ttl=PRUNE_INTERVAL)
