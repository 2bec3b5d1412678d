"""`python -m benchmarks [NAME …]`: measures, prints the table, and keeps the figures in results.json and README.md."""

import argparse
import datetime
import importlib
import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .kept import NAMES, figure, keep, results

#: Those that are run only when they are named.
BY_NAME = ("operations", "profile")
PACKAGES = ("Django", "rq", "django-rq", "redis", "requests", "psycopg", "uvicorn", "uvloop", "httptools")


def main() -> int:
    """Returns the exit status: 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; none: all. Or: {', '.join(BY_NAME)}"
    )
    names = parser.parse_args().names or list(NAMES)
    if unknown := set(names) - {*NAMES, *BY_NAME}:
        parser.error(f"There is no benchmark {', '.join(sorted(unknown))}.")
    _set_up()
    missed = False
    for name in names:
        started = time.monotonic()
        print(f"\n{name}", flush=True)
        rows = importlib.import_module(f"benchmarks.{name}").run()
        for row in rows:
            print(_line(row), flush=True)
            missed = missed or row.met is False
        print(f"  measured in {time.monotonic() - started:.0f} s")
        if rows:
            _keep(name, rows)
    return 1 if missed else 0


def _set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django  # noqa: PLC0415 - needs the environment

    django.setup()
    from django.db import OperationalError  # noqa: PLC0415 - needs Django
    from redis import RedisError  # noqa: PLC0415

    from .harness import empty, make_database  # noqa: PLC0415

    try:
        make_database()
        empty()
    except (OperationalError, RedisError) as error:
        sys.exit(
            "The benchmarks need PostgreSQL (BENCH_POSTGRES_HOST, _USER and _PASSWORD; 127.0.0.1 and postgres) and "
            f"Redis (BENCH_REDIS_URL; redis://127.0.0.1:6379/13). One of them doesn't answer: {error}"
        )


def _line(row: Any) -> str:
    verdict = ""
    if row.target is not None:
        verdict = f"{'≤' if row.at_most else '≥'} {row.target:g} {'yes' if row.met else 'MISSED'}"
    return (
        f"  {figure(row.value, row.unit):>9} {row.unit:8} {verdict:12} {row.what}{f' ({row.note})' if row.note else ''}"
    )


def _keep(name: str, rows: list[Any]) -> None:
    kept = results()
    kept["machine"] = _machine()
    kept["versions"] = _versions()
    kept.setdefault("benchmarks", {})[name] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": [{**asdict(row), "value": round(row.value, 3), "met": row.met} for row in rows],
    }
    keep(kept)


def _machine() -> dict[str, Any]:
    """What matters for the figures; nothing that names the machine."""
    processor = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20),
        "system": platform.system(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _versions() -> dict[str, str]:
    from django.db import connection  # noqa: PLC0415 - needs Django's settings
    from django_rq import get_connection  # noqa: PLC0415

    from .harness import RIVALS  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = cursor.fetchone()[0].split()[0]
    rivals = {
        found.metadata["Name"]: found.version
        for found in importlib.metadata.distributions(path=[str(RIVALS)])
        if found.metadata["Name"].lower().replace("_", "-") in {"segment-analytics-python", "limits", "pyrate-limiter"}
    }
    return {
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        "Redis server": get_connection("default").info("server")["redis_version"],
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        **dict(sorted(rivals.items())),
    }


if __name__ == "__main__":
    sys.exit(main())
