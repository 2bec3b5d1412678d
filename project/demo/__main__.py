"""`python -m project.demo`, which `make demo` runs. See `--help`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import django

from project.demo.errors import DemoError
from project.demo.place import only_demo_in, require_free_port, start_afresh
from project.embedded_redis import EmbeddedRedis, RedisUnavailableError

BASE_DIR = Path(__file__).resolve().parent.parent.parent
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo to its end. Returns the exit status: 0 only if all went as it should."""
    options = read_options(arguments)
    var = Path(os.environ.get("DEMO_VAR", BASE_DIR / "var")).absolute()
    try:
        require_free_port(options.port, "--port")
        require_free_port(options.simulator_port, "--simulator-port")
        with only_demo_in(var):
            start_afresh(var)
            with EmbeddedRedis(var) as redis:
                configure(var, redis.url, options.simulator_port)
                # Only now are the settings what they should be.
                from project.demo.runner import run  # noqa: PLC0415

                return run(options, var)
    except (DemoError, RedisUnavailableError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return INTERRUPTED


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make demo ARGS='…', or python -m project.demo",
        description="Fills a shop with customers and brings a simulated Blueshift into step with it.",
    )
    parser.add_argument(
        "--once", action="store_true", help="check that Blueshift holds exactly what the shop says, and end"
    )
    parser.add_argument("--port", type=port, default=8000, help="of the site (default: %(default)s)")
    parser.add_argument(
        "--simulator-port", type=port, default=8377, help="of the simulated Blueshift (default: %(default)s)"
    )
    parser.add_argument("--customers", type=count, default=2000, help="how many the shop gets (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.port == options.simulator_port:
        parser.error("--port and --simulator-port must be two different ports")
    return options


def port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port: it must be 1 to 65535")
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


def configure(var: Path, redis_url: str, simulator_port: int) -> None:
    """Points this process's Django, and that of all its children, at what belongs to this demo."""
    if os.environ.pop("BLUESHIFT_API_KEY", None):
        print("BLUESHIFT_API_KEY is set, but the demo doesn't use it: invented customers stay on this machine.")
    os.environ.update(
        DJANGO_SETTINGS_MODULE="project.settings",
        DEMO_VAR=str(var),
        REDIS_URL=redis_url,
        SIMULATOR_URL=f"http://127.0.0.1:{simulator_port}",
        PYTHONUNBUFFERED="1",
    )
    django.setup()


if __name__ == "__main__":
    # Being told to end is the same as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
