"""If Redis is away, sending stops and nothing else does: neither a save nor a page fails, or waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from blueshift_sync import services
from blueshift_sync.delivery import wake
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import Customer as MirroredCustomer
from project.embedded_redis import EmbeddedRedis
from project.shop.models import Customer
from tests.redis_trouble import Trouble, in_trouble

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds: some times the 200 ms that the site waits for Redis at most, for a machine that is busy otherwise.
A_MOMENT = 2
PAGES = (
    "/admin/",
    "/admin/blueshift_sync/customer/",
    "/admin/blueshift_sync/syncrun/",
    "/admin/blueshift_sync/apicall/",
    "/api/blueshift/customers/",
    "/api/blueshift/runs/",
)


@pytest.fixture(params=Trouble, ids=lambda trouble: trouble.name.lower())
def trouble(
    request: pytest.FixtureRequest, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The site's Redis is away, and nobody has noticed it yet."""
    monkeypatch.setattr(wake, "_redis_failed_at", float("-inf"))
    with in_trouble(own_redis, request.param):
        yield


def save_customer(number: int) -> Customer:
    return Customer.objects.create(customer_number=f"c{number}", email=f"c{number}@example.com")


@pytest.mark.usefixtures("trouble")
def test_saves_wait_for_a_moment_once_and_it_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    original = wake.wake

    def wake_and_measure(patience: float) -> None:
        began = time.monotonic()
        try:
            original(patience)
        finally:
            waited.append(time.monotonic() - began)

    monkeypatch.setattr(wake, "wake", wake_and_measure)
    with caplog.at_level(logging.WARNING, logger="blueshift_sync"):
        for number in range(20):
            save_customer(number)
    assert MirroredCustomer.objects.filter(state="PENDING").count() == 20
    assert len(waited) == 1
    assert waited[0] < A_MOMENT
    assert [record.getMessage().split(".")[-2] for record in caplog.records] == [" The sweep will find what is due"]
    assert "example.com" not in caplog.text


@pytest.mark.usefixtures("trouble")
def test_pages_are_shown_and_requests_taken(admin_client: Client) -> None:
    save_customer(1)
    assert {page: admin_client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)
    run = services.push(MirroredCustomer.objects.all())
    assert (run.state, run.total) == ("QUEUED", 1)
    sweep()


@pytest.mark.usefixtures("trouble")
def test_nothing_is_sent(blueshift: Any) -> None:
    save_customer(1)
    drain()
    with pytest.raises(BlueshiftSyncError, match="Redis"):
        services.check_key()
    assert blueshift.requests == []
    assert MirroredCustomer.objects.get().state == "PENDING"


@pytest.mark.parametrize("trouble", Trouble)
def test_when_redis_is_back_saves_wake_again(
    own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    monkeypatch.setattr(wake, "_redis_failed_at", float("-inf"))
    with in_trouble(own_redis, trouble):
        save_customer(1)
    monkeypatch.setattr(wake, "_redis_failed_at", time.monotonic() - wake.PAUSE_AFTER_FAILURE)
    save_customer(2)
    assert len(wake.queue()) == 1
