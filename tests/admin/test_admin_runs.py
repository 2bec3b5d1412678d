"""The page of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership, SyncRun
from tests.factories import make_call, make_customer, make_list, make_membership, make_run

from .conftest import Login
from .pages import action, list_url, page_url, text_of


def totals(client: Client, run: SyncRun) -> str:
    return text_of(client.get(page_url(run))).partition("What became of them")[2]


def test_the_totals_add_up(admin_client: Client) -> None:
    run = make_run(total=212, accepted=190, rejected=6, unknown=2, unchanged=1000)
    for state in (Customer.State.PENDING, Customer.State.SENDING):
        make_customer(run=run, state=state)
    make_customer(run=run, state=Customer.State.SYNCED)
    expected = (
        "Accepted 190 Rejected 4 Unknown: given up, as no answer said what became of them 2 Waiting or being sent 2 "
        "Sent by a newer run, or no longer to be sent 14 In step already, and not sent 1,000 All 1,212"
    )
    assert expected in totals(admin_client, run)


def test_totals_add_up_where_more_wait_than_are_counted(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.runs.COUNTED", 2)
    run = make_run(total=10, accepted=4)
    for _ in range(3):
        make_customer(run=run, state=Customer.State.PENDING)
    assert "Waiting or being sent, or sent by a newer run 6 In step already" in totals(admin_client, run)


def test_the_totals_of_a_run_over_lists_count_memberships(admin_client: Client) -> None:
    run = make_run(kind=SyncRun.Kind.LISTS, total=1)
    make_membership(run=run, state=ListMembership.State.PENDING)
    assert "Waiting or being sent 1" in totals(admin_client, run)


def test_what_changes_while_it_is_counted_never_makes_a_total_negative(admin_client: Client) -> None:
    run = make_run(total=1, accepted=1)
    make_customer(run=run, state=Customer.State.PENDING)
    nothing_is_left = "Waiting or being sent 0 Sent by a newer run, or no longer to be sent 0"
    assert nothing_is_left in totals(admin_client, run)


def test_a_run_links_to_its_calls_and_its_rejected_results(admin_client: Client) -> None:
    run = make_run(total=2, rejected=2, calls_made=1)
    page = admin_client.get(page_url(run)).content.decode()
    assert f'href="/admin/blueshift_sync/apicall/?run__id__exact={run.pk}"' in page
    rejected = f"/admin/blueshift_sync/recordresult/?call__run__id__exact={run.pk}&amp;outcome__exact=REJECTED"
    assert f'href="{rejected}"' in page


def test_a_run_names_what_it_retries_and_what_retried_it(admin_client: Client) -> None:
    first = make_run()
    second = make_run(retry_of=first)
    assert f'href="{page_url(second)}"' in admin_client.get(page_url(first)).content.decode()
    assert f'href="{page_url(first)}"' in admin_client.get(page_url(second)).content.decode()


def test_a_run_that_failed_says_why(admin_client: Client) -> None:
    run = make_run(state=SyncRun.State.FAILED, error="Blueshift refused the User API key (401).")
    assert run.error in text_of(admin_client.get(page_url(run)))


@pytest.mark.parametrize(("rejected", "offered"), [(0, False), (1, True)])
def test_a_retry_is_offered_where_records_failed(rejected: int, offered: bool, admin_client: Client) -> None:
    run = make_run(total=1, rejected=rejected)
    assert ("Retry failed records" in text_of(admin_client.get(page_url(run)))) is offered


def test_what_a_cancelled_run_took_back_is_told_and_can_be_sent_after_all(admin_client: Client) -> None:
    run = make_run(total=1)
    customer = make_customer(run=run, state="PENDING")
    services.cancel(run)
    text = text_of(admin_client.get(page_url(run)))
    assert "Retry failed records" in text
    assert "The run was cancelled before this was sent." in text
    admin_client.post(list_url(SyncRun), action("retry", run, _from_page=1))
    customer.refresh_from_db()
    assert (customer.state, customer.run) == ("PENDING", run.retries.get())


def test_what_is_in_step_again_has_no_error_of_an_attempt(db: None) -> None:
    run = make_run(total=1)
    customer = make_customer(
        run=run, version=2, synced_version=2, attempts=1, error_code="timeout", error_message="Slow"
    )
    services.cancel(run)
    customer.refresh_from_db()
    assert (customer.state, customer.error_code, customer.error_message) == ("SYNCED", "", "")


# How far it is


def make_running(**fields: Any) -> SyncRun:
    """Half done, at two calls of 50 records in the last ten seconds."""
    now = timezone.now()
    run = make_run(**{"total": 400, "accepted": 200, "state": "RUNNING", "started_at": now, "closed_at": now, **fields})
    for seconds in (10, 5):
        make_call(run=run, record_count=50, started_at=now - timedelta(seconds=seconds))
    for _ in range(3):
        make_customer(run=run, state="PENDING")
    return run


def test_an_open_run_shows_how_far_it_is_and_when_it_ends(admin_client: Client) -> None:
    response = admin_client.get(page_url(make_running()))
    page = response.content.decode()
    assert '<progress max="400" value="200" aria-label="Records dealt with">' in page
    assert "200 of 400 records have been dealt with (50 %)." in text_of(response)
    assert "records a second at the moment; at this pace it ends at" in text_of(response)
    assert 'data-bsync-live="3"' in page
    assert "blueshift_sync/refresh.js" in page


def test_an_open_run_without_calls_says_what_holds_it_up(admin_client: Client, settings: Any) -> None:
    run = make_running()
    run.calls.update(started_at=timezone.now() - timedelta(hours=1))
    assert "Nothing was sent for it in the last two minutes." in text_of(admin_client.get(page_url(run)))
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
    assert "BLUESHIFT_SYNC[“ENABLED”] is False" in text_of(admin_client.get(page_url(run)))


def test_a_run_that_is_being_filled_or_cancelled_says_so(admin_client: Client) -> None:
    assert "More records are still being added." in text_of(admin_client.get(page_url(make_running(closed_at=None))))
    cancelled = make_running(cancel_requested_at=timezone.now())
    assert "It is being cancelled" in text_of(admin_client.get(page_url(cancelled)))


@pytest.mark.parametrize("state", ["SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"])
def test_a_run_that_has_ended_is_not_looked_at_again(state: str, admin_client: Client) -> None:
    page = admin_client.get(page_url(make_running(state=state))).content.decode()
    assert "<progress" not in page
    assert "data-bsync-live=" not in page


def test_a_run_of_nothing_has_no_bar(admin_client: Client) -> None:
    page = admin_client.get(page_url(make_run(total=0))).content.decode()
    assert "<progress" not in page


# What went wrong, and its calls


def test_a_run_tells_its_failures_by_cause(admin_client: Client) -> None:
    run = make_run(total=4, rejected=4)
    failed = [make_customer(run=run, state="FAILED", error_message=f"Customer '{n}' is bad") for n in range(3)]
    make_customer(run=run, state="FAILED", error_message="Phone is bad")
    make_customer(state="FAILED", error_message="Of another run")
    response = admin_client.get(page_url(run))
    found = f"?run__id__exact={run.pk}&amp;error_cause__exact={failed[0].error_cause}"
    assert f'{found}">3</a>' in response.content.decode()
    assert "Phone is bad" in text_of(response)
    assert "Of another run" not in text_of(response)


def test_records_and_calls_are_shown_to_who_may_view_them(login: Login) -> None:
    run = make_run(total=1, rejected=1)
    make_customer(run=run, state="FAILED", error_message="Secret is bad")
    call = page_url(make_call(run=run))
    refused = login("view_syncrun").get(page_url(run)).content.decode()
    assert "Secret" not in refused
    assert call not in refused
    allowed = login("view_syncrun", "view_customer", "view_apicall").get(page_url(run)).content.decode()
    assert "Secret is bad" in allowed
    assert call in allowed


@pytest.mark.parametrize("kind", ["CUSTOMERS", "LISTS"])
def test_a_runs_page_takes_no_more_queries_for_more_records(kind: str, admin_client: Client) -> None:
    def queries_with(number: int) -> int:
        run = make_run(kind=kind, total=2 * number, rejected=number, state="RUNNING")
        for each in range(number):
            make = make_customer if kind == "CUSTOMERS" else make_membership
            make(run=run, state="FAILED", error_message=f"It is {chr(ord('a') + each)}")
            make(run=run, state="PENDING")
            make_call(run=run)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(page_url(run))
        return len(queries)

    queries_with(1)  # the session, the content types
    assert queries_with(12) == queries_with(1)


# What was asked for


def asked_for(client: Client, run: SyncRun) -> str:
    page = text_of(client.get(page_url(run)))
    return page.split("What was asked for", 1)[1]


def test_a_run_says_in_words_what_was_asked_for(admin_client: Client) -> None:
    make_customer(state="FAILED", error_code="x<y")
    query = "?state__exact=FAILED&error_code__exact=x%3Cy&q=customer"
    data = action("leave_out", make_customer(), select_across=1, confirmed=1)
    admin_client.post(list_url(Customer) + query, data)
    run = SyncRun.objects.get()
    said = asked_for(admin_client, run)
    assert "Exclude: don't send any more: customers (state: Failed, error code: X<y)" in said
    assert "1 row was looked at." in said
    assert "1 record was changed." in said
    assert "customer_id" not in said


def test_a_run_over_a_list_names_it(admin_client: Client) -> None:
    news = make_list(name="News")
    services.add_to_list(news, services.Selection.of([make_customer()], Customer))
    assert "Add to list…: customers News" in asked_for(admin_client, SyncRun.objects.get()).replace("  ", " ")


def test_a_run_of_a_later_version_shows_what_it_says(admin_client: Client) -> None:
    known = make_run(scope={"do": "new", "rows": [{"model": "gone.model", "where": {}}], "looked_at": 2, "changed": 0})
    assert "new: gone.model" in asked_for(admin_client, known)
    assert '"ids"' in asked_for(admin_client, make_run(scope={"ids": [1]}))
