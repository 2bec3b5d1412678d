"""What docs/operations.md says of running it, tried with real workers and a real timer: `make bench ARGS=operations`.

It starts a Redis of its own, which it empties and stops on the way. Minutes long, so not one of all the benchmarks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import django_rq
import redis
from django.conf import settings
from django.db import connection

from blueshift_sync.delivery.drain import HELD_BACK
from blueshift_sync.delivery.wake import enqueue_drain
from blueshift_sync.models import ApiCall, Customer, SyncState
from blueshift_sync.testing.process import Simulator
from project.embedded_redis import EmbeddedRedis

from .harness import ROOT, Row, fill, our_environment, simulator

BATCH = 50
KEYS = {"old": "simulator-key", "new": "another-key"}


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory, EmbeddedRedis(Path(directory)) as server:
        os.environ["BENCH_REDIS_URL"] = server.url  # for the processes
        django_rq.settings.QUEUES["default"]["URL"] = server.url
        settings.RQ_QUEUES["default"]["URL"] = server.url
        for rehearsal in _wanted():
            _tell(rehearsal, server)
    return []  # they are in docs/operations.md, with what they mean


def _wanted() -> list[Callable[[EmbeddedRedis], list[Row]]]:
    """Those that BENCH_REHEARSALS names, or all."""
    names = os.environ.get("BENCH_REHEARSALS", "").split()
    return [rehearsal for rehearsal in REHEARSALS if rehearsal.__name__ in names or not names]


def _tell(rehearsal: Callable[[EmbeddedRedis], list[Row]], server: EmbeddedRedis) -> None:
    """Says its figures at once: the whole takes long."""
    print(f"  {rehearsal.__name__}", flush=True)
    for row in rehearsal(server):
        missed = " MISSED" if row.met is False else ""
        print(f"    {row.value:,.1f} {row.unit}{missed}: {row.what} {row.note}", flush=True)


# The processes


@contextmanager
def processes(*commands: tuple[str, ...], **blueshift: Any) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`manage.py` with each of these arguments, killed at the end of the block with all that they started."""
    environment = our_environment(blueshift)
    started = [
        subprocess.Popen(
            [sys.executable, "manage.py", *command, "--verbosity", "0"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]
    try:
        yield started
    finally:
        for process in started:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and its work horse, as a power cut does it."""
    if process.poll() is None:
        for child in children_of(process.pid):
            with suppress(ProcessLookupError):  # it had ended by itself
                os.kill(child, signal.SIGKILL)
        process.kill()
    process.wait()


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


WORKER, TIMER = ("rqworker", "default"), ("rqcron", "blueshift_sync.cron")


def until(condition: Callable[[], object], seconds: float = 700) -> float:
    """Waits for it. Returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            sys.exit(f"Not so after {seconds} s.")
        time.sleep(0.05)
    return time.monotonic() - began


def states() -> Mapping[str, int]:
    return Counter(Customer.objects.values_list("state", flat=True))


def in_step(count: int) -> bool:
    return Customer.objects.filter(state=SyncState.State.SYNCED).count() == count


def longest_gap(blueshift: Simulator) -> float:
    """The longest time between two calls, in seconds by the receiver's clock."""
    arrivals = [request.arrived_at for request in blueshift.requests]
    return max(after - before for before, after in pairwise(arrivals))


def sent_again() -> int:
    """Records that went out more often than once, though nothing had changed."""
    left = ApiCall.objects.exclude(error_code__in=HELD_BACK)
    return sum(left.values_list("record_count", flat=True)) - Customer.objects.count()


def fullest_second(blueshift: Simulator) -> str:
    """When the calls of the second with the most of them came, in milliseconds from its first."""
    arrivals = [request.arrived_at for request in blueshift.requests]
    seconds = [[moment for moment in arrivals if start <= moment < start + 1] for start in arrivals]
    fullest = max(seconds, key=len)
    return ", ".join(f"{(moment - fullest[0]) * 1000:.0f}" for moment in fullest)


# How many workers


def how_many_workers(_server: EmbeddedRedis) -> list[Row]:
    """The share used of five calls a second, by how long Blueshift takes for a call."""
    rows = []
    for latency, workers in ((0.2, 1), (1.0, 1), (3.0, 1), (3.0, 2)):
        calls = 100
        fill(calls * BATCH)
        faults = [{"fault": "latency", "seconds": latency}]
        with simulator(keep=True, log_bodies=False, faults=faults) as blueshift:
            options = {"BASE_URL": blueshift.url, "CALLS_PER_SECOND": 5}
            for _ in range(workers):
                enqueue_drain()
            with processes(*[WORKER] * workers, **options):
                until(lambda calls=calls: in_step(calls * BATCH))
            arrivals = [request.arrived_at for request in blueshift.requests]
            pace = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
        rows.append(Row(f"calls/s of 5 allowed, {workers} workers, {latency:g} s for each call", pace, unit="calls/s"))
    return rows


def what_a_worker_holds(_server: EmbeddedRedis) -> list[Row]:
    """Connections and memory of one worker that sends, and of one that waits."""
    count = 20_000
    fill(count)
    with simulator(faults=[{"fault": "latency", "seconds": 0.5}]) as blueshift:
        enqueue_drain()
        with processes(WORKER, BASE_URL=blueshift.url, CALLS_PER_SECOND=5) as [worker]:
            until(lambda: ApiCall.objects.count() > 20)
            family = [worker.pid, *children_of(worker.pid)]
            busy = {
                "connections to PostgreSQL": _database_connections(),
                "connections to Redis": len(django_rq.get_connection("default").client_list()) - 1,
                "MB of memory, worker and work horse": sum(_resident(pid) for pid in family) / 2**20,
            }
    return [Row(f"one worker at work: {name}", value, unit="") for name, value in busy.items()]


def _database_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def how_it_grows(_server: EmbeddedRedis) -> list[Row]:
    """Without a limit of Blueshift's: records a second of one, two and four workers on this machine."""
    rows = []
    for workers in (1, 2, 4):
        count = 60_000
        fill(count)
        with simulator(faults=[{"fault": "latency", "seconds": 0.1}]) as blueshift:
            for _ in range(workers):
                enqueue_drain()
            with processes(*[WORKER] * workers, BASE_URL=blueshift.url):
                until(ApiCall.objects.exists)
                seconds = until(lambda count=count: in_step(count))
        rows.append(
            Row(f"records/s without a limit, {workers} workers, 0.1 s for each call", count / seconds, unit="1/s")
        )
    return rows


# What is lost


def redis_is_emptied_and_away(server: EmbeddedRedis) -> list[Row]:
    """Emptied while workers work; then gone for a while, and back empty."""
    rows = []
    for name, trouble in (("emptied", _empty), ("away for 20 s", _away)):
        count = 60 * 5 * BATCH
        fill(count)
        with simulator(keep=True, log_bodies=False) as blueshift, ExitStack() as stack:
            options = {"BASE_URL": blueshift.url, "CALLS_PER_SECOND": 5}
            enqueue_drain()
            stack.enter_context(processes(WORKER, TIMER, **options))
            until(lambda: ApiCall.objects.count() > 50)
            trouble(server)
            if name != "emptied":  # worker and timer end without Redis: what keeps them running starts them again
                stack.enter_context(processes(WORKER, TIMER, **options))
            until(lambda count=count: in_step(count))
            rows += [
                Row(f"Redis {name}: the longest gap between two calls", longest_gap(blueshift), unit="s"),
                Row(f"Redis {name}: records sent twice", sent_again(), unit="records"),
                Row(
                    f"Redis {name}: most calls in any second",
                    blueshift.calls_in_any_second(),
                    unit="calls",
                    target=5,
                    at_most=True,
                    note=f"at {fullest_second(blueshift)} ms",
                ),
            ]
    return rows


def _empty(_server: EmbeddedRedis) -> None:
    django_rq.get_connection("default").flushall()


def _away(server: EmbeddedRedis) -> None:
    server.stop()
    time.sleep(20)
    server.__enter__()
    connection_pool = django_rq.get_connection("default")
    until(lambda: _answers(connection_pool))


def _answers(server: redis.Redis) -> bool:
    try:
        return bool(server.ping())
    except redis.RedisError:
        return False


# The key


def the_key_is_rotated(_server: EmbeddedRedis) -> list[Row]:
    """The old one is withdrawn first, and workers are started anew with the new one later; then the right way round."""
    rows = []
    for name, order in (
        ("old key withdrawn first", ("withdraw", "restart")),
        ("new key first", ("restart", "withdraw")),
    ):
        count = 40 * 5 * BATCH
        fill(count)
        with simulator(keep=True, log_bodies=False, api_keys=list(KEYS.values())) as blueshift, ExitStack() as stack:
            options = {"BASE_URL": blueshift.url, "CALLS_PER_SECOND": 5}
            enqueue_drain()
            old = stack.enter_context(processes(WORKER, TIMER, **options, API_KEY=KEYS["old"]))
            until(lambda: ApiCall.objects.count() > 50)
            began = 0.0
            for step in order:
                if step == "withdraw":
                    blueshift.scenario(api_keys=[KEYS["new"]])
                    time.sleep(5)
                else:
                    for process in old:
                        process.terminate()  # a warm shutdown: what is on its way is finished
                    for process in old:
                        process.wait()
                    began = time.monotonic()
                    stack.enter_context(processes(WORKER, TIMER, **options, API_KEY=KEYS["new"]))
                    before = ApiCall.objects.filter(state="SUCCEEDED").count()
                    until(lambda before=before: ApiCall.objects.filter(state="SUCCEEDED").count() > before)
                    again = time.monotonic() - began
            until(lambda count=count: in_step(count))
            rows += [
                Row(f"{name}: until a new worker's first call is accepted", again, unit="s"),
                Row(f"{name}: calls refused", ApiCall.objects.filter(status_code=401).count(), unit="calls"),
                Row(f"{name}: records failed", states()["FAILED"], unit="records", target=0, at_most=True),
            ]
    return rows


# An outage


def blueshift_is_down(_server: EmbeddedRedis) -> list[Row]:
    """503 for six minutes, with the default settings; changes go on being made."""
    minutes, count = 6, 120 * BATCH
    fill(count)
    with simulator(keep=True, log_bodies=False) as blueshift:
        blueshift.scenario(faults=[{"fault": "status", "status": 503}])
        enqueue_drain()
        with processes(WORKER, TIMER, BASE_URL=blueshift.url, CALLS_PER_SECOND=5):
            until(ApiCall.objects.exists)
            by_minute = []
            for _ in range(minutes):
                seen = len(blueshift.requests)
                time.sleep(60)
                by_minute.append(len(blueshift.requests) - seen)
            blueshift.scenario(faults=[])
            first = until(lambda: ApiCall.objects.filter(state="SUCCEEDED").exists())
            rest = until(lambda: in_step(count))
        attempts = max(Customer.objects.values_list("attempts", flat=True), default=0)
        failed = states()["FAILED"]
    told = ", ".join(map(str, by_minute))
    return [
        Row("down: calls in the last minute of six", by_minute[-1], unit="calls", note=f"by minute: {told}"),
        Row("down: records failed", failed, unit="records", target=0, at_most=True, note=f"attempts used: {attempts}"),
        Row("up again: until the first call is accepted", first, unit="s", target=75, at_most=True),
        Row(f"up again: until the {count:,} records are in step", first + rest, unit="s"),
    ]


# Another database


def the_database_is_moved(_server: EmbeddedRedis) -> list[Row]:
    """Copied while calls were on their way, as a dump or a failover does it; the copy goes on."""
    count, name = 60 * 5 * BATCH, str(settings.DATABASES["default"]["NAME"])
    fill(count)
    with simulator(keep=True, log_bodies=False, faults=[{"fault": "latency", "seconds": 1}]) as blueshift:
        options = {"BASE_URL": blueshift.url, "CALLS_PER_SECOND": 5, "LEASE_SECONDS": 40}
        enqueue_drain()
        with processes(WORKER, TIMER, **options):
            until(lambda: ApiCall.objects.count() > 50)
        on_their_way = Customer.objects.filter(state="SENDING").count()
        connection.close()
        _copy_database(name, f"{name}_moved")
        django_rq.get_connection("default").flushall()  # the new place has a new Redis as well
        os.environ["BENCH_POSTGRES_NAME"] = f"{name}_moved"
        connection.settings_dict["NAME"] = f"{name}_moved"
        try:
            blueshift.scenario(faults=[])
            began = time.monotonic()
            with processes(WORKER, TIMER, **options):
                until(lambda: in_step(count))
            seconds = time.monotonic() - began
            again = sent_again()
        finally:
            del os.environ["BENCH_POSTGRES_NAME"]
            connection.close()
            connection.settings_dict["NAME"] = name
    return [
        Row("moved: records on their way when it was copied", on_their_way, unit="records"),
        Row("moved: records sent twice", again, unit="records", target=on_their_way, at_most=True),
        Row(f"moved: until all {count:,} are in step", seconds, unit="s"),
    ]


def _copy_database(name: str, copy: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{copy}"')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')


REHEARSALS = (
    the_key_is_rotated,
    the_database_is_moved,
    redis_is_emptied_and_away,
    what_a_worker_holds,
    how_many_workers,
    blueshift_is_down,
    how_it_grows,
)
