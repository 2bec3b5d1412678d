"""Redis stands still while answers wait to be settled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import django_rq
import pytest

from blueshift_sync.client import BlueshiftClient, Exchange, HttpCall
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import Customer
from blueshift_sync.signals import call_finished
from project.embedded_redis import EmbeddedRedis
from tests.factories import make_customer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hangs_once_answered(own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Redis stands still from the first answer on; a list with that moment."""
    pid = django_rq.get_connection("default").info("server")["process_id"]
    original = BlueshiftClient.send
    moments: list[float] = []

    def send(client: BlueshiftClient, call: HttpCall, **options: Any) -> Exchange:
        exchange = original(client, call, **options)
        if not moments:
            moments.append(time.monotonic())
            os.kill(pid, signal.SIGSTOP)
        return exchange

    monkeypatch.setattr(BlueshiftClient, "send", send)
    yield moments
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def settled() -> Iterator[list[float]]:
    """When calls were settled."""
    moments: list[float] = []

    def note(**_arguments: Any) -> None:
        moments.append(time.monotonic())

    call_finished.connect(note)
    yield moments
    call_finished.disconnect(note)


def test_an_answer_is_settled_in_a_moment(
    hangs_once_answered: list[float], unthrottled: Any, settled: list[float]
) -> None:
    make_customer()
    drain()
    assert settled[0] - hangs_once_answered[0] < 2
    assert Customer.objects.get().state == "SYNCED"


def test_a_failure_is_settled_in_a_moment_and_blames_nobody(
    hangs_once_answered: list[float], unthrottled: Any, settled: list[float]
) -> None:
    unthrottled.fail("status", status=503)
    make_customer()
    drain()
    assert settled[0] - hangs_once_answered[0] < 2
    assert list(Customer.objects.values_list("state", "attempts")) == [("PENDING", 0)]
