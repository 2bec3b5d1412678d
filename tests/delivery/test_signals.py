"""What a site can listen to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.dispatch import Signal
from django.utils import timezone

from blueshift_sync import services, signals
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, Customer, SendingStop
from tests.factories import make_customer

pytestmark = pytest.mark.django_db

NAMES = ("call_finished", "records_failed", "run_finished", "sending_stopped", "sending_resumed")
Heard = list[tuple[str, Any, dict[str, Any]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The signals that were sent: name, sender and arguments."""
    found: Heard = []
    receivers = {}
    for name in NAMES:

        def listen(sender: Any, signal: Any, name: str = name, **arguments: Any) -> None:
            found.append((name, sender, arguments))

        receivers[name] = listen
        getattr(signals, name).connect(listen)
    yield found
    for name, listen in receivers.items():
        getattr(signals, name).disconnect(listen)


def test_a_call_with_a_rejected_record_is_told_of(unthrottled: Any, heard: Heard) -> None:
    run = services.push([make_customer(), make_customer(firstname="x" * 65)])
    drain()
    call = ApiCall.objects.get()
    assert heard == [
        ("call_finished", ApiCall, {"call_id": call.pk, "state": "PARTIAL"}),
        ("records_failed", Customer, {"call_id": call.pk, "count": 1}),
        ("run_finished", type(run), {"run_id": run.pk, "state": "PARTIAL"}),
    ]


def test_a_stop_and_its_end_are_told_of_once(unthrottled: Any, heard: Heard) -> None:
    make_customer()
    unthrottled.fail("status", status=401, next=2)
    drain()
    SendingStop.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    drain()
    SendingStop.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    drain()
    assert [name for name, _, _ in heard if name.startswith("sending")] == ["sending_stopped", "sending_resumed"]


@pytest.mark.parametrize("name", NAMES)
def test_a_receiver_that_raises_stops_nothing(unthrottled: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each of them is sent in what follows, and each that is told fails at it."""
    asked = []

    def raise_error(**arguments: Any) -> None:
        asked.append(arguments)
        raise ValueError

    signal = getattr(signals, name)
    signal.connect(raise_error)
    try:
        good, bad = make_customer(), make_customer(firstname="x" * 65)
        run = services.push([good, bad])
        unthrottled.fail("status", status=401, next=1)
        drain()
        SendingStop.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
        drain()
    finally:
        signal.disconnect(raise_error)
    assert asked
    for record in (good, bad, run):
        record.refresh_from_db()
    assert (good.state, bad.state, run.state) == ("SYNCED", "FAILED", "PARTIAL")
    assert not SendingStop.objects.exists()
    assert "example.com" not in caplog.text


def test_each_signal_of_the_contract_is_there() -> None:
    assert {name for name, value in vars(signals).items() if isinstance(value, Signal)} == set(NAMES)


def test_arguments_are_numbers_and_states(unthrottled: Any, heard: Heard) -> None:
    services.push([make_customer(), make_customer(firstname="x" * 65)])
    drain()
    assert all(isinstance(value, int | str) for _, _, arguments in heard for value in arguments.values())
    assert "example.com" not in str([arguments for _, _, arguments in heard])
