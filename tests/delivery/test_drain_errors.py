"""Errors of the database cost no more than they must: others' answers are written down, and others' calls opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import OperationalError, transaction

from blueshift_sync import services
from blueshift_sync.delivery import audit, locks, runs
from blueshift_sync.delivery import drain as drain_module
from blueshift_sync.delivery.batches import Finished
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, SyncRun
from tests.factories import make_customer

from .backlog import states

Settle = Callable[[Sequence[Finished]], list[Finished]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def one_by_one(unthrottled: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four calls in flight, of which one at a time is found to have ended."""
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CUSTOMERS_PER_CALL": 1, "CONCURRENCY": 4}
    original = drain_module.wait

    def first(futures: Any, **options: Any) -> Any:
        ended, others = original(futures, **options)
        return set(list(ended)[:1]), others

    monkeypatch.setattr(drain_module, "wait", first)


@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.usefixtures("one_by_one")
def test_the_other_calls_are_settled(monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    for _ in range(4):
        make_customer()
    monkeypatch.setattr(drain_module, "settle", raising(drain_module.settle, times=broken))
    with pytest.raises(RuntimeError, match="The database is gone"):
        drain()
    states = sorted(ApiCall.objects.values_list("state", flat=True))
    assert states == ["OPEN"] * broken + ["SUCCEEDED"] * (4 - broken)


def raising(work: Settle, *, times: int) -> Settle:
    """As `work`, but the first calls of it fail."""
    calls = iter([True] * times)

    def settle(finished: Sequence[Finished]) -> list[Finished]:
        if next(calls, False):
            raise RuntimeError("The database is gone.")
        return work(finished)

    return settle


class Deadlock(Exception):  # noqa: N818 - as the driver has it
    sqlstate = "40P01"


def refused(holds: Callable[[Any], bool]) -> Callable[[Any], None]:
    """As `note_calls`, but the database refuses the locks on runs while `holds` says that somebody has them."""

    def note_calls(calls_of_runs: Any) -> None:
        if holds(calls_of_runs):
            raise OperationalError("deadlock detected") from Deadlock()
        runs.note_calls(calls_of_runs)

    return note_calls


def test_calls_whose_opening_ended_a_deadlock_are_opened_anew(
    unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_customer()
    victims = iter([True, True])
    monkeypatch.setattr(audit, "note_calls", refused(lambda _runs: next(victims, False)))
    drain()
    assert states() == {"SYNCED": 1}
    assert ApiCall.objects.get().state == "SUCCEEDED"
    assert SyncRun.objects.get().calls_made == 1


def test_a_run_that_somebody_holds_keeps_no_other_runs_calls_waiting(
    unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "FEW_TRIES", 2)
    held, free = (services.push([make_customer(customer_id=name)]) for name in ("held", "free"))

    def is_held(calls_of_runs: Any) -> bool:
        return held.pk in calls_of_runs and not Customer.objects.filter(customer_id="free", state="SYNCED").exists()

    monkeypatch.setattr(audit, "note_calls", refused(is_held))
    drain()
    assert states() == {"SYNCED": 2}
    assert [call.run_id for call in ApiCall.objects.order_by("pk")] == [free.pk, held.pk]


def test_what_could_not_be_opened_is_due_as_before(unthrottled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain ends, and the next one needn't wait for the claims to run out."""
    make_customer()

    def fail(_runs: Any) -> None:
        raise RuntimeError("The database is gone.")

    monkeypatch.setattr(audit, "note_calls", fail)
    with pytest.raises(RuntimeError, match="The database is gone"):
        drain()
    assert states() == {"PENDING": 1}
    assert not ApiCall.objects.exists()


def test_calls_are_committed_when_they_are_open() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        audit.open_calls([], job_id="job")
