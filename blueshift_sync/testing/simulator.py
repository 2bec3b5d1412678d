"""The command: `python -m blueshift_sync.testing.simulator --port N`. See docs/testing.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .scenario import Scenario, read_scenario
from .values import ScenarioError


class UnusableSimulatorError(Exception):
    """Why the simulator can't start, as a sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the simulator. Returns the exit status: 0 after a signal, 2 if it could not start."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (UnusableSimulatorError, ScenarioError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m blueshift_sync.testing.simulator",
        description="Answers on a real socket as Blueshift's API does, for development and tests.",
    )
    parser.add_argument("--port", type=int, required=True, help="the port; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="a JSON file: limits, faults, lists")
    parser.add_argument("--api-key", metavar="KEY", help="the API key it accepts; not for a real one")
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when the parent is no longer PID")
    return parser


def _run(options: argparse.Namespace) -> None:
    scenario = read_scenario(options.scenario) if options.scenario else Scenario()
    if options.api_key:
        scenario = scenario.changed({"api_keys": [options.api_key]})
    try:
        from blueshift_sync.testing import server  # noqa: PLC0415 - so that --help and this sentence need no uvicorn
    except ImportError as error:
        raise UnusableSimulatorError(
            "The simulator needs uvicorn and httptools: pip install 'blueshift-sync[testing]'."
        ) from error
    from blueshift_sync.testing.app import Application  # noqa: PLC0415

    try:
        listener = server.bind(options.host, options.port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnusableSimulatorError(
            f"Port {options.port} on {options.host} can't be used ({reason}): take another with --port, or 0."
        ) from error
    server.serve(Application(scenario), listener, options.parent_pid)


if __name__ == "__main__":
    sys.exit(main())
