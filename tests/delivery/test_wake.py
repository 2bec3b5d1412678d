"""One wake-up for many changes, none for what was rolled back, and never a failed save because of Redis."""

from __future__ import annotations

from itertools import count
from typing import Any

import django_rq
import pytest
from django.db import transaction
from redis.exceptions import ConnectionError  # noqa: A004 - that of Redis

from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery import wake
from blueshift_sync.delivery.redis import account_key
from blueshift_sync.delivery.sweep import sweep
from project.shop.models import Customer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _forget_old_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_redis_failed_at", float("-inf"))


def queued() -> int:
    return len(django_rq.get_queue("default"))


def save_customer(number: int) -> Customer:
    return Customer.objects.create(customer_number=f"c{number}", email=f"c{number}@example.com")


def test_many_saves_in_a_transaction_queue_one_job() -> None:
    with transaction.atomic():
        for number in range(20):
            save_customer(number)
        assert queued() == 0
    assert queued() == 1


def test_many_saves_in_a_transaction_ask_redis_once() -> None:
    with transaction.atomic():
        for number in range(20):
            save_customer(number)
        callbacks = [callback for _, callback, *_ in transaction.get_connection().run_on_commit]
        assert callbacks.count(wake.wake_quietly) == 1


def test_saves_in_many_transactions_share_the_waiting_job() -> None:
    for number in range(20):
        save_customer(number)
    assert queued() == 1


def test_a_rolled_back_change_wakes_nobody() -> None:
    with transaction.atomic():
        save_customer(1)
        transaction.set_rollback(True)
    assert queued() == 0


def test_a_change_after_a_rolled_back_savepoint_still_wakes() -> None:
    with transaction.atomic():
        with transaction.atomic():
            save_customer(1)
            transaction.set_rollback(True)
        save_customer(2)
    assert queued() == 1


def test_a_change_that_comes_once_a_drain_has_begun_queues_another() -> None:
    save_customer(1)
    wake.acknowledge()
    save_customer(2)
    assert queued() == 2


def test_the_sweep_wakes_another_worker_where_the_first_died_before_its_drain_began() -> None:
    save_customer(1)
    queue = django_rq.get_queue("default")
    queue.connection.lpop(queue.key)
    save_customer(2)
    assert queued() == 0  # as far as a save can tell, one is queued
    sweep()
    assert queued() == 1


def test_an_unchanged_save_wakes_nobody() -> None:
    customer = save_customer(1)
    wake.acknowledge()
    django_rq.get_queue("default").empty()
    customer.save()
    assert queued() == 0


def test_nothing_is_queued_while_sending_is_off(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    save_customer(1)
    assert queued() == 0


def test_a_flag_whose_job_could_not_be_queued_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(patience: float) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(wake, "enqueue_drain", refuse)
        with pytest.raises(OSError):  # noqa: PT011 - the one raised above
            wake.wake()
    wake.wake()
    assert queued() == 1


def test_a_job_carries_no_data_of_anybody() -> None:
    save_customer(1)
    (job,) = django_rq.get_queue("default").jobs
    assert (job.func_name, job.args, job.kwargs) == ("blueshift_sync.tasks.drain", (), {})
    assert "example.com" not in job.description


def test_drains_that_run_out_of_time_dont_pile_up(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds that a save has woken another while it was at work."""
    queue = django_rq.get_queue("default")
    numbers = count()
    monkeypatch.setattr(drain_module, "recover_expired_claims", lambda: save_customer(next(numbers)))
    save_customer(next(numbers))
    for _ in range(3):
        queue.connection.lpop(queue.key)
        drain_module.drain(seconds=0)
    assert queued() == 1


def test_a_flag_outlives_a_drain_that_keeps_its_job_waiting() -> None:
    wake.wake()
    assert django_rq.get_connection("default").ttl(account_key("wake")) > wake.DRAIN_SECONDS


def test_a_handover_without_redis_is_left_to_the_sweep(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_patience: float) -> None:
        raise ConnectionError("Redis is gone.")

    save_customer(1)
    monkeypatch.setattr(wake, "queue", refuse)
    drain_module.drain(seconds=0)
