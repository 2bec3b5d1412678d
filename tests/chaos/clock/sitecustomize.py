"""Python runs this at the start of each process that has this directory on PYTHONPATH: it sets the process's clock.

TEST_CLOCK_SHIFT says by how many seconds it is fast. What Django and this app take the time from is shifted; RQ's own
clock isn't.
"""

import os
import time
from datetime import datetime, timedelta

from django.utils import timezone

_shift = float(os.environ.get("TEST_CLOCK_SHIFT", "0"))
_true_now, _true_time = timezone.now, time.time


def _now() -> datetime:
    return _true_now() + timedelta(seconds=_shift)


def _time() -> float:
    return _true_time() + _shift


timezone.now = _now
time.time = _time
