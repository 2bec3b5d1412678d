"""What an operator can set going from the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery.runs import finish_runs
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, ListMembership, SyncRun
from tests.factories import make_call, make_customer, make_membership, make_removal, make_result, make_run

from .conftest import Login
from .pages import action, list_url, page_url, text_of

State = Customer.State


def act(client: Client, model: Any, name: str, *rows: Any, **more: Any) -> Any:
    """Runs the action and follows it to the page that it leads to."""
    return client.post(list_url(model), action(name, *rows, **more), follow=True)


def test_selected_customers_are_sent_and_the_run_is_linked_to(admin_client: Client, admin_user: Any) -> None:
    chosen = [make_customer(state=State.SYNCED, due_at=None) for _ in range(2)]
    other = make_customer(state=State.SYNCED, due_at=None)
    response = act(admin_client, Customer, "push", *chosen)
    run = SyncRun.objects.get()
    assert (run.trigger, run.requested_by, run.total) == (SyncRun.Trigger.ADMIN, admin_user, 2)
    assert f"Sending 2 customers: run #{run.pk}" in text_of(response).replace(" .", ".").replace(":  ", ": ")
    assert f'<a href="{page_url(run)}">' in response.content.decode()
    assert set(Customer.objects.filter(run=run, state=State.PENDING)) == set(chosen)
    other.refresh_from_db()
    assert other.state == State.SYNCED


def test_selecting_all_sends_what_the_filter_finds_on_every_page(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueshift_sync.admin.customers.CustomerAdmin.list_per_page", 2)
    failed = [make_customer(state=State.FAILED) for _ in range(5)]
    make_customer(state=State.SYNCED)
    url = f"{list_url(Customer)}?state__exact=FAILED"
    admin_client.post(url, action("push", failed[0], select_across=1, confirmed=1))
    assert SyncRun.objects.get().total == 5


def test_excluded_records_are_left_out_and_nothing_to_send_is_said(admin_client: Client) -> None:
    excluded = make_customer(state=State.EXCLUDED)
    assert "There is nothing to send" in text_of(act(admin_client, Customer, "push", excluded))
    both = act(admin_client, Customer, "push", excluded, make_customer())
    assert "Sending 1 customer:" in text_of(both)


def test_memberships_are_sent_with_their_own_permission(login: Login) -> None:
    membership = make_membership(state=ListMembership.State.SYNCED, due_at=None)
    client = login("view_listmembership", "push_listmembership")
    assert "Sending 1 list membership:" in text_of(act(client, ListMembership, "push", membership))
    membership.refresh_from_db()
    assert membership.state == ListMembership.State.PENDING


@pytest.mark.parametrize(
    ("change", "named"), [({"ENABLED": False}, "“ENABLED”] is False"), ({"API_KEY": None}, "“API_KEY”] is missing")]
)
def test_an_action_names_the_setting_that_holds_everything_up(
    change: dict[str, Any], named: str, admin_client: Client, settings: Any
) -> None:
    settings.BLUESHIFT_SYNC = settings.BLUESHIFT_SYNC | change
    assert named in text_of(act(admin_client, Customer, "push", make_customer()))


def test_an_error_of_the_package_is_a_message(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> SyncRun:
        raise BlueshiftSyncError("Redis doesn't answer at <b>here</b>.")

    monkeypatch.setattr(services, "push", refuse)
    response = act(admin_client, Customer, "push", make_customer())
    assert [(str(message), message.level_tag) for message in response.context["messages"]] == [
        ("Redis doesn't answer at <b>here</b>.", "error")
    ]
    assert "<b>here</b>" not in response.content.decode()


def test_the_records_of_a_call_are_sent_again(login: Login) -> None:
    call = make_call()
    customer = make_customer(state=State.SYNCED, due_at=None)
    make_result(call=call, customer=customer)
    response = act(login("view_apicall", "resend_apicall"), ApiCall, "resend", call)
    assert "Sending 1 customer:" in text_of(response)
    customer.refresh_from_db()
    assert customer.state == State.PENDING


def test_the_records_of_all_calls_in_the_list_can_be_sent_again(admin_client: Client) -> None:
    calls = [make_call() for _ in range(3)]
    for call in calls:
        make_result(call=call, customer=make_customer())
    act(admin_client, ApiCall, "resend", calls[0], select_across=1, confirmed=1)
    assert SyncRun.objects.get().total == 3


def test_failed_records_of_runs_are_retried(admin_client: Client) -> None:
    runs = [make_run(rejected=1), make_run(kind=SyncRun.Kind.LISTS, rejected=1)]
    make_customer(run=runs[0], state=State.FAILED)
    make_membership(run=runs[1], state=State.FAILED)
    assert "less than a minute" in text_of(act(admin_client, SyncRun, "retry", *runs))
    response = act(admin_client, SyncRun, "retry", *runs, confirmed=1)
    assert "Sending 2 records:" in text_of(response)
    new = SyncRun.objects.exclude(pk__in=[run.pk for run in runs])
    assert set(new.values_list("kind", "total")) == {("CUSTOMERS", 1), ("LISTS", 1)}


def test_the_retry_of_one_run_is_linked_to_it(admin_client: Client) -> None:
    run = make_run(rejected=1)
    make_customer(run=run, state=State.FAILED)
    act(admin_client, SyncRun, "retry", run, confirmed=1)
    assert run.retries.get().total == 1


@pytest.mark.parametrize(
    ("name", "label"), [("retry", "Retry failed records"), ("cancel", "Cancel what hasn't been sent")]
)
def test_who_retried_or_cancelled_a_run_is_in_its_history(
    name: str, label: str, admin_client: Client, admin_user: Any
) -> None:
    run = make_run(rejected=1, state="RUNNING")
    act(admin_client, SyncRun, name, run, _from_page=1)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_edited_object(), entry.change_message) == (admin_user, run, label)


@pytest.mark.parametrize("name", ["retry", "cancel"])
def test_a_run_of_removals_takes_the_permission_for_these(name: str, login: Login) -> None:
    run = make_run(rejected=1)
    removal = make_removal(run=run, state="FAILED", error_code="unprocessable", due_at=None)
    client = login("view_syncrun", "push_customer", "push_listmembership")
    assert act(client, SyncRun, name, run).status_code == 403
    removal.refresh_from_db()
    assert removal.state == "FAILED"
    client = login("view_syncrun", "push_customer", "approve_customerremoval")
    assert act(client, SyncRun, name, run).status_code == 200


def test_a_run_that_was_cancelled_before_is_not_cancelled_again(admin_client: Client) -> None:
    run = make_run(state="CANCELLED", cancel_requested_at=timezone.now())
    assert "There is nothing to cancel" in text_of(act(admin_client, SyncRun, "cancel", run))
    assert not LogEntry.objects.exists()


def test_any_number_of_runs_is_retried_and_cancelled_with_as_many_queries(admin_client: Client) -> None:
    """Ending what was cancelled is a worker's work where it takes long."""
    counts = []
    for number in (2, 2, 60):
        SyncRun.objects.all().delete()
        Customer.objects.all().delete()
        runs = [make_run(rejected=1) for _ in range(number)]
        for run in runs:
            make_customer(run=run, state=State.FAILED)
        with CaptureQueriesContext(connection) as queries:
            act(admin_client, SyncRun, "retry", runs[0], select_across=1, confirmed=1)
        counts.append(len(queries))
        assert Customer.objects.filter(state=State.PENDING, run=SyncRun.objects.latest("pk")).count() == number
    assert counts[1] == counts[2]


@pytest.mark.parametrize("seconds", [0.0, 600.0])
def test_all_runs_that_go_on_are_cancelled(
    seconds: float, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueshift_sync.delivery.gathering.REQUEST_SECONDS", seconds)
    runs = [make_run(state="RUNNING") for _ in range(30)]
    ended = make_run(state="SUCCEEDED")
    page = text_of(act(admin_client, SyncRun, "cancel", runs[0], select_across=1))
    assert "Cancel what hasn't been sent: 30 runs" in page
    page = text_of(act(admin_client, SyncRun, "cancel", runs[0], select_across=1, confirmed=1))
    assert "Cancelled: 30 runs." in page
    assert not SyncRun.objects.exclude(pk=ended.pk).filter(cancel_requested_at=None).exists()
    finish_runs()  # the sweep ends what took too long for a request
    assert set(SyncRun.objects.exclude(pk=ended.pk).values_list("state", flat=True)) == {"CANCELLED"}
    assert LogEntry.objects.get().change_message == "Cancel what hasn't been sent: 30 runs"


@pytest.mark.parametrize("name", ["push", "resend", "retry"])
def test_a_pages_button_comes_back_to_the_page(name: str, admin_client: Client) -> None:
    run = make_run(rejected=1)
    customer = make_customer(run=run, state=State.FAILED)
    call = make_call()
    make_result(call=call, customer=customer)
    row = {"push": customer, "resend": call, "retry": run}[name]
    page = admin_client.get(page_url(row)).content.decode()
    assert f'<input type="hidden" name="action" value="{name}">' in page
    response = admin_client.post(list_url(type(row)), action(name, row, _from_page=1))
    assert response["Location"] == page_url(row)
    assert "Sending 1 customer:" in text_of(admin_client.get(page_url(row)))
