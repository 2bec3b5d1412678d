"""The page of a run."""

from __future__ import annotations

import pytest
from django.test import Client

from blueshift_sync.models import Customer, ListMembership, SyncRun
from tests.factories import make_customer, make_membership, make_run

from .pages import page_url, text_of


def totals(client: Client, run: SyncRun) -> str:
    return text_of(client.get(page_url(run))).partition("What became of them")[2]


def test_the_totals_add_up(admin_client: Client) -> None:
    run = make_run(total=212, accepted=190, rejected=6)
    for state in (Customer.State.PENDING, Customer.State.SENDING):
        make_customer(run=run, state=state)
    make_customer(run=run, state=Customer.State.SYNCED)
    expected = "Accepted 190 Rejected 6 Waiting or being sent 2 Sent by a newer run, or no longer to be sent 14 All 212"
    assert expected in totals(admin_client, run)


def test_the_totals_of_a_run_over_lists_count_memberships(admin_client: Client) -> None:
    run = make_run(kind=SyncRun.Kind.LISTS, total=1)
    make_membership(run=run, state=ListMembership.State.PENDING)
    assert "Waiting or being sent 1" in totals(admin_client, run)


def test_what_changes_while_it_is_counted_never_makes_a_total_negative(admin_client: Client) -> None:
    run = make_run(total=1, accepted=1)
    make_customer(run=run, state=Customer.State.PENDING)
    assert "Waiting or being sent 0 Sent by a newer run, or no longer to be sent 0 All 1" in totals(admin_client, run)


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
