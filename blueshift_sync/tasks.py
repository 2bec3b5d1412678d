"""What RQ runs. Thin: keyword arguments only, and a tail for those that a newer version may add."""

from __future__ import annotations

from typing import Any

from rq import get_current_job

from .delivery import drain as drain_module
from .delivery.sweep import sweep as run_sweep


def drain(**_later: Any) -> None:
    """Sends what is due."""
    job = get_current_job()
    drain_module.drain(job_id=job.id if job else "")


def sweep(**_later: Any) -> None:
    """Brings back what was lost."""
    run_sweep()
