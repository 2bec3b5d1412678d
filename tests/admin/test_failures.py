"""The page of what went wrong, by cause, and sending again what failed for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from blueshift_sync.delivery import causes
from blueshift_sync.models import (
    Customer,
    CustomerRemoval,
    FailuresByCause,
    ListMembership,
    RecordResult,
    SyncRun,
)
from tests.factories import make_call, make_customer, make_membership, make_removal, make_result

from .conftest import Login
from .pages import action, list_url, page_url, text_of

pytestmark = pytest.mark.django_db

PAGE = "/admin/blueshift_sync/failuresbycause/"
NOW = timezone.now()


def fail(code: str = "rejected", message: str = "Name is too long", **fields: Any) -> Customer:
    return make_customer(state="FAILED", error_code=code, error_message=message, **fields)


def send_url(kind: str, row: Any) -> str:
    return reverse("admin:blueshift_sync_failuresbycause_send", args=[kind, row.error_cause])


def test_records_that_failed_for_one_reason_stand_together(admin_client: Client) -> None:
    first = fail(message="Customer 'Ada' is unknown", failed_at=NOW - timedelta(days=2))
    last = fail(message="Customer 'Grace' is unknown", failed_at=NOW)
    other = fail(message="Phone is bad", failed_at=NOW - timedelta(days=1))
    response = admin_client.get(PAGE)
    customers, *_ = response.context["tables"]
    assert len(customers.rows) == 2
    text = text_of(response)
    assert text.index("Customer 'Grace' is unknown") < text.index("Phone is bad")
    assert "Customer 'Ada' is unknown" not in text
    assert f'href="{list_url(Customer)}?error_cause__exact={first.error_cause}">2</a>' in response.content.decode()
    for row in (last, other):
        assert page_url(row) in response.content.decode()
    for moment in (first.failed_at, last.failed_at):
        assert f"{moment:%Y-%m-%d %H:%M:%S}" in text


def test_each_cause_is_explained(admin_client: Client) -> None:
    fail("type_changed", "Not sent: attribute 'points' has been sent as a number; this value is text.")
    text = text_of(admin_client.get(PAGE))
    assert "An attribute has a value of another JSON type" in text
    assert "What to do: Let the source return the type" in text


@pytest.mark.parametrize("name", ["leave_out", "erase"])
def test_what_is_excluded_or_erased_is_no_failure_any_more(name: str, admin_client: Client) -> None:
    gone, left = fail(), fail()
    admin_client.post(list_url(Customer), action(name, gone, confirmed=1))
    text = text_of(admin_client.get(PAGE))
    assert "Send it again" in text
    assert "Send these 2 again" not in text
    gone.refresh_from_db()
    assert (gone.state, gone.error_cause) == ("EXCLUDED", "")
    assert "1 customer" in text_of(admin_client.get(send_url("customer", left)))


def test_who_sent_a_cause_again_is_in_the_runs_history(admin_client: Client, admin_user: Any) -> None:
    row, _other = fail(), fail()
    admin_client.post(send_url("customer", row))
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_edited_object()) == (admin_user, SyncRun.objects.get())
    assert entry.change_message == "Send these records again: 2 customers (rejected)"


def test_memberships_removals_and_rejections_have_groups_of_their_own(admin_client: Client) -> None:
    membership = make_membership(state="FAILED", error_code="identifier_missing", error_message="No address.")
    removal = make_removal(state="FAILED", error_code="unprocessable", error_message="Can't be forgotten.")
    old, new = make_call(started_at=NOW - timedelta(days=3)), make_call(started_at=NOW)
    for call in (old, new):
        make_result(call=call, outcome="REJECTED", code="email", message="is too long", identifier="CUST-1")
    response = admin_client.get(PAGE)
    page = response.content.decode()
    assert [len(table.rows) for table in response.context["tables"]] == [0, 1, 1, 1]
    result = RecordResult.objects.last()
    assert result is not None
    for row in (membership, removal, result):
        assert page_url(row) in page
    rejections = f"{list_url(RecordResult)}?error_cause__exact={result.error_cause}"
    assert f'href="{rejections}">2</a>' in page
    assert f"{old.started_at:%Y-%m-%d %H:%M:%S}" in page


def test_where_nothing_failed_the_page_says_so(admin_client: Client) -> None:
    make_customer(state="SYNCED")
    assert text_of(admin_client.get(PAGE)).count("Nothing.") == 4


@pytest.mark.parametrize("model", [Customer, ListMembership, CustomerRemoval])
def test_a_cause_leads_to_its_records_the_latest_first(model: Any, admin_client: Client) -> None:
    make = {Customer: make_customer, ListMembership: make_membership, CustomerRemoval: make_removal}[model]
    failed = {"state": "FAILED", "error_code": "rejected", "error_message": "No."}
    later = make(**failed, failed_at=NOW)
    earlier = make(**failed, failed_at=NOW - timedelta(days=1))
    make(**{**failed, "error_message": "Neither."})
    response = admin_client.get(list_url(model), {"error_cause__exact": later.error_cause})
    assert list(response.context["cl"].result_list) == [later, earlier]
    assert "rejected: No." in text_of(response)


def test_results_are_found_by_cause(admin_client: Client) -> None:
    wanted = make_result(outcome="REJECTED", code="email", message="is too long")
    make_result(outcome="REJECTED", code="email", message="is empty")
    response = admin_client.get(list_url(RecordResult), {"error_cause__exact": wanted.error_cause})
    assert list(response.context["cl"].result_list) == [wanted]


def test_a_cause_that_nothing_fails_for_any_more_finds_nothing(admin_client: Client) -> None:
    response = admin_client.get(list_url(Customer), {"error_cause__exact": "<b>gone</b>"})
    assert response.status_code == 200
    assert "Nothing any more" in text_of(response)
    assert "<b>gone</b>" not in response.content.decode()


# Sending again


def test_the_count_is_shown_before_anything_is_sent(admin_client: Client) -> None:
    failed = [fail() for _ in range(3)]
    assert send_url("customer", failed[0]) in admin_client.get(PAGE).content.decode()
    text = text_of(admin_client.get(send_url("customer", failed[0])))
    assert "3 customers" in text
    assert "less than a minute" in text
    assert not SyncRun.objects.exists()


def test_confirmed_exactly_the_records_of_that_cause_are_sent(admin_client: Client) -> None:
    failed, other = [fail() for _ in range(3)], fail(message="Something else")
    response = admin_client.post(send_url("customer", failed[0]), follow=True)
    run = SyncRun.objects.get()
    assert (run.total, run.trigger, run.requested_by) == (3, "ADMIN", response.context["user"])
    assert "Sending 3 customers" in text_of(response)
    assert set(Customer.objects.filter(run=run, state="PENDING")) == set(failed)
    other.refresh_from_db()
    assert other.state == "FAILED"


@pytest.mark.parametrize(("kind", "make"), [("listmembership", make_membership), ("customerremoval", make_removal)])
def test_memberships_and_removals_are_sent_again_too(kind: str, make: Any, admin_client: Client) -> None:
    row = make(state="FAILED", error_code="rejected", error_message="No.")
    assert admin_client.get(send_url(kind, row)).status_code == 200
    admin_client.post(send_url(kind, row))
    row.refresh_from_db()
    assert (row.state, row.run) == ("PENDING", SyncRun.objects.get())


def test_what_was_sent_again_meanwhile_is_not_asked_about(admin_client: Client) -> None:
    customer = fail()
    address = send_url("customer", customer)
    Customer.objects.update(state="PENDING", error_cause="")
    response = admin_client.get(address, follow=True)
    assert "Nothing fails for this cause any more" in text_of(response)
    assert '<form method="post">' not in response.content.decode()


def test_an_address_of_another_kind_is_none(admin_client: Client) -> None:
    assert admin_client.get(send_url("recordresult", fail())).status_code == 404


# Permissions


def test_each_part_needs_its_own_permission(login: Login) -> None:
    fail()
    make_membership(state="FAILED")
    make_result(outcome="REJECTED", code="email")
    titles = [str(table.title) for table in login("view_listmembership").get(PAGE).context["tables"]]
    assert titles == ["List memberships that failed"]
    assert login("view_apicall").get(PAGE).status_code == 403


@pytest.mark.parametrize("permissions", [[], ["view_customer"], ["push_customer"], ["view_customer", "resend_apicall"]])
def test_sending_again_needs_its_permission(permissions: list[str], login: Login) -> None:
    customer = fail()
    client = login(*permissions)
    address = send_url("customer", customer)
    assert (client.get(address).status_code, client.post(address).status_code) == (403, 403)
    assert not SyncRun.objects.exists()
    if "view_customer" in permissions:
        assert address not in client.get(PAGE).content.decode()


def test_who_may_send_sends(login: Login) -> None:
    customer = fail()
    assert login("view_customer", "push_customer").post(send_url("customer", customer)).status_code == 302
    assert SyncRun.objects.get().total == 1


# Escaping


def test_whatever_failed_is_shown_as_text(admin_client: Client) -> None:
    script = "<script>alert(1)</script>"
    row = fail(script, script, customer_id=script)
    make_result(outcome="REJECTED", code=script, message=script, identifier=script)
    for address in (PAGE, send_url("customer", row)):
        page = admin_client.get(address).content.decode()
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page


# Cost


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_no_more_queries_for_more_causes_and_records(admin_client: Client) -> None:
    admin_client.get(PAGE)  # the session, the content types
    fail()
    make_membership(state="FAILED")
    make_result(outcome="REJECTED", code="email")
    few = queries_of(admin_client, PAGE)
    for number in range(20):
        word = chr(ord("a") + number)
        fail(message=f"It is {word * 3}")
        make_membership(state="FAILED", error_message=f"It is {word * 3}")
        make_result(outcome="REJECTED", code="email", message=f"It is {word * 3}")
    assert queries_of(admin_client, PAGE) == few


def test_with_too_many_causes_the_page_says_so(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "CAUSES_FOUND", 4)
    for word in ("one", "two", "three", "four", "five"):
        fail(message=f"It is {word}")
    response = admin_client.get(PAGE)
    assert len(response.context["tables"][0].rows) == 4
    assert "There are more causes" in text_of(response)


def test_counting_ends_somewhere(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "COUNTED", 2)
    row, *_ = [fail() for _ in range(4)]
    text = text_of(admin_client.get(PAGE))
    assert "more than 2" in text
    assert "Send all of them again" in text
    confirmation = text_of(admin_client.get(send_url("customer", row)))
    assert "4 customers" in confirmation
    assert "Send these 4 again" in confirmation


def test_many_large_causes_are_counted_no_longer_than_one(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "COUNTED_IN_ALL", 4)
    for message in ("Name is bad", "Phone is bad"):
        for _ in range(3):
            fail(message=message)
    assert text_of(admin_client.get(PAGE)).count("more than 2") == 2


def test_it_is_in_the_menu_for_who_may_see_any_of_it(login: Login) -> None:
    assert PAGE in login("view_customer").get("/admin/").content.decode()
    assert PAGE not in login("view_apicall").get("/admin/").content.decode()
    assert list_url(FailuresByCause) == PAGE
