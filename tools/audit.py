"""Asks pip-audit for known vulnerabilities of every pinned package. Usage: `python tools/audit.py`, or `make audit`.

Exit status 0: none is known. 1: the packages are listed. 3: it could not be asked, and a sentence says so, for nothing
is known then: that is no success.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
#: An old version with vulnerabilities that were published long ago.
KNOWN_TO_HAVE_SOME = "pip==23.0"
NONE_KNOWN, FOUND, NOT_ASKED = 0, 1, 3
#: Seconds for one package, to find out whether the service can be reached; then for all of a file.
A_MOMENT, LONG = 45, 300


class NotAsked(Exception):  # noqa: N818 - a finding, not a fault
    """The service can't be reached, or pip-audit doesn't run."""


def main() -> int:
    files = sorted(REQUIREMENTS.glob("*.txt"))
    try:
        check_that_it_knows()
        found = {line for path in files for line in vulnerabilities(pins_of(path))}
    except NotAsked as reason:
        print(f"NOT AUDITED: {reason}")
        print(
            "Nobody knows whether the pinned packages have vulnerabilities. Run `make audit` where the network allows."
        )
        return NOT_ASKED
    print("\n".join(sorted(found)) or f"No vulnerability is known in the packages of {len(files)} files.")
    return FOUND if found else NONE_KNOWN


def check_that_it_knows() -> None:
    """Raises NotAsked unless something is known of a package of which something must be."""
    if not any(package.get("vulns") for package in ask([KNOWN_TO_HAVE_SOME], A_MOMENT)):
        raise NotAsked(f"pip-audit knows nothing of {KNOWN_TO_HAVE_SOME}, so its answers mean nothing.")


def pins_of(path: Path) -> list[str]:
    """The pinned packages of a requirements file, without those of the files that it includes."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("-")]


def vulnerabilities(pins: Sequence[str]) -> list[str]:
    """Those that are known, one line each."""
    return [
        f"{package['name']} {package['version']}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'none'}"
        for package in ask(pins, LONG)
        for each in package.get("vulns", [])
    ]


def ask(pins: Sequence[str], seconds: float) -> list[dict[str, object]]:
    """What pip-audit says of these packages. Raises NotAsked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "/dev/stdin", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    try:
        ended = subprocess.run(
            command, input="\n".join(pins), capture_output=True, text=True, timeout=seconds, check=False
        )
        dependencies: list[dict[str, object]] = json.loads(ended.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        raise NotAsked(f"pip-audit got no answer within {seconds:g} s.") from None
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotAsked(f"pip-audit ended with {ended.returncode}: {last[:200]}") from None
    for each in dependencies:
        if reason := each.get("skip_reason"):
            raise NotAsked(f"pip-audit skipped {each['name']}. {reason}")
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
