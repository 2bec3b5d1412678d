"""The operator sees why nothing is sent, and can have a refused key checked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.redis import account_digest
from blueshift_sync.models import ApiCall, Customer, ListMembership, SendingStop, SyncRun
from tests.factories import make_customer, make_run

from .conftest import Login
from .pages import action, list_url, page_url, text_of

pytestmark = pytest.mark.django_db
CHECK_KEY = "admin:blueshift_sync_check_key"


def refuse_key() -> SendingStop:
    return SendingStop.objects.create(
        account=account_digest(),
        code="unauthorized",
        reason="Not authorized. Check the User API key and the region.",
        probe_at=timezone.now() + timedelta(minutes=1),
    )


@pytest.mark.parametrize("model", [Customer, ListMembership, SyncRun, ApiCall])
def test_a_stop_is_explained_on_every_list(admin_client: Client, model: Any, settings: Any) -> None:
    assert "Sending is stopped" not in text_of(admin_client.get(list_url(model)))
    refuse_key()
    text = text_of(admin_client.get(list_url(model)))
    assert "Sending is stopped since" in text
    assert "Not authorized. Check the User API key and the region. Nothing is lost." in text
    assert "Check the key now" in text


@pytest.mark.parametrize(("key", "value"), [("ENABLED", False), ("API_KEY", None)])
def test_a_setting_that_holds_everything_up_is_named(admin_client: Client, settings: Any, key: str, value: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, key: value}
    text = text_of(admin_client.get(list_url(Customer)))
    assert f"BLUESHIFT_SYNC[“{key}”]" in text
    assert "Check the key now" not in text


def test_an_operator_has_the_key_checked(login: Login, blueshift: Any) -> None:
    refuse_key()
    response = login("push_customer", "view_apicall").post(reverse(CHECK_KEY), follow=True)
    assert "Blueshift takes the key. Sending goes on." in text_of(response)
    assert not SendingStop.objects.exists()
    assert ApiCall.objects.get().endpoint == "CUSTOMER_FIND"


def test_a_key_that_is_still_refused_is_told(admin_client: Client, blueshift: Any) -> None:
    refuse_key()
    blueshift.fail("status", status=401)
    response = admin_client.post(reverse(CHECK_KEY), follow=True)
    assert "The key could not be checked, or is no good: Blueshift answered 401: Not authorized." in text_of(response)
    assert SendingStop.objects.exists()


def test_checking_needs_the_permission_to_send_and_a_post(login: Login, admin_client: Client) -> None:
    refuse_key()
    viewer = login("view_apicall")
    assert "Check the key now" not in text_of(viewer.get(list_url(ApiCall)))
    assert viewer.post(reverse(CHECK_KEY)).status_code == 403
    assert Client().post(reverse(CHECK_KEY)).status_code == 302
    assert admin_client.get(reverse(CHECK_KEY)).status_code == 405
    assert not ApiCall.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_key_is_checked_in_a_site_with_atomic_requests(admin_client: Client, blueshift: Any) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        response = admin_client.post(reverse(CHECK_KEY), follow=True)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert "Blueshift takes the key" in text_of(response)


@pytest.mark.parametrize("is_good", [True, False])
def test_who_had_the_key_checked_is_in_the_history(
    is_good: bool, admin_client: Client, blueshift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr("blueshift_sync.services.sending.wake_again_quietly", lambda: woken.append(1))
    if not is_good:
        blueshift.scenario(api_keys=["another-key"])
    admin_client.post(reverse(CHECK_KEY))
    assert LogEntry.objects.get().change_message == "Check the key now"
    assert bool(woken) == is_good


def test_a_run_is_cancelled_from_its_page(admin_client: Client) -> None:
    customer = make_customer(state="SYNCED", synced_version=1, due_at=None)
    run = services.push([customer])
    assert "Cancel what hasn't been sent" in text_of(admin_client.get(page_url(run)))
    response = admin_client.post(list_url(SyncRun), action("cancel", run, _from_page=1), follow=True)
    assert f"Cancelled: run #{run.pk}" in text_of(response)
    run.refresh_from_db()
    assert run.state == "CANCELLED"


def test_cancelling_needs_the_permission_to_send(login: Login) -> None:
    run = make_run(state="RUNNING")
    login("view_syncrun").post(list_url(SyncRun), action("cancel", run))
    login("view_syncrun", "push_listmembership").post(list_url(SyncRun), action("cancel", run))
    run.refresh_from_db()
    assert run.cancel_requested_at is None
