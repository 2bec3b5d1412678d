"""What an operator is told of how everything stands, and what a program is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import django_rq
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rq import Worker
from rq.suspension import suspend

from blueshift_sync.delivery import state_counts
from blueshift_sync.delivery.figures import note_sweep
from blueshift_sync.delivery.redis import account_digest, account_key
from blueshift_sync.delivery.status import take_status
from blueshift_sync.delivery.throttle import pause_calls
from blueshift_sync.models import Customer, SendingStop, SweepRecord
from project.embedded_redis import EmbeddedRedis
from tests.factories import make_call, make_customer, make_membership, make_removal
from tests.redis_trouble import Trouble, in_trouble

pytestmark = pytest.mark.django_db
NO_WORKER = "No worker is running: start “manage.py rqworker default”."


@pytest.fixture
def in_order(db: None) -> None:
    """A worker is there, and the sweep has just run."""
    note_sweep(timezone.now())
    queue = django_rq.get_queue("default")
    Worker([queue], connection=queue.connection, name="a-worker").register_birth()


def told(*options: str) -> str:
    out = StringIO()
    call_command("blueshift_status", *options, stdout=out)
    return out.getvalue()


def told_with_faults(*options: str) -> tuple[str, str]:
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("blueshift_status", *options, stdout=out)
    assert error.value.returncode == 1
    return out.getvalue(), str(error.value)


@pytest.mark.usefixtures("in_order")
def test_everything_is_in_step() -> None:
    make_customer(state="SYNCED", due_at=None)
    make_customer(state="EXCLUDED", due_at=None)
    make_call()
    lines = told().splitlines()
    assert lines == [
        "Everything is in step.",
        "Customers: 1 in step, 0 waiting, 0 waiting for something else, 0 being sent, 0 failed, 1 excluded",
        "Sending: On",
        "Workers: 1, of which 0 busy",
        "Redis: Answers",
        lines[5],
        "Calls in the last minute: 1 of at most 300",
    ]
    assert lines[5].startswith("Periodic sweep: ")


@pytest.mark.usefixtures("in_order")
def test_nothing_is_mirrored_yet() -> None:
    assert told().startswith("Nothing is mirrored yet.\n")


@pytest.mark.usefixtures("in_order")
def test_what_waits_and_what_failed_is_said_in_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    since = timezone.now() - timedelta(minutes=4, seconds=30)
    make_customer(waiting_since=since)
    assert take_status([Customer]).summary == ["1 customer waits, for 4\xa0minutes."]
    for _ in range(2):
        make_customer(waiting_since=timezone.now())
    make_customer(state="FAILED", due_at=None)
    customer = make_customer(state="SENDING")
    make_membership(customer=customer, due_at=None)
    make_removal(due_at=None, error_code="approval_needed", customer=None)
    make_removal(due_at=None, error_code="lists_first", customer=None)
    assert take_status().summary == [
        "1 customer failed.",
        "3 customers wait, the oldest for 4\xa0minutes.",
        "1 customer is being sent.",
        "1 list membership waits for its customer or its list.",
        "1 removal of a customer waits until somebody approves or cancels it.",
    ]
    monkeypatch.setattr(state_counts, "BOUND", 2)
    assert take_status([Customer]).summary[1] == "More than 2 customers wait, the oldest for 4\xa0minutes."


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_new_site_hears_what_to_start(options: tuple[str, ...]) -> None:
    said, faults = told_with_faults(*options)
    assert faults == f"{NO_WORKER} The periodic sweep has never run: start “manage.py rqcron blueshift_sync.cron”."
    assert said


def refuse_key() -> None:
    SendingStop.objects.create(account=account_digest(), code="unauthorized", reason="No.", probe_at=timezone.now())


def suspend_workers() -> None:
    suspend(django_rq.get_connection("default"))


def fail_calls() -> None:
    django_rq.get_connection("default").set(account_key("failures"), 11)


def let_the_sweep_be_late() -> None:
    SweepRecord.objects.update(finished_at=timezone.now() - timedelta(minutes=12))


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize(
    ("cause", "code", "sentence"),
    [
        (refuse_key, "key_refused", "Sending is stopped since"),
        (suspend_workers, "workers_suspended", "The workers are suspended: “rq resume” lets them go on."),
        (fail_calls, "no_answer", "The last 11 calls got no proper answer from Blueshift."),
        (let_the_sweep_be_late, "sweep_late", "The periodic sweep last ran 12\xa0minutes ago"),
    ],
)
def test_each_fault_ends_the_command_with_its_sentence(cause: Callable[[], None], code: str, sentence: str) -> None:
    assert json.loads(told("--json"))["ok"]
    cause()
    said, error = told_with_faults("--json")
    assert error.startswith(sentence)
    found = json.loads(said)
    assert not found["ok"]
    assert [problem["code"] for problem in found["problems"]] == [code]


@pytest.mark.usefixtures("in_order")
def test_a_missing_key_is_a_fault_and_switched_off_is_a_choice(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": " "}
    assert "API_KEY" in told_with_faults()[1]
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    assert "BLUESHIFT_SYNC[“ENABLED”] is False" in told()
    assert "Sending: Switched off" in told()


@pytest.mark.parametrize("trouble", [Trouble.STOPPED, Trouble.SLOW])
def test_redis_away_is_a_sentence(own_redis: EmbeddedRedis, trouble: Trouble) -> None:
    note_sweep(timezone.now())
    with in_trouble(own_redis, trouble):
        said, error = told_with_faults()
    assert error.startswith("Redis can't be used, and nothing is sent without it: Redis doesn't answer")
    assert "Redis: Doesn't answer" in said
    assert "Workers: Not known" in said


@pytest.mark.usefixtures("in_order")
def test_a_pause_is_told_and_no_fault() -> None:
    pause_calls(30)
    assert "Sending: Pauses for 30 seconds" in told()


@pytest.mark.usefixtures("in_order")
def test_programs_read_numbers_and_times(settings: Any) -> None:
    customer = make_customer()
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    found = json.loads(told("--json"))
    assert found["records"]["customer"]["waiting"] == {"number": 1, "is_exact": True, "counted_at": None}
    assert found["records"]["customer"]["oldest_waits_since"] == customer.waiting_since.isoformat()
    assert found["calls"] == {"last_minute": 0, "allowed_per_minute": None}
    assert found["sending"] == {"state": "on", "since": None}
    assert found["workers"]["alive"] == 1
    assert found["problems"] == []


@pytest.mark.usefixtures("in_order")
def test_the_status_asks_for_no_more_with_more_rows(django_assert_num_queries: Any) -> None:
    queries = 6
    for _ in range(2):
        with django_assert_num_queries(queries):
            take_status()
        for _ in range(5):
            make_membership(customer=make_customer(waiting_since=timezone.now()))
            make_removal()
            make_call()
        queries = 6 + 3  # since when the oldest of each kind waits
