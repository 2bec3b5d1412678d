"""A check for django-health-check: fails for what somebody has to mend. Needs the extra `health`.

`HealthCheckView.as_view(checks=["blueshift_sync.health_check.SyncHealthCheck"])`, or with thresholds
`checks=[("blueshift_sync.health_check.SyncHealthCheck", {"max_waiting_seconds": 600})]`.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, close_old_connections
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from .delivery.status_totals import THRESHOLDS, beyond, status_for


@dataclass
class SyncHealthCheck(HealthCheck):  # type: ignore[misc]
    """Fails while sending is stopped, no worker runs or the sweep is late; and beyond a threshold, where one is set.

    The thresholds are those of `status/` in the REST API.
    """

    max_waiting: int | None = None
    max_waiting_seconds: int | None = None
    max_failed: int | None = None
    max_excluded: int | None = None
    min_workers: int | None = None
    max_sweep_seconds: int | None = None

    def run(self) -> None:
        try:
            bounds = {name: bound for name in THRESHOLDS if (bound := getattr(self, name)) is not None}
            status = status_for(bounds)
            trouble = [*(fault.sentence for fault in status.faults), *beyond(status, bounds).values()]
        except (OperationalError, InterfaceError) as error:
            raise ServiceUnavailable("The database can't be used at the moment.") from error
        finally:
            close_old_connections()
        if trouble:
            raise ServiceUnavailable(" ".join(trouble))
