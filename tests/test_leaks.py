"""The key and personal data reach no job, log, error or file, through the whole of a site's life with this app.

Real workers, a real Redis of which every command is overheard, and people with data that stands nowhere else. Whatever
can go wrong goes wrong meanwhile. That the scans find what they look for is tested first.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import django_rq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rq import SimpleWorker
from rq.registry import FailedJobRegistry

from blueshift_sync import services
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListImport, SendingStop
from blueshift_sync.testing.process import Simulator
from project.embedded_redis import EmbeddedRedis
from project.shop import models as shop
from tests.admin.found import crawl
from tests.admin.pages import MODELS, action, list_url, page_url
from tests.processes import kill_with_children
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parent.parent
KEY = "canary-key-7f3a91c2d4"
#: What stands in the data of the people, in a form that stands nowhere else.
EMAIL, GIVEN, FAMILY, PHONE = "canarymail", "Canarygiven", "Canaryfamily", "+491717654321"
PERSONAL = [EMAIL, GIVEN, FAMILY, PHONE, quote(PHONE), "canarydomain"]
IN_BASE64 = base64.b64encode(f"{KEY}:".encode()).decode().rstrip("=")
SECRET = [KEY, quote(KEY), IN_BASE64, base64.b64encode(KEY.encode()).decode().rstrip("=")]


def found_in(text: str, needles: list[str]) -> list[str]:
    """Each of the needles that stands in the text, with what stands around it."""
    return [
        f"{needle}: …{text[max(0, place - 150) : place + 100]!r}…"
        for needle in needles
        if (place := text.lower().find(needle.lower())) >= 0
    ]


# Where it could leak to


class Wiretap:
    """Every command that a Redis server gets from anybody, its arguments unpacked."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(server.socket))
        self._socket.sendall(b"MONITOR\r\n")
        self._heard = bytearray()
        assert self._socket.recv(5) == b"+OK\r\n"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while chunk := self._socket.recv(65536):
                self._heard += chunk

    def text(self) -> str:
        """What was heard so far. Jobs are compressed pickles; each is unpacked."""
        return "\n".join(
            _unpacked(codecs.escape_decode(argument)[0])
            for argument in re.findall(rb'"((?:[^"\\]|\\.)*)"', bytes(self._heard))
        )

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()


def _unpacked(argument: bytes) -> str:
    """Jobs are compressed, and how they ended is that and written in base64."""
    with suppress(binascii.Error):
        if decoded := base64.b64decode(argument, validate=True):
            argument += b" " + _inflated(decoded)
    return _inflated(argument).decode("utf-8", errors="replace")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


@pytest.fixture
def wiretap(own_redis: EmbeddedRedis) -> Iterator[Wiretap]:
    tap = Wiretap(own_redis)
    yield tap
    tap.stop()


class Lines(logging.Handler):
    """All that this process logs, whatever the level and the logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {vars(record)}")


@pytest.fixture
def logged() -> Iterator[Lines]:
    handler = Lines()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("rq", "django_rq", "blueshift_sync"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler
    for name in ("rq", "django_rq", "blueshift_sync"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(level)
    root.removeHandler(handler)


TALKATIVE = """
from tests.settings import *
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"everything": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["everything"], "level": "DEBUG"},
    "loggers": {name: {"level": "DEBUG"} for name in ("rq", "django_rq", "blueshift_sync")},
}
"""


@pytest.fixture
def blueshift(settings: Any) -> Iterator[Simulator]:
    """A simulator whose key is the canary."""
    with Simulator(api_key=KEY) as simulator:
        simulator.scenario(calls_per_second=None, lists={"7": {"name": "News", "source": "email"}})
        settings.BLUESHIFT_SYNC = {
            **settings.BLUESHIFT_SYNC,
            "API_KEY": KEY,
            "BASE_URL": simulator.url,
            "CALLS_PER_SECOND": None,
            "LEASE_SECONDS": 3,
            "BACKOFF_SECONDS": [0.01, 0.1],
            "TIMEOUT": [1, 1],
        }
        yield simulator


Hire = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def hire(tmp_path: Path, settings: Any, own_redis: EmbeddedRedis) -> Iterator[Hire]:
    """Starts a worker that says all it can, and keeps whatever files it makes in the test's directory."""
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    (tmp_path / "tmp").mkdir()
    workers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "talkative",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "TEST_BLUESHIFT_SYNC": json.dumps(settings.BLUESHIFT_SYNC),
            "TMPDIR": str(tmp_path / "tmp"),
        }
        command = [sys.executable, str(ROOT / "manage.py"), "rqworker", "default", "--verbosity", "3"]
        with (tmp_path / f"worker-{len(workers)}.log").open("ab") as log:
            worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        kill_with_children(worker)


def files_of(directory: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(directory.rglob("*")) if path.is_file())


class Overheard(NamedTuple):
    """All of it."""

    wiretap: Wiretap
    logged: Lines
    directory: Path

    def texts(self) -> tuple[str, str, str]:
        """What was in Redis, in files, and in this process's log."""
        return self.wiretap.text(), files_of(self.directory), "\n".join(self.logged.lines)


@pytest.fixture
def overheard(wiretap: Wiretap, logged: Lines, tmp_path: Path) -> Overheard:
    return Overheard(wiretap, logged, tmp_path)


# What a site does


def make_people(count: int) -> None:
    letter, _ = shop.Newsletter.objects.get_or_create(blueshift_list_id=7, defaults={"name": "News"})
    for number in range(count):
        with transaction.atomic():
            person = shop.Customer.objects.create(
                customer_number=f"n{number}",
                email=f"{EMAIL}{number}@canarydomain.example",
                given_name=f"{GIVEN}{'x' * 70 * (number % 5 == 4)}",  # every fifth is too long for Blueshift
                family_name=FAMILY,
                phone=PHONE,
            )
            shop.NewsletterSignup.objects.create(customer=person, newsletter=letter, confirmed=True)


def rename_people() -> None:
    for person in shop.Customer.objects.all():
        person.family_name += "x"
        person.save()


def at_rest() -> bool:
    sweep()
    waiting = Customer.objects.filter(state__in=["PENDING", "SENDING"], due_at__isnull=False)
    return not waiting.exists() and not ApiCall.objects.filter(state="OPEN").exists()


def end_the_stop() -> bool:
    SendingStop.objects.update(probe_at=timezone.now())
    sweep()
    return not SendingStop.objects.exists()


FAULTS: list[dict[str, Any]] = [
    {"fault": "status", "status": 500},
    {"fault": "status", "status": 429},
    {"fault": "latency", "seconds": 3},
    {"fault": "reset"},
]


def live(simulator: Simulator, hire: Hire, client: Client) -> None:
    """Saves, refusals, outages, a refused key, a killed worker, files, commands, and the admin and the API in use."""
    worker = hire()
    make_people(10)
    wait_until(at_rest)
    for fault in FAULTS:
        simulator.scenario(faults=[fault])
        rename_people()
        seen = len(simulator.requests)
        wait_until(lambda seen=seen: len(simulator.requests) > seen)  # type: ignore[misc]
        simulator.scenario(faults=[])
        wait_until(at_rest)
    simulator.scenario(faults=[{"fault": "latency", "seconds": 0.8}])
    rename_people()
    wait_until(lambda: ApiCall.objects.filter(state="OPEN").exists())
    kill_with_children(worker)
    simulator.scenario(faults=[])
    hire()
    wait_until(at_rest)
    simulator.fail("status", status=401, next=1)
    rename_people()
    wait_until(SendingStop.objects.exists)
    wait_until(end_the_stop)
    wait_until(at_rest)
    use_the_admin(client)
    use_the_api(client)
    run_commands()
    shop.Customer.objects.first().delete()  # type: ignore[union-attr]
    wait_until(at_rest)


def use_the_admin(client: Client) -> None:
    row = Customer.objects.filter(state="SYNCED").first()
    failed = Customer.objects.filter(state="FAILED").first()
    assert row, list(Customer.objects.values_list("state", "error_code", "error_message"))
    assert failed
    assert client.post(list_url(Customer), {**action("push", row), "confirmed": "1"}).status_code in {200, 302}
    assert client.post(list_url(Customer), {**action("preview", failed)}).status_code == 200
    news = CustomerList.objects.get()
    people = f"email\n{EMAIL}0@canarydomain.example\n{EMAIL}-nobody@canarydomain.example\n".encode()
    file = SimpleUploadedFile(f"{FAMILY}.csv", people, content_type="text/csv")
    client.post(page_url(news, "import"), {"file": file, "direction": "add"})
    wait_until(lambda: ListImport.objects.filter(state="READY").exists())


def use_the_api(client: Client) -> None:
    for path in (f"customers/?email={EMAIL}1@canarydomain.example", "results/", "calls/", "status/", "customers/?x=1"):
        assert client.get(f"/api/blueshift/{path}").status_code in {200, 400}
    body = {"filter": {"email": f"{EMAIL}1@canarydomain.example"}}
    answer = client.post("/api/blueshift/customers/push/", json.dumps(body), content_type="application/json")
    assert answer.status_code == 202
    broken = client.post("/api/blueshift/customers/push/", f'{{"ids": ["{EMAIL}"', content_type="application/json")
    assert broken.status_code == 400


def run_commands() -> None:
    said = StringIO()
    for command in ("blueshift_backfill", "blueshift_push", "blueshift_status", "blueshift_ping", "blueshift_prune"):
        with suppress(Exception):
            call_command(command, stdout=said, stderr=said)
    assert found_in(said.getvalue(), PERSONAL + SECRET) == []


# The scans find what they look for


def test_the_scans_find_what_they_look_for(wiretap: Wiretap, logged: Lines, tmp_path: Path) -> None:
    django_rq.get_queue("default").enqueue("builtins.print", f"{EMAIL}@canarydomain.example", KEY)
    logging.getLogger("any").debug("%s", PHONE, extra={"headers": {"Authorization": f"Basic {IN_BASE64}=="}})
    (tmp_path / "file").write_bytes(b"\xff" + GIVEN.upper().encode())
    wait_until(lambda: found_in(wiretap.text(), [EMAIL]) and found_in(wiretap.text(), [KEY]))
    assert found_in("\n".join(logged.lines), [PHONE])
    assert found_in("\n".join(logged.lines), [IN_BASE64])
    assert found_in(files_of(tmp_path), [GIVEN])
    assert found_in("nothing", PERSONAL + SECRET) == []


# The whole of it


@pytest.mark.e2e
def test_neither_key_nor_people_are_in_redis_logs_files_or_failed_jobs(
    blueshift: Simulator, hire: Hire, overheard: Overheard, admin_client: Client
) -> None:
    live(blueshift, hire, admin_client)
    assert {"SYNCED", "FAILED"} <= set(Customer.objects.values_list("state", flat=True))
    assert {"UNKNOWN", "FAILED", "PARTIAL", "SUCCEEDED"} <= set(ApiCall.objects.values_list("state", flat=True))

    in_redis, files, log = overheard.texts()
    assert "blueshift_sync.tasks.drain" in in_redis
    assert "Call " in files
    assert "call_finished" in files or "CUSTOMERS_BULK" in files
    forbidden = PERSONAL + SECRET
    assert found_in(in_redis, forbidden) == []
    assert found_in(files, forbidden) == []
    assert found_in(_without_requests_of_the_site(log), forbidden) == []
    _no_key_on_any_page(admin_client)
    _no_person_on_a_page_for_who_may_not_see_them()


def _without_requests_of_the_site(log: str) -> str:
    """Django's own lines of a request name its address, which is the site's to log: `Bad Request: /api/…`."""
    return "\n".join(line for line in log.splitlines() if not line.startswith("django.request "))


def _no_key_on_any_page(client: Client) -> None:
    pages = crawl(client)
    assert len(pages) > 20
    for address, page in pages.items():
        assert found_in(page.text, SECRET) == [], address
    call = ApiCall.objects.first()
    for address in (f"/api/blueshift/calls/{call.pk}/", "/api/blueshift/status/", "/api/blueshift/schema/"):  # type: ignore[union-attr]
        assert found_in(client.get(address).content.decode(), SECRET) == [], address


def _no_person_on_a_page_for_who_may_not_see_them() -> None:
    from django.contrib.auth.models import Permission, User

    nobody = User.objects.create_user("nobody", is_staff=True)
    client = Client()
    client.force_login(nobody)
    for model in MODELS:
        row = model._default_manager.first()
        for address in (list_url(model), page_url(row) if row else list_url(model)):
            page = client.get(address, follow=True)
            assert found_in(page.content.decode(), PERSONAL) == [], address
    # Who may see calls, but not what stands in them, sees neither names nor numbers.
    nobody.user_permissions.set(Permission.objects.filter(codename__in=["view_apicall", "view_syncrun"]))
    client.force_login(User.objects.get(pk=nobody.pk))
    for call in ApiCall.objects.all()[:20]:
        text = client.get(page_url(call)).content.decode()
        text += client.get(f"/api/blueshift/calls/{call.pk}/").content.decode()
        assert found_in(text, [GIVEN, FAMILY, PHONE]) == [], call.pk


# Errors


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return fail


def _database_error() -> IntegrityError:
    """As PostgreSQL words it."""
    error = IntegrityError(f"Failing row contains (1, n1, {EMAIL}@canarydomain.example, {GIVEN}).")
    error.__cause__ = DatabaseError("23514", error.args[0])
    return error


@pytest.mark.parametrize("error", [_database_error(), ValueError(f"no number: '{PHONE}'"), KeyError(EMAIL)], ids=repr)
@pytest.mark.parametrize("task", ["drain", "sweep", "prune", "gather", "match_import"])
def test_a_job_that_ends_by_an_error_quotes_nobody(
    wiretap: Wiretap, logged: Lines, monkeypatch: pytest.MonkeyPatch, error: Exception, task: str
) -> None:
    for name in ("run_sweep", "prune_for", "drain_module.drain", "services.go_on", "services.go_on_matching"):
        monkeypatch.setattr(f"blueshift_sync.tasks.{name}", raising(error))
    arguments = {"gather": {"run_id": 1}, "match_import": {"import_id": 1}}.get(task, {})
    queue = django_rq.get_queue("default")
    job = queue.enqueue(f"blueshift_sync.tasks.{task}", **arguments)
    SimpleWorker([queue], connection=queue.connection).work(burst=True)
    assert FailedJobRegistry(queue=queue).get_job_ids() == [job.id]
    said = str(job.latest_result().exc_string)
    assert type(error).__name__ in said
    assert "in fail" in said  # where it happened
    wait_until(lambda: "JobFailed" in wiretap.text(), seconds=10)
    assert found_in(said, PERSONAL) == found_in(wiretap.text(), PERSONAL) == []
    assert found_in("\n".join(logged.lines), PERSONAL) == []


@contextmanager
def debug_page_of(client: Client, settings: Any) -> Iterator[Callable[[str], str]]:
    """Django's page for developers, with the local variables of every function on the way."""
    settings.DEBUG = True
    client.raise_request_exception = False

    def post(address: str) -> str:
        response = client.post(address)
        assert response.status_code == 500
        page = response.content.decode()
        assert "Local vars" in page
        return page

    yield post
    settings.DEBUG = False


@pytest.mark.parametrize("where", ["requests.adapters.HTTPAdapter.send", "urllib3.connection.HTTPConnection.request"])
def test_an_error_page_for_developers_doesnt_show_the_key(
    blueshift: Simulator, admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(where, raising(RuntimeError("What nobody thought of.")))
    with debug_page_of(admin_client, settings) as page_of:
        page = page_of(reverse("admin:blueshift_sync_check_key"))
    assert "What nobody thought of." in page
    assert found_in(page, SECRET) == []


def test_an_address_that_cant_be_used_doesnt_show_the_key(admin_client: Client, settings: Any, logged: Lines) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": KEY, "BASE_URL": "http://10.0.0.1"}
    with debug_page_of(admin_client, settings) as page_of:
        page = page_of(reverse("admin:blueshift_sync_check_key"))
    assert "The base URL must be https" in page
    assert found_in(page, SECRET) == found_in("\n".join(logged.lines), SECRET) == []


def test_no_error_of_ours_quotes_the_key(settings: Any) -> None:
    nowhere = {"API_KEY": KEY, "BASE_URL": "http://127.0.0.1:9", "TIMEOUT": [1, 1]}
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, **nowhere}
    with pytest.raises(BlueshiftSyncError) as caught:
        services.check_key()
    assert found_in(f"{caught.value!r} {caught.value}", SECRET) == []
