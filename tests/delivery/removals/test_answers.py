"""What the answers mean for removals, and for the runs that they are in."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import ApiCall, CustomerRemoval, SyncRun
from tests.factories import (
    make_customer,
    make_detached_customer,
    make_removal,
    make_run,
)

from .scenes import fate, hold

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("fault", ["reset", "reset_after", "cut_json", "empty"])
def test_what_is_unknown_goes_again(unthrottled: Any, fault: str) -> None:
    hold(unthrottled, {"customer_id": "7"})
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    unthrottled.fail(fault, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert list(ApiCall.objects.order_by("pk").values_list("state", flat=True)) == ["UNKNOWN", "SUCCEEDED"]
    assert fate(removal) == ("SYNCED", "")
    assert unthrottled.customers == []


def test_who_isnt_there_any_more_is_removed(unthrottled: Any) -> None:
    removal = make_removal()
    unthrottled.fail("status", status=404, endpoint="CUSTOMER_DELETE")
    drain()
    assert fate(removal) == ("SYNCED", "")
    call = ApiCall.objects.get()
    assert (call.state, call.status_code, call.results.get().code) == ("SUCCEEDED", 404, "not_found")


def test_a_refused_removal_is_failed_and_can_be_retried(unthrottled: Any) -> None:
    hold(unthrottled, {"customer_id": "7"})
    removal = make_removal(customer=make_detached_customer(customer_id="7"))
    unthrottled.fail("status", status=422, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert fate(removal) == ("FAILED", "unprocessable")
    first = SyncRun.objects.get()
    assert (first.state, first.rejected) == ("FAILED", 1)
    again = services.retry_removals(CustomerRemoval.objects.all())
    assert (again.kind, again.trigger, again.total) == ("CUSTOMERS", "RETRY", 1)
    drain()
    assert fate(removal) == ("SYNCED", "")
    again.refresh_from_db()
    assert again.state == "SUCCEEDED"


def test_temporary_failures_end_after_max_attempts(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "MAX_ATTEMPTS": 2}
    removal = make_removal()
    unthrottled.fail("status", status=409, endpoint="CUSTOMER_DELETE")
    drain()
    assert fate(removal) == ("FAILED", "conflict")
    assert ApiCall.objects.count() == 2


def test_a_refused_key_fails_nothing(unthrottled: Any) -> None:
    removal = make_removal()
    unthrottled.fail("status", status=401, endpoint="CUSTOMER_DELETE", next=1)
    drain()
    assert fate(removal)[0] == "PENDING"


def test_a_run_is_retried_with_its_removals(unthrottled: Any) -> None:
    run = make_run()
    make_customer(state="FAILED", run=run, due_at=None)
    make_removal(state="FAILED", run=run, due_at=None)
    make_removal(state="FAILED", due_at=None)
    again = services.retry(run)
    assert again.total == 2
    drain()
    again.refresh_from_db()
    assert (again.state, again.accepted, again.calls_made) == ("SUCCEEDED", 2, 2)


def test_a_run_is_cancelled_with_its_removals() -> None:
    run = services.retry_removals([make_removal(state="FAILED", due_at=None)])
    services.cancel(run)
    assert (run.state, run.total) == ("CANCELLED", 1)
    assert fate(CustomerRemoval.objects.get()) == ("FAILED", "cancelled")


def test_sending_a_call_again_sends_no_removal_again(unthrottled: Any) -> None:
    removal = make_removal()
    drain()
    services.resend(ApiCall.objects.all())
    drain()
    assert ApiCall.objects.count() == 1
    assert fate(removal) == ("SYNCED", "")
