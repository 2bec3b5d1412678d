"""Uninstalled, the app leaves nothing in Redis, and touches nothing there that isn't its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import django_rq
import pytest
from django.core.management import call_command
from rq.cron import CronJob
from rq.job import Job, JobStatus

from blueshift_sync import tasks
from blueshift_sync.client import find_customer
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.health import note_trouble
from blueshift_sync.delivery.jobs import queue_quietly
from blueshift_sync.delivery.redis import account_key, queue
from blueshift_sync.delivery.throttle import pause_calls, reserve_calls
from blueshift_sync.delivery.wake import wake
from blueshift_sync.models import Customer
from project.embedded_redis import EmbeddedRedis

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def migrated_again() -> Iterator[None]:
    yield
    call_command("migrate", "blueshift_sync", verbosity=0, stdout=StringIO())


def undo_migrations(to: str = "zero") -> None:
    call_command("migrate", "blueshift_sync", to, verbosity=0, stdout=StringIO())


def keys() -> set[str]:
    return {key.decode() for key in django_rq.get_connection("default").scan_iter()}


def move(job: Job, status: JobStatus) -> None:
    """To where RQ keeps those that have come to this."""
    queue().remove(job)
    job.set_status(status)
    getattr(queue(), f"{status.value}_job_registry").add(job, ttl=500)


def use_redis() -> None:
    """All that this app ever writes there, with jobs in each of their states, and what RQ's timer notes of us."""
    wake()
    reserve_calls(1, 1)
    pause_calls(60)
    note_trouble(Batch(find_customer("ann@example.com"), run_id=None, model=Customer))
    queue_quietly("gather", "a run", 1, run_id=1)
    queue().enqueue_in(timedelta(hours=1), "blueshift_sync.tasks.sweep")
    for status in (JobStatus.FAILED, JobStatus.FINISHED, JobStatus.CANCELED):
        move(queue().enqueue("blueshift_sync.tasks.drain"), status)
    CronJob("default", tasks.sweep, interval=15).enqueue(django_rq.get_connection("default"))
    assert {key.rsplit(":", 1)[1] for key in keys() if key.startswith(account_key(""))} == {
        *("wake", "throttle", "paused", "failures", "failed_batches")
    }


def use_redis_as_another_app() -> list[Job]:
    """A job that waits, one that failed, one of a timer, and a key that looks like ours."""
    waiting = queue().enqueue("shop.tasks.send", description="blueshift_sync_extras.tasks.send()")
    failed = queue().enqueue("shop.tasks.bill")
    move(failed, JobStatus.FAILED)
    timer = CronJob("default", print, interval=15).enqueue(django_rq.get_connection("default"))
    django_rq.get_connection("default").set("blueshift_sync_extras", 1)
    return [waiting, failed, timer]


@pytest.mark.usefixtures("migrated_again")
def test_without_tables_nothing_of_ours_is_in_redis_and_all_that_is_others() -> None:
    others = use_redis_as_another_app()
    before = keys()
    use_redis()
    assert keys() > before
    undo_migrations()
    assert keys() == before
    assert queue().get_job_ids() == [others[0].id, others[2].id]
    assert queue().failed_job_registry.get_job_ids() == [others[1].id]
    assert all(Job.exists(job.id, django_rq.get_connection("default")) for job in others)


@pytest.mark.usefixtures("migrated_again")
def test_undoing_some_of_the_migrations_or_flushing_leaves_redis_alone() -> None:
    use_redis()
    before = keys()
    undo_migrations("0011")
    call_command("flush", interactive=False, verbosity=0)
    assert keys() == before


@pytest.mark.usefixtures("migrated_again")
def test_redis_away_is_said_and_keeps_no_table(own_redis: EmbeddedRedis, caplog: pytest.LogCaptureFixture) -> None:
    own_redis.stop()
    with caplog.at_level(logging.WARNING):
        undo_migrations()
    assert "Jobs and keys of blueshift_sync stay in Redis: Redis doesn't answer" in caplog.text


@pytest.mark.usefixtures("migrated_again")
def test_a_queue_that_is_gone_keeps_no_table(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "QUEUE": "gone"}
    undo_migrations()
