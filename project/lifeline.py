"""Child processes that can't outlive this one, not even if this one is killed with SIGKILL.

Each command runs under a small watcher process (this same file, run as a script). The watcher holds the
reading end of a pipe whose writing end only this process has: when this process ends, however it ends, the
pipe closes, and the watcher ends the command and all that the command started. Linux and macOS alike.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# A worker of RQ finishes its job after a first SIGTERM and gives it up after a second one.
GENTLE_SECONDS = 1.0
FIRM_SECONDS = 1.0
# What the watcher needs at most to end its command, and some.
STOP_SECONDS = GENTLE_SECONDS + FIRM_SECONDS + 2.0


class Child:
    """A running command.

    `command` is a program and its arguments; what it prints goes to the end of the file `log`. `environment`
    replaces this process's own. A command that can't be started shows as one that ended with status 127.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    def status(self) -> int | None:
        """The command's exit status, 128 + N if signal N ended it, or None while it runs."""
        return self._watcher.poll()

    def request_stop(self) -> None:
        """Asks the command to end, and returns at once; `stop` waits for it."""
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()

    def stop(self) -> None:
        """Ends the command and whatever it started. On return nothing of it runs any more."""
        self.request_stop()
        try:
            self._watcher.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._watcher.kill()
            self._watcher.wait()
        kill_session(self._watcher.pid)

    def last_words(self, lines: int = 5) -> str:
        """The last lines of the command's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def kill_session(session: int) -> None:
    """Kills every process of a session but the calling one."""
    for process in _running_processes():
        try:
            if process != os.getpid() and os.getsid(process) == session:
                os.kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _running_processes() -> list[int]:
    proc = Path("/proc")
    if (proc / "self").exists():  # Linux, where a slim container has no ps
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    listing = subprocess.run(["/bin/ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(line) for line in listing.stdout.split()]


def _watch(command: Sequence[str]) -> int:
    """Runs in the watcher: the command's exit status, once it and all it started have ended."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]} can't be started: {error}", file=sys.stderr, flush=True)
        return 127
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    threading.Thread(target=_end_with_parent, args=(process,), daemon=True).start()
    status = process.wait()
    kill_session(os.getpid())
    return status if status >= 0 else 128 - status


def _end_with_parent(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1):
        pass
    for seconds in (GENTLE_SECONDS, FIRM_SECONDS):
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()


if __name__ == "__main__":
    # Not sys.exit: the thread may be in the middle of a read.
    os._exit(_watch(sys.argv[1:]))
