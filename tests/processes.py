"""Killing a worker as a power cut does: RQ's work horse too, which leads a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and its children, so that none of them can finish anything."""
    children = halted_with_children(process)
    process.kill()
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:  # it had ended by itself
            continue
    process.wait()


def halted_with_children(process: subprocess.Popen[bytes]) -> list[int]:
    """Stops a process, so that it makes no more children, and returns the process IDs of those it has."""
    process.send_signal(signal.SIGSTOP)
    return children_of(process.pid)


def children_of(pid: int) -> list[int]:
    """The process IDs of a process's children."""
    return [child for child, parent in _all_processes() if parent == pid]


def _all_processes() -> list[tuple[int, int]]:
    """Process IDs with those of their parents."""
    if Path("/proc/self/stat").exists():
        return [found for path in Path("/proc").glob("[0-9]*/stat") if (found := _read_stat(path)) is not None]
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in listing.splitlines())]


def _read_stat(path: Path) -> tuple[int, int] | None:
    try:
        fields = path.read_text().rpartition(")")[2].split()  # the name before it may hold anything
    except OSError:
        return None
    return int(path.parent.name), int(fields[1])
