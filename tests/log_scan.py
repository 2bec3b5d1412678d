"""Every line that the suite logs is looked through: it may hold identifiers of rows and counts, but nobody's data."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Final

import pytest

#: The loggers of ours, and of what runs our jobs.
LOGGERS: Final = ("blueshift_sync", "rq", "django_rq")
#: The API key of tests/settings.py, in clear or as it travels; e-mail addresses; the attributes of a customer.
FORBIDDEN: Final = re.compile(
    r"test-key-that-must-not-leak|dGVzdC1rZXkt|simulator-key|[\w.+-]+@[\w-]+\.\w+|\"(?:email|firstname|lastname)\"\s*:",
)


class _Scan(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.setFormatter(logging.Formatter())  # tracebacks too

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if FORBIDDEN.search(line):
            self.found.append(f"{record.name}: {line}")


@pytest.fixture(autouse=True)
def _no_personal_data_in_the_log() -> Iterator[None]:
    scan = _Scan()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(scan)
    yield
    for logger in loggers:
        logger.removeHandler(scan)
    assert not scan.found, "Personal data, or the key, was logged:\n" + "\n".join(scan.found)
