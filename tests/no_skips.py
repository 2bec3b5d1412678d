"""A pytest plugin: with CI=true a test that is skipped, or expected to fail, makes the session fail."""

from __future__ import annotations

import os
from typing import Any

import pytest


def _not_run(config: pytest.Config) -> list[Any]:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("CI") != "true":
        return []
    return [*reporter.stats.get("skipped", []), *reporter.stats.get("xfailed", [])]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _not_run(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if found := _not_run(config):
        terminalreporter.write_line(f"In CI every test must run; {len(found)} did not: that is a failure.", red=True)
