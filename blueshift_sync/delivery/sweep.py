"""The periodic look at everything that could have been lost: claims of dead workers, open calls, wake-ups, runs."""

from __future__ import annotations

import logging

from ..exceptions import RedisUnavailable
from .drain import seconds_until_due
from .gathering import resume_lost
from .imports import tidy as tidy_imports
from .parking import tend_parked
from .recover import close_orphaned_calls, recover_expired_claims
from .removal_guards import wake_removals
from .runs import finish_runs
from .wake import wake_again

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Brings back what was lost, and wakes a worker if anything is due. Safe to run at any time, and twice."""
    recover_expired_claims()
    close_orphaned_calls()
    tend_parked()
    wake_removals()
    resume_lost()
    finish_runs()
    tidy_imports()
    if seconds_until_due() == 0:
        try:
            wake_again()
        except RedisUnavailable as error:
            logger.warning(
                "The sweep found work, but no worker could be woken: %s", error, extra={"event": "not_woken"}
            )
