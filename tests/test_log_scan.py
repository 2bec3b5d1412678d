"""The scan of the log finds what it is there for."""

from __future__ import annotations

import logging

import pytest

from tests.log_scan import FORBIDDEN, _Scan


@pytest.mark.parametrize(
    "line",
    [
        "Call 7 with Basic dGVzdC1rZXktdGhhdC1tdXN0LW5vdC1sZWFrOg==",
        "test-key-that-must-not-leak",
        "Customer ada@example.com failed",
        'ValueError: {"email": null}',
    ],
)
def test_it_finds(line: str) -> None:
    assert FORBIDDEN.search(line)


def test_it_leaves_rows_and_counts_alone() -> None:
    assert not FORBIDDEN.search("Call 12 CUSTOMERS_BULK: ANSWERED, 50 records.")


def test_it_reads_tracebacks() -> None:
    scan = _Scan()
    logger = logging.getLogger("blueshift_sync.log_scan")
    logger.addHandler(scan)
    logger.propagate = False  # the suite's own scan isn't to see it
    try:
        logger.error("It failed.", exc_info=ValueError("ada@example.com"))
    finally:
        logger.removeHandler(scan)
        logger.propagate = True
    assert len(scan.found) == 1
