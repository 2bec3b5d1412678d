"""One side of a comparison in a process of its own: `python -m benchmarks.child MODULE:FUNCTION JSON`.

The function prepares and returns what is to be measured. "ready" is printed, a line on stdin starts it, and its
outcome comes back as a line of JSON. So imports and preparations are never measured, and several can start as one.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        import django  # noqa: PLC0415 - some sides have none

        django.setup()
    module, function = sys.argv[1].split(":")
    measured = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    resident_before = memory("VmRSS")
    print("ready", flush=True)
    sys.stdin.readline()
    started, cpu_before = time.perf_counter(), time.process_time()
    result = measured()
    outcome = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_before,
        "result": result,
        "resident_before": resident_before,
        "resident_peak": memory("VmHWM"),
    }
    print(json.dumps(outcome), flush=True)


def memory(name: str) -> int:
    """Bytes of this process as the kernel counts them. Not getrusage, which inherits the peak of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


if __name__ == "__main__":
    main()
