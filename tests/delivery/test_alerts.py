"""Operators get one mail for each change, whoever looks and however often, and none that they can't rely on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import django_rq
import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from rq import Worker
from rq.timeouts import JobTimeoutException

from blueshift_sync import tasks
from blueshift_sync.delivery import alert_mails, alerts
from blueshift_sync.delivery.alerts import MUST_BE_OVER, MUST_LAST, note_changes, tell_operators
from blueshift_sync.delivery.figures import note_sweep
from blueshift_sync.delivery.redis import account_digest
from blueshift_sync.delivery.status import take_status
from blueshift_sync.models import Alert, Customer, SendingStop
from tests.factories import make_customer

pytestmark = pytest.mark.django_db

RECIPIENTS = ["ops@example.com", "ann@example.com"]
SAID_BY_BLUESHIFT = "No access for ada@example.com with this key."


@pytest.fixture(autouse=True)
def _alerts(settings: Any) -> None:
    """Somebody is to be told; a worker is there, and the sweep has just run."""
    settings.LANGUAGE_CODE = "en"
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "ALERT_EMAILS": RECIPIENTS,
        "ALERT_FAILED_RECORDS": 10,
        "ALERT_WAITING_SECONDS": 600,
    }
    queue = django_rq.get_queue("default")
    Worker([queue], connection=queue.connection, name="a-worker").register_birth()


class Clock:
    """Looks at how everything stands, at moments that the test chooses."""

    def __init__(self) -> None:
        self.now = timezone.now()
        self.sent: list[EmailMessage] = []

    def look(self, later: timedelta = timedelta(0)) -> list[str]:
        """Goes on by `later`, looks, sends what is due, and returns the subjects of the new mails."""
        self.now += later
        note_sweep(self.now)
        mail.outbox.clear()
        with translation.override(django_settings.LANGUAGE_CODE):
            note_changes(replace(take_status(), taken_at=self.now))
            alert_mails.send_due_mails()
        self.sent += mail.outbox
        return [message.subject for message in mail.outbox]

    def look_for(self, span: timedelta, step: timedelta = timedelta(minutes=1)) -> list[str]:
        return [subject for _ in range(int(span / step)) for subject in self.look(step)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(alert_mails.timezone, "now", lambda: clock.now)
    return clock


def stop() -> None:
    SendingStop.objects.create(
        account=account_digest(), code="unauthorized", reason=SAID_BY_BLUESHIFT, probe_at=timezone.now()
    )


def go_on() -> None:
    SendingStop.objects.all().delete()


def fail(count: int) -> None:
    Customer.objects.all().delete()
    for _ in range(count):
        make_customer(state="FAILED", due_at=None)


def wait(since: datetime) -> None:
    Customer.objects.all().delete()
    make_customer(waiting_since=since, due_at=since)


SECONDS = timedelta(seconds=1)
MINUTES = timedelta(minutes=1)
STOPPED, GOES_ON = "Blueshift: sending has stopped", "Blueshift: sending goes on"
FAILED, MENDED = "Blueshift: many records have failed", "Blueshift: most of the failed records are mended"
WAITING, IN_TIME = "Blueshift: records wait for too long", "Blueshift: records are sent in time again"


# One mail for each change


def test_a_stop_and_its_end_are_two_mails_however_often_somebody_looks(clock: Clock) -> None:
    assert clock.look_for(3 * MINUTES) == []
    stop()
    assert clock.look_for(20 * MINUTES) == [STOPPED]
    go_on()
    assert clock.look_for(20 * MINUTES) == [GOES_ON]


def test_what_is_over_at_once_is_told_to_nobody(clock: Clock) -> None:
    stop()
    assert clock.look_for(MUST_LAST) == []
    go_on()
    assert clock.look_for(10 * MINUTES) == []


def test_what_comes_and_goes_is_one_alert(clock: Clock) -> None:
    subjects = []
    for _ in range(5):
        stop()
        subjects += clock.look_for(2 * MINUTES)
        go_on()
        subjects += clock.look_for(3 * MINUTES)
    assert subjects == [STOPPED]
    assert clock.look_for(10 * MINUTES) == [GOES_ON]


def test_many_failures_are_told_beyond_the_bound_and_mended_at_half_of_it(clock: Clock) -> None:
    fail(10)
    assert clock.look_for(10 * MINUTES) == []
    fail(11)
    assert clock.look_for(10 * MINUTES) == [FAILED]
    for count in (6, 12, 30, 6):
        fail(count)
        assert clock.look_for(6 * MINUTES) == []
    fail(5)
    assert clock.look_for(10 * MINUTES) == [MENDED]


def test_a_wait_is_told_beyond_the_bound_and_over_at_half_of_it(clock: Clock) -> None:
    wait(clock.now)
    assert clock.look_for(10 * MINUTES) == []
    assert clock.look_for(3 * MINUTES) == [WAITING]
    wait(clock.now - 6 * MINUTES)
    assert clock.look(SECONDS) == []
    Customer.objects.all().delete()
    assert clock.look_for(10 * MINUTES) == [IN_TIME]


def test_while_nothing_is_sent_a_wait_is_no_news_and_afterwards_it_counts_anew(clock: Clock) -> None:
    wait(clock.now - 9 * MINUTES)
    stop()
    assert clock.look_for(15 * MINUTES) == [STOPPED]
    go_on()
    assert clock.look_for(9 * MINUTES) == [GOES_ON]
    assert clock.look_for(5 * MINUTES) == [WAITING]


def test_switched_off_is_a_choice_and_no_alert(clock: Clock, settings: Any) -> None:
    wait(clock.now - 60 * MINUTES)
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    assert clock.look_for(10 * MINUTES) == []


@pytest.mark.parametrize(
    ("key", "begin"), [("ALERT_FAILED_RECORDS", lambda now: fail(20)), ("ALERT_WAITING_SECONDS", wait)]
)
def test_none_is_no_bound(clock: Clock, settings: Any, key: str, begin: Callable[[datetime], None]) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, key: None}
    begin(clock.now - 20 * MINUTES)
    assert clock.look_for(3 * MINUTES) == []


def test_several_changes_at_once_are_a_mail_each(clock: Clock) -> None:
    fail(11)
    make_customer(waiting_since=clock.now - 20 * MINUTES)
    assert sorted(clock.look_for(10 * MINUTES)) == sorted([FAILED, WAITING])


def test_a_clock_that_is_set_back_only_makes_it_take_longer(clock: Clock) -> None:
    stop()
    assert clock.look() == []
    clock.now -= timedelta(days=1)
    assert clock.look_for(10 * MINUTES) == [STOPPED]


def test_no_worker_is_told_where_cron_sweeps(clock: Clock) -> None:
    django_rq.get_connection("default").flushdb()
    assert clock.look_for(10 * MINUTES) == [STOPPED]
    assert Alert.objects.get(kind="stopped").reason.startswith("No worker is running")


# Off unless somebody is to be told


def test_without_recipients_nothing_is_asked(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ALERT_EMAILS": []}
    stop()
    with CaptureQueriesContext(connection) as queries:
        tell_operators()
    assert len(queries) == 0
    assert not Alert.objects.exists()


@pytest.mark.parametrize("look", [tasks.sweep, lambda: call_command("blueshift_sweep")])
def test_the_sweep_looks(look: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MUST_LAST", timedelta(0))
    stop()
    look()
    look()
    assert [message.subject for message in mail.outbox] == [STOPPED]


def test_no_request_of_the_site_looks(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MUST_LAST", timedelta(0))
    stop()
    for _ in range(3):
        assert admin_client.get("/admin/blueshift_sync/overview/").status_code == 200
        assert admin_client.get("/api/blueshift/status/").status_code == 200
    assert mail.outbox == []


def test_it_asks_for_no_more_with_more_rows(clock: Clock) -> None:
    clock.look()
    with CaptureQueriesContext(connection) as few:
        clock.look(15 * SECONDS)
    fail(9)
    with CaptureQueriesContext(connection) as many:
        clock.look(15 * SECONDS)
    assert len(many) == len(few) <= 16


# What the mails say


def test_the_mail_says_what_since_when_and_where_to_look(clock: Clock, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "SITE_URL": "https://shop.example.com"}
    clock.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    stop()
    clock.look_for(5 * MINUTES)
    go_on()
    clock.look_for(10 * MINUTES)
    link = "https://shop.example.com/admin/blueshift_sync/overview/\n"
    began, ended = clock.sent
    assert began.to == ended.to == RECIPIENTS
    assert began.extra_headers == ended.extra_headers == {"Auto-Submitted": "auto-generated"}
    assert (began.subject, ended.subject) == (f"[shop.example.com] {STOPPED}", f"[shop.example.com] {GOES_ON}")
    assert began.body == (
        "Since March 1, 2026, 12:01 p.m.: Blueshift refuses the key.\n"
        "\n"
        "Nothing is lost: changes are kept, and go out once this is mended.\n"
        "You will get one more mail, when it is over.\n"
        f"\n{link}"
    )
    assert ended.body == (
        "From March 1, 2026, 12:01 p.m. to March 1, 2026, 12:06 p.m.: Blueshift refuses the key.\n"
        "That is over.\n"
        f"\n{link}"
    )


def test_no_mail_holds_anything_personal_or_from_outside(clock: Clock) -> None:
    fail(11)
    make_customer(waiting_since=clock.now - 20 * MINUTES)
    clock.look_for(5 * MINUTES)
    stop()
    clock.look_for(5 * MINUTES)
    texts = [f"{message.subject} {message.body}" for message in clock.sent]
    secrets = [SAID_BY_BLUESHIFT, "ada@example.com", "test-key", *Customer.objects.values_list("email", flat=True)]
    assert len(texts) == 3
    assert [secret for secret in secrets for text in texts if secret in text] == []


@pytest.mark.parametrize(
    ("language", "subject"),
    [("de", "Blueshift: Das Senden steht still"), ("fr", "Blueshift : l’envoi est arrêté")],
)
def test_mails_are_in_the_sites_language(clock: Clock, settings: Any, language: str, subject: str) -> None:
    settings.LANGUAGE_CODE = language
    stop()
    assert clock.look_for(5 * MINUTES) == [subject]


def test_without_a_page_to_lead_to_there_is_no_link(clock: Clock, settings: Any) -> None:
    stop()
    clock.look_for(5 * MINUTES)
    alert = Alert.objects.get(kind="stopped")
    assert "http" not in alert_mails.mail_of(alert).body
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "SITE_URL": "https://shop.example.com/"}
    assert "https://shop.example.com/admin/" in alert_mails.mail_of(alert).body
    settings.ROOT_URLCONF = "tests.delivery.no_urls"
    assert "http" not in alert_mails.mail_of(alert).body


# Trouble with the mail


class Broken(BaseEmailBackend):
    """A mail server in the trouble that `how` is."""

    tries = 0
    how: Callable[[], None]

    def send_messages(self, messages: Any) -> int:
        type(self).tries += 1
        type(self).how()
        mail.outbox.extend(messages)
        return len(messages)


@pytest.fixture
def broken(settings: Any) -> type[Broken]:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    Broken.tries = 0
    return Broken


def refuse() -> None:
    raise SMTPRecipientsRefused({"ops@example.com": (550, b"No such user: ops@example.com")})


def test_a_mail_server_that_is_away_harms_nothing_and_the_mail_goes_later(
    clock: Clock, broken: type[Broken], caplog: pytest.LogCaptureFixture
) -> None:
    broken.how = staticmethod(refuse)  # type: ignore[assignment]
    stop()
    with caplog.at_level(logging.WARNING, logger="blueshift_sync"):
        assert clock.look_for(20 * MINUTES) == []
    assert 3 <= broken.tries <= 6  # after 1, 2, 4, 8, … minutes
    failures = [record for record in caplog.records if getattr(record, "event", "") == "alert_mail_failed"]
    assert len(failures) == broken.tries
    assert "SMTPRecipientsRefused" in caplog.text
    assert "example.com" not in caplog.text
    broken.how = staticmethod(lambda: None)  # type: ignore[assignment]
    assert clock.look_for(20 * MINUTES) == [STOPPED]


def test_what_was_over_before_its_mail_could_go_is_one_mail_that_tells_of_both(
    clock: Clock, broken: type[Broken]
) -> None:
    broken.how = staticmethod(refuse)  # type: ignore[assignment]
    stop()
    clock.look_for(10 * MINUTES)
    go_on()
    clock.look_for(10 * MINUTES)
    broken.how = staticmethod(lambda: None)  # type: ignore[assignment]
    assert clock.look_for(20 * MINUTES) == [GOES_ON]


def test_a_mail_server_that_never_answers_costs_a_bounded_time(
    clock: Clock, broken: type[Broken], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    broken.how = staticmethod(answers.wait)  # type: ignore[assignment]
    monkeypatch.setattr(alert_mails, "PATIENCE", 0.2)
    monkeypatch.setattr(alerts, "MUST_LAST", timedelta(0))
    stop()
    began = time.monotonic()
    assert clock.look() == clock.look(SECONDS) == []
    assert 0.2 <= time.monotonic() - began < 5
    assert Alert.objects.get(kind="stopped").mail_due_at is not None
    answers.set()


def test_a_job_that_has_run_out_of_time_ends(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def time_is_over(*_arguments: Any) -> None:
        raise JobTimeoutException

    monkeypatch.setattr(alert_mails, "_within", time_is_over)
    stop()
    with pytest.raises(JobTimeoutException):
        clock.look_for(5 * MINUTES)


# Several workers


@pytest.mark.django_db(transaction=True)
def test_of_many_sweeps_at_once_one_sends_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MUST_LAST", timedelta(0))
    stop()
    note_sweep(timezone.now())
    together = threading.Barrier(6)

    def look() -> None:
        try:
            for _ in range(4):
                together.wait()
                tell_operators()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as sweeps:
        for each in [sweeps.submit(look) for _ in range(6)]:
            each.result()
    assert [message.subject for message in mail.outbox] == [STOPPED]
    assert Alert.objects.count() == len(Alert.Kind)


def test_a_change_while_a_mail_is_on_its_way_has_a_mail_of_its_own(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.look()
    alert = Alert.objects.filter(kind="stopped")
    alert.update(is_on=True, began_at=clock.now, mail_due_at=clock.now, reason="A reason.")
    is_sent = alert_mails._is_sent

    def sent_while_it_changes(each: Alert) -> bool:
        alert.update(is_on=False, ended_at=clock.now, mail_due_at=clock.now + SECONDS)
        return is_sent(each)

    monkeypatch.setattr(alert_mails, "_is_sent", sent_while_it_changes)
    alert_mails.send_due_mails()
    monkeypatch.undo()
    clock.now += MUST_BE_OVER
    monkeypatch.setattr(alert_mails.timezone, "now", lambda: clock.now)
    alert_mails.send_due_mails()
    assert [message.subject for message in mail.outbox] == [STOPPED, GOES_ON]
