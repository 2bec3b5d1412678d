"""The whole way through real processes: a site's save, RQ in a real Redis, a worker, HTTP, and back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership, RecordResult, SyncRun
from project.shop import models as shop
from tests.processes import kill_with_children
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

StartWorker = Callable[..., subprocess.Popen[bytes]]


def fill_shop(count: int) -> None:
    newsletter = shop.Newsletter.objects.create(name="News", blueshift_list_id=7)
    with transaction.atomic():
        for number in range(count):
            customer = shop.Customer.objects.create(
                customer_number=f"c{number}", email=f"c{number}@example.com", given_name=f"Name {number}"
            )
            shop.NewsletterSignup.objects.create(customer=customer, newsletter=newsletter, confirmed=number % 3 == 0)


def rename_all(suffix: str) -> None:
    with transaction.atomic():
        for customer in shop.Customer.objects.all():
            customer.given_name = f"{customer.given_name}{suffix}"
            customer.save()


def everything_in_step() -> bool:
    waiting = [model.objects.exclude(state="SYNCED").exists() for model in (Customer, ListMembership)]
    return not any(waiting)


def swept_and_sending() -> bool:
    """A call is in flight; what an earlier worker left behind has been brought back."""
    sweep()
    alive = ApiCall.objects.filter(state="OPEN", claim_token__in=Customer.objects.values("claim_token"))
    return alive.exists()


def swept_in_step() -> bool:
    sweep()
    return everything_in_step()


def assert_exact(simulator: Any) -> None:
    """The simulator holds what the shop says, customer by customer and member by member."""
    held = {customer["customer_id"]: (customer["email"], customer["firstname"]) for customer in simulator.customers}
    assert held == {
        customer.customer_number: (customer.email, customer.given_name) for customer in shop.Customer.objects.all()
    }
    confirmed = shop.NewsletterSignup.objects.filter(confirmed=True)
    assert sorted(simulator.members(7)) == sorted(confirmed.values_list("customer__email", flat=True))


def assert_every_request_is_in_the_audit(simulator: Any) -> None:
    sent = sorted(request.body or "" for request in simulator.requests)
    audited = sorted(ApiCall.objects.values_list("request_body", flat=True))
    missing = [body for body in set(sent) if sent.count(body) > audited.count(body)]
    assert missing == []


def test_a_save_on_the_site_reaches_blueshift(simulator: Any, start_worker: StartWorker) -> None:
    start_worker()
    fill_shop(130)
    wait_until(everything_in_step)
    assert_exact(simulator)
    assert_every_request_is_in_the_audit(simulator)
    wait_until(lambda: not SyncRun.objects.filter(state__in=SyncRun.OPEN_STATES).exists())
    assert set(SyncRun.objects.values_list("state", flat=True)) == {"SUCCEEDED"}
    assert not ApiCall.objects.filter(job_id="").exists()
    assert RecordResult.objects.filter(call__endpoint="CUSTOMERS_BULK").count() == 130


def test_a_worker_killed_in_the_middle_loses_nothing(simulator: Any, start_worker: StartWorker) -> None:
    fill_shop(200)
    simulator.scenario(faults=[{"fault": "latency", "seconds": 0.5}])
    for _ in range(3):
        worker = start_worker()
        wait_until(swept_and_sending)
        kill_with_children(worker)
        rename_all("!")
    simulator.scenario(faults=[])
    start_worker()
    wait_until(swept_in_step)
    assert_exact(simulator)
    assert_every_request_is_in_the_audit(simulator)
    assert ApiCall.objects.filter(state="UNKNOWN", error_code="worker_died").exists()
    assert not ApiCall.objects.filter(state="OPEN").exists()
