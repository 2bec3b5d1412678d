"""The audit of known vulnerabilities: clean, found, and not made, which is never taken for clean."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tools import audit

CLEAN = {"name": "x", "version": "1", "vulns": []}
KNOWN = {"name": "pip", "version": "23.0", "vulns": [{"id": "CVE-0", "fix_versions": []}]}
GUILTY = {"name": "pip", "version": "23.0", "vulns": [{"id": "CVE-1", "fix_versions": ["23.3"]}]}
SKIPPED = {"name": "pip", "skip_reason": "Not found."}


def pip_audit(*dependencies: dict[str, Any], said: str | None = None) -> Callable[..., Any]:
    """What `subprocess.run` gives where pip-audit says this of every file."""

    def run(command: list[str], *, input: str, **_options: Any) -> Any:  # noqa: A002 - its name
        answer = [KNOWN] if input == audit.KNOWN_TO_HAVE_SOME and dependencies == (CLEAN,) else dependencies
        out = json.dumps({"dependencies": answer}) if said is None else said
        return subprocess.CompletedProcess(command, 1, stdout=out, stderr="a traceback\nConnectionError: no route\n")

    return run


def out_of_time(command: list[str], **_options: Any) -> Any:
    raise subprocess.TimeoutExpired(command, 45)


@pytest.mark.parametrize(
    ("run", "status", "said"),
    [
        (pip_audit(CLEAN), audit.NONE_KNOWN, "No vulnerability is known"),
        (pip_audit(CLEAN, GUILTY), audit.FOUND, "pip 23.0: CVE-1, mended in 23.3"),
        (pip_audit({**CLEAN}, {**CLEAN}), audit.NOT_ASKED, "knows nothing of pip==23.0"),
        (pip_audit(SKIPPED), audit.NOT_ASKED, "NOT AUDITED: pip-audit skipped pip. Not found."),
        (pip_audit(said=""), audit.NOT_ASKED, "NOT AUDITED: pip-audit ended with 1: ConnectionError: no route"),
        (out_of_time, audit.NOT_ASKED, "NOT AUDITED: pip-audit got no answer within 45 s."),
    ],
)
def test_what_it_says(
    run: Callable[..., Any], status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.main() == status
    assert said in capsys.readouterr().out


def test_every_pinned_package_is_asked_for() -> None:
    pins = {pin for path in audit.REQUIREMENTS.glob("*.txt") for pin in audit.pins_of(path)}
    assert len(pins) > 100
    assert all("==" in pin for pin in pins)
