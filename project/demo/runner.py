"""The demo from beginning to end. Needs a configured Django."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from tqdm import tqdm

from project.demo import report
from project.demo.comparison import differences, read_account
from project.demo.errors import DemoError
from project.demo.progress import wait_until_settled
from project.demo.services import Services
from project.shop.filling import fill_shop

MANAGE = str(Path(__file__).resolve().parent.parent.parent / "manage.py")
SCENARIO = str(Path(__file__).with_name("scenario.json"))
LOGIN = "admin"
WATCH_SECONDS = 0.5
DIFFERENCES_SHOWN = 20


def run(options: argparse.Namespace, var: Path) -> int:
    """Runs the demo, with its files in `var`. Returns the exit status."""
    site = f"http://127.0.0.1:{options.port}"
    with ExitStack() as stack:
        # The number of a process that has ended may soon be another's.
        stack.callback(worker_pid_file(var).unlink, missing_ok=True)
        services = stack.enter_context(Services(var / "log"))
        with step("Making the database"):
            call_command("migrate", verbosity=0)
            get_user_model().objects.create_superuser(LOGIN, password=LOGIN)
        with step("Starting the simulated Blueshift, a worker, the timer and the site"):
            start(services, options, var)
        fill(options.customers)
        push(services)
        print("\n".join(report.totals()))
        print("Rejected, and why:")
        print("\n".join(report.rejections()) or "  nobody")
        print("Lists that have stopped, and why (the others go on):")
        print("\n".join(report.stopped_lists()) or "  none")
        if options.once:
            return judge(site)
        serve(services, site, var)
    print("\nStopped; nothing is left running.", flush=True)
    return 0


def start(services: Services, options: argparse.Namespace, var: Path) -> None:
    simulator = ["-m", "blueshift_sync.testing.simulator", "--port", str(options.simulator_port)]
    services.start("simulator", *simulator, "--scenario", SCENARIO)
    worker = [MANAGE, "rqworker", settings.BLUESHIFT_SYNC.get("QUEUE", "default")]
    services.start("worker", *worker, "--pid", str(worker_pid_file(var)), restarted=True)
    services.start("timer", MANAGE, "rqcron", "blueshift_sync.cron", restarted=True)
    services.start("site", MANAGE, "runserver", "--noreload", f"127.0.0.1:{options.port}")
    services.wait_for_port(options.simulator_port, "simulator")
    services.wait_for_port(options.port, "site")


def worker_pid_file(var: Path) -> Path:
    return var / "worker.pid"


def fill(customers: int) -> None:
    started_at = time.monotonic()
    with tqdm(total=customers, unit=" customers", desc="Filling the shop", file=sys.stdout, disable=None) as bar:
        fill_shop(customers, on_progress=lambda done: bar.update(done - bar.n))
    print(f"The shop has {customers:,} customers ({time.monotonic() - started_at:.0f} s).", flush=True)


def push(services: Services) -> None:
    """Waits while the worker does what this is all about."""
    started_at = time.monotonic()
    print("The worker brings Blueshift into step:", flush=True)
    try:
        tally = wait_until_settled(services.check)
    except DemoError as error:
        raise DemoError(f"{error} {services.logs_hint}") from None
    seconds = time.monotonic() - started_at
    print(f"All {tally.total:,} records are where they should be, {seconds:.0f} s later:", flush=True)


def judge(site: str) -> int:
    """The exit status of `--once`: 0 only if the site answers and Blueshift holds exactly what the shop says."""
    found = [*site_problems(site), *differences(read_account(settings.BLUESHIFT_SYNC["BASE_URL"]))]
    if not found:
        print("Compared field by field: Blueshift holds exactly what the shop says.", flush=True)
        return 0
    print("\n".join(found[:DIFFERENCES_SHOWN]))
    print(f"Blueshift doesn't hold what the shop says: {len(found)} differences.", flush=True)
    return 1


def site_problems(site: str) -> Iterator[str]:
    for path in ("/", "/admin/login/"):
        status = requests.get(f"{site}{path}", timeout=30).status_code
        if status != requests.codes.ok:
            yield f"{site}{path} answers with status {status}."


def serve(services: Services, site: str, var: Path) -> None:
    """Goes on until Ctrl-C."""
    print(f"\nLook around; log in as {LOGIN} with the password {LOGIN}:")
    print("\n".join(report.addresses(site)))
    print(
        f"\nChange a customer in the shop and see the call. Kill the worker and see what becomes of it:\n"
        f"  kill -9 $(cat {worker_pid_file(var)})\n"
        "Ctrl-C ends it all.",
        flush=True,
    )
    try:
        while True:
            time.sleep(WATCH_SECONDS)
            services.check()
    except KeyboardInterrupt:
        return


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is being done, and then how long it took."""
    print(f"{what} ... ", end="", flush=True)
    started_at = time.monotonic()
    yield
    print(f"{time.monotonic() - started_at:.1f} s", flush=True)
