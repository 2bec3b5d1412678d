"""Files of identifiers on their way to memberships: matched in parts, looked at, carried out or thrown away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO, StringIO
from typing import Any

import django_rq
import pytest
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone

from blueshift_sync import services, tasks
from blueshift_sync.delivery import bulk, gathering, imports, uploads
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError, UnusableFile
from blueshift_sync.models import (
    Customer,
    CustomerList,
    ListImport,
    ListImportChunk,
    ListImportMatch,
    ListImportPart,
    ListMembership,
    SyncRun,
)
from tests.factories import make_customer, make_import, make_list, make_membership

pytestmark = pytest.mark.django_db

IN_STEP: dict[str, Any] = {"state": "SYNCED", "due_at": None}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 10 lines, slices of 10 customers, and requests that do one of them."""
    monkeypatch.setattr(imports, "PART", 10)
    monkeypatch.setattr(imports, "WRITTEN_AT_ONCE", 2)
    monkeypatch.setattr(gathering, "SLICE", 10)
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)


def prepare(customer_list: CustomerList, *lines: str, **options: Any) -> ListImport:
    return services.prepare_import(customer_list, BytesIO("\n".join(lines).encode()), **options)


def problems(row: ListImport) -> list[tuple[int, str, str]]:
    return list(imports.problem_lines(row))


def queued(task: str) -> list[dict[str, int]]:
    return [job.kwargs for job in django_rq.get_queue("default").jobs if job.func_name.endswith(task)]


def people(count: int) -> list[str]:
    """Makes so many customers. Returns their addresses."""
    Customer.objects.bulk_create(
        Customer(customer_id=f"c{n}", email=f"c{n}@example.com", state="SYNCED", due_at=None) for n in range(count)
    )
    return [f"c{n}@example.com" for n in range(count)]


def test_lines_are_counted_and_add_up() -> None:
    news = make_list()
    ada, bob = make_customer(email="Ada@x.com"), make_customer(email="bob@x.com")
    make_membership(customer_list=news, customer=bob, **IN_STEP)
    row = prepare(news, "email", "ADA@X.com", "nobody@x.com", "bob@x.com", "ada@x.com", "bad", filename="people.csv")
    assert (row.state, row.lines, row.matched, row.repeated, row.unknown, row.bad) == ("READY", 5, 2, 1, 1, 1)
    assert (row.customers, row.in_step, row.to_change) == (2, 1, 1)
    assert problems(row) == [(3, "nobody@x.com", "unknown"), (5, "ada@x.com", "repeated"), (6, "bad", "malformed")]
    assert not ListMembership.objects.filter(customer=ada).exists()
    assert not SyncRun.objects.exists()


def test_an_address_that_several_share_means_all_of_them() -> None:
    news = make_list()
    shared = [make_customer(email="both@x.com") for _ in range(3)]
    row = prepare(news, "both@x.com")
    assert (row.matched, row.customers) == (1, 3)
    services.start_import(row)
    assert {each.customer_id for each in news.memberships.all()} == {each.pk for each in shared}


def test_customer_ids_are_matched_as_they_are() -> None:
    make_customer(customer_id="A-1"), make_customer(customer_id="a-1")
    row = prepare(make_list(), "customer_id", "A-1", "A-2")
    assert (row.identifier_key, row.customers, row.unknown) == ("customer_id", 1, 1)


def test_the_identifiers_of_who_was_found_are_forgotten() -> None:
    make_customer(email="ada@x.com")
    row = prepare(make_list(), "ada@x.com", "nobody@x.com")
    part = row.parts.get()
    assert (part.lines, part.problems) == ([], [[2, "nobody@x.com", "unknown"]])


@pytest.mark.parametrize("wanted", [True, False])
def test_carried_out_it_says_so_of_each_customer_once(wanted: bool, small_parts: None) -> None:
    news, addresses = make_list(), people(35)
    row = prepare(news, *addresses, *addresses[:5], is_member=wanted)
    services.go_on_matching(row.pk, lambda: False)
    row.refresh_from_db()
    assert (row.state, row.customers, row.repeated) == ("READY", 35, 5)
    run = services.start_import(row)
    assert (run.total, run.closed_at) == (10, None)
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.total, run.unchanged, run.closed_at is None) == (35, 0, False)
    assert news.memberships.filter(is_member=wanted, run=run, state="PENDING").count() == 35
    assert not ListImportMatch.objects.exists()
    sweep()
    row.refresh_from_db()
    assert (row.state, row.run) == ("DONE", run)


def test_who_is_as_wanted_is_left_alone_and_who_failed_is_not() -> None:
    news = make_list()
    on_it, waiting, failed, off_it = (make_customer() for _ in range(4))
    make_membership(customer_list=news, customer=on_it, version=3, **IN_STEP)
    make_membership(customer_list=news, customer=waiting, version=3)
    make_membership(customer_list=news, customer=failed, state="FAILED", error_code="x", due_at=None)
    make_membership(customer_list=news, customer=off_it, is_member=False, **IN_STEP)
    row = prepare(news, *(each.email for each in (on_it, waiting, failed, off_it)))
    assert (row.customers, row.in_step) == (4, 2)
    run = services.start_import(row)
    assert (run.total, run.unchanged) == (2, 2)
    assert {each.customer_id for each in ListMembership.objects.filter(run=run)} == {failed.pk, off_it.pk}
    assert set(news.memberships.filter(version=3).values_list("customer_id", flat=True)) == {on_it.pk, waiting.pk}


def test_who_is_excluded_is_counted_apart() -> None:
    """A customer, a membership; but not who is on the list already. An excluded customer is taken off all the same."""
    news = make_list()
    customer, on_it, waiting = (make_customer(state="EXCLUDED", error_code="excluded") for _ in range(3))
    make_membership(customer_list=news, customer=on_it, **IN_STEP)
    make_membership(customer_list=news, customer=waiting, due_at=None, error_code="customer_excluded")
    membership = make_membership(customer_list=news, state="EXCLUDED", error_code="excluded_by_operator", due_at=None)
    addresses = [each.email for each in (customer, on_it, waiting, membership.customer, make_customer())]
    row = prepare(news, *addresses)
    assert (row.customers, row.in_step, row.excluded, row.to_change) == (5, 1, 3, 1)
    row = prepare(news, *addresses, is_member=False)
    assert (row.customers, row.in_step, row.excluded, row.to_change) == (5, 0, 1, 4)


def test_who_is_excluded_is_said_to_be_a_member_and_follows_once_included() -> None:
    news, customer = make_list(), make_customer(state="EXCLUDED", error_code="excluded", due_at=None)
    other = make_customer(**IN_STEP)
    run = services.start_import(prepare(news, customer.email, other.email))
    assert (run.total, news.memberships.get(customer=customer).is_member) == (2, True)


def test_whoever_is_deleted_meanwhile_is_passed_over() -> None:
    news = make_list()
    ada, bob = make_customer(email="ada@x.com"), make_customer(email="bob@x.com")
    row = prepare(news, "ada@x.com", "bob@x.com")
    bob.delete()
    run = services.start_import(row)
    assert (run.total, [each.customer for each in news.memberships.all()]) == (1, [ada])


def test_somebody_may_say_the_opposite_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The membership isn't known when it is looked for, and there when it is inserted."""
    news, ada = make_list(), make_customer(email="ada@x.com")

    def insert_after_somebody_else(*_args: Any) -> None:
        make_membership(customer_list=news, customer=ada, is_member=False, **IN_STEP)
        raise IntegrityError

    monkeypatch.setattr(bulk, "insert_copies", insert_after_somebody_else)
    run = services.start_import(prepare(news, "ada@x.com"))
    membership = news.memberships.get()
    assert (run.total, membership.is_member, membership.state, membership.run) == (1, True, "PENDING", run)


# In the background


@pytest.mark.django_db(transaction=True)
def test_a_job_goes_on_where_the_request_stopped(small_parts: None) -> None:
    news, addresses = make_list(), people(35)
    row = prepare(news, *addresses)
    assert (row.state, row.parts_read, row.parts_matched) == ("MATCHING", 4, 1)
    assert queued("match_import") == [{"import_id": row.pk}]
    tasks.match_import(import_id=row.pk, later="unknown to this version")
    row.refresh_from_db()
    assert (row.state, row.customers) == ("READY", 35)


def test_a_job_that_is_asked_to_stop_leaves_the_rest_to_another(
    small_parts: None, django_capture_on_commit_callbacks: Any
) -> None:
    row = prepare(make_list(), *people(35))
    with django_capture_on_commit_callbacks(execute=True):
        services.go_on_matching(row.pk, lambda: True)
    row.refresh_from_db()
    assert (row.state, row.parts_matched) == ("MATCHING", 2)
    assert queued("match_import") == [{"import_id": row.pk}]


def test_the_sweep_goes_on_with_what_a_lost_job_left(small_parts: None) -> None:
    row = prepare(make_list(), *people(35))
    sweep()
    assert queued("match_import") == []
    ListImport.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    sweep()
    sweep()
    assert queued("match_import") == [{"import_id": row.pk}]


def test_nothing_personal_is_in_jobs_or_logs(
    small_parts: None, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.RQ_QUEUES = {"default": {"URL": "redis://127.0.0.1:9/0"}}
    with caplog.at_level(logging.DEBUG, logger="blueshift_sync"):
        row = prepare(make_list(), *people(35), "nobody@example.com", filename="ada.csv")
        services.go_on_matching(row.pk, lambda: False)
        row.refresh_from_db()
        run = services.start_import(row)
    assert "example.com" not in caplog.text
    assert "ada" not in caplog.text
    assert "example.com" not in str(run.scope)


# Large files, which no request reads


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, small_parts: None) -> None:
    """What is over 200 bytes is large, and kept in pieces of about 100."""
    monkeypatch.setattr(uploads, "SMALL", 200)
    monkeypatch.setattr(uploads, "CHUNK", 100)


@pytest.mark.django_db(transaction=True)
def test_a_large_file_is_kept_by_the_request_and_read_by_a_job(large: None) -> None:
    news, addresses = make_list(), people(35)
    row = prepare(news, "name,email", *(f'"Zo\n{each}",{each}' for each in addresses), "x,nobody@x.com")
    assert (row.state, row.lines, row.identifier_key) == ("UPLOADING", 0, "email")
    assert ListImportChunk.objects.count() > 5
    assert queued("match_import") == [{"import_id": row.pk}]
    tasks.match_import(import_id=row.pk)
    row.refresh_from_db()
    assert (row.state, row.lines, row.customers, row.parts_read) == ("READY", 36, 35, 4)
    assert problems(row) == [(72, "nobody@x.com", "unknown")]
    assert not ListImportChunk.objects.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name,phone\n" + b"Ada,1\n" * 100, "Line 1 names no column"),
        (b"a@b\n" * 100 + b"\0\n", "Line 101 has a NUL byte"),
        ("a@b\n".encode("utf-16") * 100, "UTF-16"),
        (StringIO("a@b\n" * 100), 'with the mode "rb"'),
    ],
)
def test_what_is_no_such_file_is_told_at_once_however_large(large: None, content: Any, sentence: str) -> None:
    file: Any = content if isinstance(content, StringIO) else BytesIO(content)
    with pytest.raises(UnusableFile, match=sentence):
        services.prepare_import(make_list(), file)
    assert not ListImport.objects.exists()
    assert not ListImportChunk.objects.exists()


@pytest.mark.parametrize("stops_after", [0, 1, 3])
def test_who_reads_it_after_a_job_was_stopped_begins_anew(large: None, stops_after: int) -> None:
    row = prepare(make_list(), *people(65))
    looks = iter(range(1000))
    services.go_on_matching(row.pk, lambda: next(looks) >= stops_after)
    row.refresh_from_db()
    assert (row.state, ListImportChunk.objects.exists()) == ("UPLOADING", True)
    services.go_on_matching(row.pk, lambda: False)
    row.refresh_from_db()
    assert (row.state, row.lines, row.customers, row.repeated) == ("READY", 65, 65, 0)


def test_of_two_who_read_it_the_first_one_stops(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep takes a job for lost that only was slow."""
    row = prepare(make_list(), *people(65))
    write_parts, others = imports._write_parts, iter([True])

    def another_begins_meanwhile(*args: Any) -> None:
        write_parts(*args)
        if next(others, False):
            uploads.read_kept_file(row.pk)

    monkeypatch.setattr(imports, "_write_parts", another_begins_meanwhile)
    services.go_on_matching(row.pk, lambda: False)
    row.refresh_from_db()
    assert (row.state, row.lines, row.customers, row.repeated, row.parts_read) == ("READY", 65, 65, 0, 7)


def test_the_sweep_has_a_kept_file_read_whose_job_was_lost(large: None) -> None:
    row = prepare(make_list(), *people(35))
    sweep()
    assert queued("match_import") == []
    ListImport.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    sweep()
    sweep()
    assert queued("match_import") == [{"import_id": row.pk}]


def test_a_kept_file_can_be_thrown_away(large: None) -> None:
    row = prepare(make_list(), *people(35))
    services.cancel_import(row)
    assert not ListImportChunk.objects.exists()
    services.go_on_matching(row.pk, lambda: False)
    row.refresh_from_db()
    assert (row.state, row.lines) == ("CANCELLED", 0)


def test_who_is_erased_is_in_no_kept_file_either(large: None) -> None:
    addresses = people(35)
    row = prepare(make_list(), *addresses)
    ada = Customer.objects.get(email=addresses[7])
    assert services.erase_person(ada).lines == 1
    assert not ListImportChunk.objects.exists()
    assert addresses[7] not in str(list(ListImportPart.objects.values_list("lines", "problems")))
    row.refresh_from_db()
    assert (row.state, row.lines) == ("MATCHING", 35)


# Errors


def test_of_a_file_that_cannot_be_read_nothing_is_kept(small_parts: None) -> None:
    with pytest.raises(UnusableFile, match="Line 45"):
        services.prepare_import(make_list(), BytesIO(b"a@b\n" * 44 + b"\0\n"))
    assert not ListImport.objects.exists()
    assert not ListImportPart.objects.exists()


class ReadWhile(BytesIO):
    """A file of which a few bytes are read at a time. `happens` does so after the first parts are kept."""

    def __init__(self, content: bytes, happens: Callable[[], object]) -> None:
        super().__init__(content)
        self.happens: Callable[[], object] | None = happens

    def read(self, size: int | None = -1, /) -> bytes:
        if self.happens is not None and ListImportPart.objects.exists():
            self.happens()
            self.happens = None
        return super().read(100)


def throw_away() -> None:
    services.cancel_import(ListImport.objects.get())


def delete_list() -> None:
    CustomerList.objects.all().delete()


@pytest.mark.parametrize("happens", [throw_away, delete_list])
def test_what_is_thrown_away_while_it_is_read_stays_so(happens: Callable[[], object], small_parts: None) -> None:
    content = "\n".join(people(200)).encode()
    with pytest.raises(UnusableFile, match="thrown away while it was being read"):
        services.import_members(make_list(), ReadWhile(content, happens))
    assert not ListImport.objects.exists()
    assert not ListImportPart.objects.exists()


def test_the_sweep_leaves_a_file_that_somebody_says_yes_to_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    row = prepare(make_list(), *people(1))
    long_ago = timezone.now() - imports.KEPT_FOR - timedelta(hours=1)
    ListImport.objects.update(heartbeat_at=long_ago)
    cancel = imports.cancel

    def started_before(import_id: int) -> None:
        services.start_import(row)
        cancel(import_id)

    monkeypatch.setattr(imports, "cancel", started_before)
    sweep()
    row.refresh_from_db()
    assert (row.state, ListMembership.objects.count()) == ("DONE", 1)


def test_a_header_alone_is_no_file() -> None:
    with pytest.raises(UnusableFile, match="not one identifier"):
        prepare(make_list(), "email", "")
    assert not ListImport.objects.exists()


def test_a_file_is_carried_out_once() -> None:
    make_customer(email="ada@x.com")
    row = prepare(make_list(), "ada@x.com")
    services.start_import(row)
    with pytest.raises(BlueshiftSyncError, match="isn't waiting"):
        services.start_import(row)
    with pytest.raises(BlueshiftSyncError, match="cancel its run"):
        services.cancel_import(row)
    assert SyncRun.objects.count() == 1


def test_what_is_thrown_away_is_gone_and_cannot_be_carried_out() -> None:
    make_customer(email="ada@x.com")
    row = prepare(make_list(), "ada@x.com", "nobody@x.com")
    services.cancel_import(row)
    assert row.state == "CANCELLED"
    assert not ListImportPart.objects.exists()
    assert not ListImportMatch.objects.exists()
    with pytest.raises(BlueshiftSyncError):
        services.start_import(row)
    assert not SyncRun.objects.exists()


# From code


@pytest.mark.parametrize("as_file", [True, False])
def test_from_code_it_is_one_call(as_file: bool) -> None:
    news, addresses = make_list(), people(3)
    given: Any = BytesIO("\n".join(addresses).encode()) if as_file else iter(addresses)
    run = services.import_members(news, given)
    assert (run.total, run.imports.get().matched) == (3, 3)


def test_from_code_the_identifier_is_said_where_the_list_doesnt_know_it() -> None:
    make_customer(customer_id="c1")
    news = make_list(identifier_key="")
    with pytest.raises(BlueshiftSyncError, match="say which identifier"):
        services.import_members(news, ["c1"])
    assert services.import_members(news, ["c1"], identifier_key="customer_id").total == 1


# What is kept, and for how long


@pytest.mark.parametrize(
    ("identifiers", "options", "sentence"),
    [
        ("c0@example.com", {}, "one by one, in a list"),
        (b"c0@example.com", {}, "one by one, in a list"),
        ([7], {"identifier_key": "customer_id"}, "number 1 is of the type int"),
        (["c0@example.com", None], {}, "number 2 is of the type NoneType"),
        (StringIO("c0@example.com"), {}, 'with the mode "rb"'),
        (["7"], {"identifier_key": "phone"}, "email or customer_id, not 'phone'"),
    ],
)
def test_what_cannot_be_identifiers_is_refused_with_a_sentence(
    identifiers: Any, options: dict[str, str], sentence: str
) -> None:
    people(1)
    with pytest.raises(BlueshiftSyncError, match=sentence):
        services.import_members(make_list(), identifiers, **options)
    assert not ListImport.objects.exists()
    assert not SyncRun.objects.exists()


def test_who_is_erased_is_in_no_file(small_parts: None) -> None:
    ada = make_customer(email="ada@x.com", customer_id="A")
    make_customer(email="bob@x.com")
    news = make_list()
    half_matched = prepare(news, *(f"n{n}@x.com" for n in range(10)), "Ada@x.com", "bob@x.com")
    waiting = make_import(ada, problems=[(2, "ADA@x.com", "repeated"), (3, "x@x.com", "unknown")], customer_list=news)
    erased = services.erase_person(ada)
    assert erased.lines == 2
    kept = str(list(ListImportPart.objects.values_list("lines", "problems"))).lower()
    assert "ada@x.com" not in kept
    assert "bob@x.com" in kept
    assert not waiting.matches.exists()
    assert half_matched.parts.count() == 2


def test_a_preview_that_nobody_wants_goes_after_a_day() -> None:
    make_customer(email="ada@x.com")
    row = prepare(make_list(), "ada@x.com", "nobody@x.com")
    sweep()
    assert ListImportPart.objects.exists()
    ListImport.objects.update(heartbeat_at=timezone.now() - imports.KEPT_FOR - timedelta(minutes=1))
    sweep()
    row.refresh_from_db()
    assert row.state == "CANCELLED"
    assert not ListImportPart.objects.exists()
    assert not ListImportMatch.objects.exists()


def test_what_a_cancelled_run_left_is_forgotten(small_parts: None) -> None:
    row = prepare(make_list(), *people(35))
    services.go_on_matching(row.pk, lambda: False)
    run = services.start_import(row)
    services.cancel(run)
    assert ListImportMatch.objects.count() == 25
    sweep()
    row.refresh_from_db()
    assert (row.state, ListImportMatch.objects.count()) == ("DONE", 0)


def test_problem_lines_go_with_bodies_and_the_rest_with_calls() -> None:
    problem = [(2, "nobody@x.com", "unknown")]
    days = {
        name: make_import(problems=problem, state=state, created_at=timezone.now() - timedelta(days=age))
        for name, state, age in (
            ("young", "DONE", 29),
            ("older", "DONE", 31),
            ("old", "DONE", 91),
            ("thrown away", "CANCELLED", 91),
            ("going on", "STARTED", 91),
        )
    }
    out = StringIO()
    call_command("blueshift_prune", stdout=out)
    with_lines = set(ListImportPart.objects.values_list("list_import", flat=True))
    assert with_lines == {days["young"].pk, days["going on"].pk}
    assert set(ListImport.objects.values_list("pk", flat=True)) == {
        days[name].pk for name in ("young", "older", "going on")
    }
    assert "3 parts of files deleted." in out.getvalue()
    assert "2 files deleted." in out.getvalue()


def test_a_run_goes_though_a_file_names_it() -> None:
    run = SyncRun.objects.create(
        kind="LISTS",
        trigger="ADMIN",
        state="SUCCEEDED",
        created_at=timezone.now() - timedelta(days=91),
        finished_at=timezone.now() - timedelta(days=91),
    )
    row = make_import(state="DONE", run=run)
    call_command("blueshift_prune", stdout=StringIO())
    row.refresh_from_db()
    assert row.run is None
    assert not SyncRun.objects.exists()
