"""What is done to many rows at once: asked for once more, done to all that the filter finds, and noted."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.delivery import gathering
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

from .conftest import Login
from .pages import MODELS, action, list_url, page_url, text_of

State = Customer.State
MANY = 3000


def act(client: Client, model: Any, name: str, *rows: Any, query: str = "", **more: Any) -> Any:
    return client.post(list_url(model) + query, action(name, *rows, **more), follow=True)


def across(client: Client, model: Any, name: str, row: Any, *, query: str = "", **more: Any) -> Any:
    """As after "Select all": the rows of the page are posted, and that all are meant."""
    return act(client, model, name, row, query=query, select_across=1, **more)


def make_many(count: int, **columns: Any) -> Customer:
    Customer.objects.bulk_create(
        [
            Customer(customer_id=f"many-{number:05}", **{"state": State.SYNCED, "due_at": None, **columns})
            for number in range(count)
        ],
        batch_size=500,
    )
    return Customer.objects.latest("pk")


# Asking


def test_all_that_the_filter_finds_is_asked_for_once_more(admin_client: Client, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": 0.5}
    one = make_many(MANY, state=State.FAILED, error_code="a<b>")
    make_customer()
    query = "?state__exact=FAILED&error_code__exact=a%3Cb%3E&q=many"
    response = across(admin_client, Customer, "push", one, query=query)
    page = text_of(response)
    assert "Send now, even if unchanged: 3,000 customers ." in page
    assert "That is 60 calls or more: about 2 minutes at the limit of 0.5 a second." in page
    for shown in ("state: Failed", "error code: a<b>", "search: many"):
        assert shown in page.replace(" :", ":")
    assert "a<b>" not in response.content.decode()
    assert not SyncRun.objects.exists()
    across(admin_client, Customer, "push", one, query=query, confirmed=1)
    run = SyncRun.objects.get()
    assert run.scope["looked_at"] + len(Customer.objects.filter(state=State.FAILED)) == MANY


def test_without_a_limit_no_time_is_named(admin_client: Client, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "CALLS_PER_SECOND": None}
    page = text_of(across(admin_client, Customer, "push", make_customer()))
    assert "That is 1 call or more; CALLS_PER_SECOND sets no limit to them." in page


def test_selecting_all_is_offered_where_there_are_more_than_are_counted(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueshift_sync.admin.changelists.BoundedPaginator.bound", 100)
    one = make_many(150)
    assert "Select all >100 customers" in text_of(admin_client.get(list_url(Customer)))
    assert "150 customers" in text_of(across(admin_client, Customer, "push", one))


@pytest.mark.parametrize("model", MODELS)
def test_what_the_filters_say_is_what_the_list_shows(model: Any, admin_user: Any) -> None:
    """Each filter by itself, and the search: the condition finds the rows that the list does."""
    from .rows import make_one_of_each

    rows = [make_one_of_each()[model], make_one_of_each()[model]]
    model_admin = admin.site.get_model_admin(model)
    if not hasattr(model_admin, "selection"):
        return
    queries: list[dict[str, str]] = [{}, {"q": str(rows[0].pk)}, {"q": "customer-1"}]
    for entry in model_admin.list_filter:
        if isinstance(entry, type):
            filter_class: Any = entry
            offered = filter_class(RequestFactory().get("/"), {}, model, model_admin).lookup_choices
            queries += [{filter_class.parameter_name: name} for name, _label in offered]
            continue
        path = entry if isinstance(entry, str) else entry[0]
        value: Any = rows[0]
        for part in path.split("__"):
            value = getattr(value, part)
        queries.append({f"{path}__exact": str(value)} if not hasattr(value, "pk") else {f"{path}__id__exact": value.pk})
    for query in queries:
        request: HttpRequest = RequestFactory().get("/", query)
        request.user = admin_user
        changelist: Any = model_admin.get_changelist_instance(request)
        selection = services.Selection(model, changelist.condition(request))
        again = services.Selection.from_json(selection.to_json())
        assert set(again.rows) == set(changelist.queryset), query


def test_the_question_costs_as_much_for_many_as_for_few(admin_client: Client) -> None:
    counts = []
    for number in (3, 300):
        Customer.objects.all().delete()
        one = make_many(number)
        for confirmed in ({}, {"confirmed": 1}):
            ContentType.objects.clear_cache()
            with CaptureQueriesContext(connection) as queries:
                across(admin_client, Customer, "push", one, **confirmed)
            counts.append(len(queries))
    assert counts[:2] == counts[2:]


# In the background


def test_what_takes_longer_than_a_request_may_is_left_to_a_worker(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0)
    one = make_many(MANY)
    page = text_of(across(admin_client, Customer, "push", one, confirmed=1))
    run = SyncRun.objects.get()
    assert f"a worker brings the rest of them into the run and sends them. Progress: run #{run.pk}" in page
    assert run.scope["looked_at"] == 1000
    assert "3,000 customers" in LogEntry.objects.get().change_message
    services.go_on(run.pk, lambda: False)
    run.refresh_from_db()
    assert run.total == MANY


# Each action


def test_what_is_in_step_is_left_and_told(admin_client: Client) -> None:
    rows = [make_customer(state=State.SYNCED, due_at=None) for _ in range(2)]
    assert "There is nothing to send: 2 records are in step already." in text_of(
        act(admin_client, Customer, "push_changed", *rows)
    )


def test_only_failed_ones_are_retried(admin_client: Client) -> None:
    failed, waiting = make_customer(state=State.FAILED, due_at=None), make_customer()
    assert "Sending 1 customer:" in text_of(act(admin_client, Customer, "retry_failed", failed, waiting))
    failed.refresh_from_db()
    assert failed.run == SyncRun.objects.get()


@pytest.mark.parametrize(("name", "is_member"), [("add_to_list", True), ("remove_from_list", False)])
def test_customers_are_put_on_a_list_that_is_asked_for(admin_client: Client, name: str, is_member: bool) -> None:
    news, gone = make_list(name="<b>News</b>"), make_list(status=CustomerList.Status.DELETED)
    customers = [make_customer() for _ in range(3)]
    page = act(admin_client, Customer, name, *customers[:2])
    assert "&lt;b&gt;News" in page.content.decode()
    assert f'<option value="{gone.pk}"' not in page.content.decode()
    assert "3 customers" not in text_of(page)
    wrong = act(admin_client, Customer, name, *customers[:2], confirmed=1, customer_list=gone.pk)
    assert "Select a valid choice" in text_of(wrong)
    assert not ListMembership.objects.exists()
    act(admin_client, Customer, name, *customers[:2], confirmed=1, customer_list=news.pk)
    memberships = ListMembership.objects.filter(customer_list=news, is_member=is_member)
    assert {row.customer for row in memberships} == set(customers[:2])
    assert SyncRun.objects.get().kind == SyncRun.Kind.LISTS


def carried() -> tuple[Customer, ListMembership, SyncRun]:
    """A customer and a membership of another, each carried by a call of one run, and both failed."""
    run = make_run(total=2, rejected=2)
    customer, membership = make_customer(state=State.FAILED), make_membership(state=State.FAILED)
    for record in (customer, membership):
        record.run = run
        record.save()
    make_result(call=make_call(run=run, record_count=1), customer=customer)
    call = make_call(run=run, record_count=1)
    make_result(call=call, customer=membership.customer, membership=membership)
    return customer, membership, run


@pytest.mark.parametrize("model", [ApiCall, RecordResult])
@pytest.mark.parametrize("name", ["resend", "push_changed", "retry_failed"])
def test_what_calls_carried_is_sent(model: Any, name: str, admin_client: Client) -> None:
    customer, membership, _ = carried()
    page = act(admin_client, model, name, *model.objects.all())
    assert "Sending 2 records:" in text_of(page)
    for record in (customer, membership):
        record.refresh_from_db()
        assert record.state == State.PENDING


@pytest.mark.parametrize("model", [ApiCall, RecordResult])
def test_what_calls_carried_is_excluded_and_included(model: Any, admin_client: Client) -> None:
    customer, membership, _ = carried()
    page = text_of(act(admin_client, model, "leave_out", *model.objects.all(), confirmed=1))
    assert page.count("Excluded: 1, by run") == 2
    for record in (customer, membership):
        record.refresh_from_db()
        assert record.error_code == "excluded_by_operator"
    act(admin_client, model, "take_in", *model.objects.all())
    customer.refresh_from_db()
    assert customer.state == State.PENDING


@pytest.mark.parametrize("model", [ApiCall, RecordResult, SyncRun])
@pytest.mark.parametrize(("name", "is_member"), [("add_to_list", True), ("remove_from_list", False)])
def test_the_customers_that_calls_carried_are_put_on_a_list(
    model: Any, name: str, is_member: bool, admin_client: Client
) -> None:
    customer, membership, _ = carried()
    news = make_list(name="News")
    act(admin_client, model, name, *model.objects.all(), confirmed=1, customer_list=news.pk)
    found = ListMembership.objects.filter(customer_list=news, is_member=is_member)
    assert {row.customer for row in found} == {customer, membership.customer}


@pytest.mark.parametrize("model", [ApiCall, RecordResult, SyncRun])
def test_a_preview_shows_what_calls_carried(model: Any, admin_client: Client) -> None:
    customer, membership, run = carried()
    page = text_of(act(admin_client, model, "preview", *model.objects.all()))
    assert f"{membership.customer} – {membership.customer_list}" in page  # it isn't sent, as its customer hasn't been
    assert customer.customer_id in page
    assert not ApiCall.objects.exclude(run=run).exists()


def test_the_records_of_runs_are_sent_again(admin_client: Client) -> None:
    customer, _membership, run = carried()
    page = text_of(act(admin_client, SyncRun, "resend", run))
    assert "That is 1 call or more" in page
    assert "Sending 1 customer:" in text_of(act(admin_client, SyncRun, "resend", run, confirmed=1))
    customer.refresh_from_db()
    assert customer.run != run


def test_what_a_call_carried_takes_the_permissions_for_records(login: Login) -> None:
    customer, membership, _ = carried()
    calls = list(ApiCall.objects.all())
    client = login("view_apicall", "resend_apicall", "push_customer", "change_customer", "view_customer")
    assert act(client, ApiCall, "add_to_list", *calls).status_code == 403
    act(client, ApiCall, "leave_out", *calls, confirmed=1)
    customer.refresh_from_db()
    membership.refresh_from_db()
    assert (customer.error_code, membership.error_code) == ("excluded_by_operator", "rejected")
    page = text_of(act(client, ApiCall, "preview", *calls))
    assert str(customer) in page
    assert f"{membership.customer} – {membership.customer_list}" not in page


@pytest.mark.parametrize(("name", "is_member"), [("put_on", True), ("take_off", False)])
def test_memberships_are_changed_where_they_are(admin_client: Client, name: str, is_member: bool) -> None:
    membership = make_membership(is_member=not is_member)
    assert "its next change decides again" in text_of(act(admin_client, ListMembership, name, membership))
    act(admin_client, ListMembership, name, membership, confirmed=1)
    membership.refresh_from_db()
    assert (membership.is_member, membership.state) == (is_member, State.PENDING)


@pytest.mark.parametrize("make", [make_customer, make_membership])
def test_records_are_excluded_and_included(admin_client: Client, make: Any) -> None:
    records = [make(), make()]
    model = type(records[0])
    assert "until somebody includes them again" in text_of(act(admin_client, model, "leave_out", *records))
    assert "Excluded: 2, by run" in text_of(act(admin_client, model, "leave_out", *records, confirmed=1))
    assert set(model.objects.filter(pk__in=[row.pk for row in records]).values_list("state", "error_code")) == {
        ("EXCLUDED", "excluded_by_operator")
    }
    assert "There was nothing to do" in text_of(act(admin_client, model, "leave_out", *records, confirmed=1))
    assert "Included: 2, by run" in text_of(act(admin_client, model, "take_in", *records))
    assert model.objects.filter(state="PENDING", error_code="").count() == 2


def test_the_records_of_results_are_sent_again(admin_client: Client) -> None:
    customer, other = make_customer(), make_customer()
    for _ in range(2):
        make_result(customer=customer, outcome="REJECTED", code="x")
    one = make_result(customer=other)
    query = "?outcome__exact=REJECTED"
    assert "2 record results" in text_of(across(admin_client, RecordResult, "resend", one, query=query))
    page = across(admin_client, RecordResult, "resend", one, query=query, confirmed=1)
    assert "Sending 1 customer:" in text_of(page)
    customer.refresh_from_db()
    assert customer.run == SyncRun.objects.get()


def test_the_time_that_calls_take_goes_by_their_records(admin_client: Client) -> None:
    calls = [make_call(record_count=50), make_call(record_count=30)]
    page = text_of(across(admin_client, ApiCall, "resend", calls[0]))
    assert "2 API calls" in page
    assert "That is 2 calls or more" in page


def test_what_was_ticked_is_meant_though_the_filter_does_not_find_it_any_more(admin_client: Client) -> None:
    customer = make_customer(state=State.SYNCED)  # a moment ago it was waiting
    page = act(admin_client, Customer, "leave_out", customer, query="?state__exact=PENDING", confirmed=1)
    assert "Excluded: 1, by run" in text_of(page)
    customer.refresh_from_db()
    assert customer.state == State.EXCLUDED


@pytest.mark.parametrize("key", ["abc", "-1", "9" * 30, "\x00", ""])
def test_what_is_no_rows_number_is_refused(key: str, admin_client: Client) -> None:
    for name in ("push", "leave_out", "erase", "export", "preview"):
        posted = {"action": name, "_selected_action": key, "index": 0, "confirmed": 1}
        assert admin_client.post(list_url(Customer), posted).status_code == 400


# History


def test_what_was_done_to_one_is_in_its_own_history(admin_client: Client, admin_user: Any) -> None:
    customer = make_customer()
    act(admin_client, Customer, "push", customer)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_edited_object(), entry.change_message) == (
        admin_user,
        customer,
        "Send now, even if unchanged",
    )
    assert "Send now, even if unchanged" in text_of(admin_client.get(page_url(customer, "history")))


@pytest.mark.parametrize(
    ("name", "fields", "label"),
    [
        ("take_in", {"state": State.EXCLUDED, "error_code": "excluded_by_operator"}, "Include: send again"),
        ("retry_failed", {"state": State.FAILED}, "Retry failed records"),
    ],
)
def test_the_one_is_known_by_what_was_ticked_though_it_is_no_such_row_any_more(
    name: str, fields: dict[str, Any], label: str, admin_client: Client
) -> None:
    customer = make_customer(**fields)
    act(admin_client, Customer, name, customer)
    entry = LogEntry.objects.get()
    assert (entry.get_edited_object(), entry.change_message) == (customer, label)


def test_the_history_says_which_list(admin_client: Client) -> None:
    customer, customer_list = make_customer(), make_list(name="News", list_id=77)
    act(admin_client, Customer, "add_to_list", customer, confirmed=1, customer_list=customer_list.pk)
    assert LogEntry.objects.get().change_message == "Add to list… News (77)"


def test_the_history_counts_what_a_worker_is_still_to_do(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "REQUEST_SECONDS", 0.0)
    one = make_many(MANY, state=State.FAILED)
    across(admin_client, Customer, "push", one, query="?state__exact=FAILED", confirmed=1)
    assert Customer.objects.filter(state=State.FAILED).count() == MANY - gathering.SLICE
    assert LogEntry.objects.get().change_message.startswith("Send now, even if unchanged: 3,000 customers,")


def test_the_history_of_a_result_names_nobody(admin_client: Client) -> None:
    result = make_result(customer=make_customer(), identifier="ada@example.com")
    act(admin_client, RecordResult, "resend", result)
    assert LogEntry.objects.get().object_repr == f"#{result.pk}: ACCEPTED"


def test_what_was_done_to_many_is_one_entry_of_their_run(admin_client: Client) -> None:
    failed = [make_customer(state=State.FAILED) for _ in range(3)]
    across(admin_client, Customer, "push", failed[0], query="?state__exact=FAILED&q=customer", confirmed=1)
    entry = LogEntry.objects.get()
    assert entry.get_edited_object() == SyncRun.objects.get()
    assert entry.change_message == "Send now, even if unchanged: 3 customers, filtered by state: Failed, search: …"


def test_the_history_names_nobody_who_may_be_erased(admin_client: Client) -> None:
    membership = make_membership(customer=make_customer(email="ada@example.com", customer_id="ada"))
    query = f"?customer__id__exact={membership.customer_id}&q=ada"
    across(admin_client, ListMembership, "push", membership, query=query, confirmed=1)
    message = LogEntry.objects.get().change_message
    assert f"#{membership.customer_id}" in message
    assert "ada" not in message


# Export


def export(client: Client, model: Any, *rows: Any, **more: Any) -> list[dict[str, str]]:
    response = client.post(list_url(model), action("export", *rows, confirmed=1, **more))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    content = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(content, newline="")))


def test_an_export_says_its_columns_first(login: Login) -> None:
    customer = make_customer()
    page = text_of(act(login("view_customer"), Customer, "export", customer))
    assert "these columns: id, customer_id, email, uuid" in page


def test_all_rows_are_exported_by_slices(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.admin.export.SLICE", 700)
    one = make_many(MANY)
    rows = export(login("view_customer"), Customer, one, select_across=1)
    assert [row["customer_id"] for row in rows] == [f"many-{number:05}" for number in range(MANY)]
    assert LogEntry.objects.get().change_message == "Export as CSV: 3,000 customers"


def test_no_cell_is_a_formula(admin_client: Client) -> None:
    nasty = ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", 'a"b,c\nd']
    rows = [make_customer(customer_id=None, firstname=text, attributes={"=x": "=1"}) for text in nasty]
    exported = export(admin_client, Customer, *rows)
    assert [row["firstname"] for row in exported] == [f"'{text}" for text in nasty[:-1]] + nasty[-1:]
    assert {row["attributes"] for row in exported} == {'{"=x": "=1"}'}
    assert {row["customer_id"] for row in exported} == {""}


@pytest.mark.parametrize("model", [ListMembership, ApiCall, RecordResult, SyncRun])
def test_other_lists_are_exported_too(admin_client: Client, model: Any) -> None:
    membership = make_membership()
    call = make_call(request_body="BODY", run=make_run())
    make_result(call=call, customer=membership.customer, membership=membership)
    [row] = export(admin_client, model, model.objects.get())
    assert row["id"] == str(model.objects.get().pk)
    assert "BODY" not in str(row)


# Preview


def test_a_preview_is_the_body_of_the_next_call(admin_client: Client) -> None:
    customer = make_customer(customer_id="7", email="ada@example.com", firstname="<b>Ada</b>", lastname=None)
    excluded = make_customer(state=State.EXCLUDED, error_code="excluded", error_message="The source leaves it out.")
    response = act(admin_client, Customer, "preview", customer, excluded)
    page = text_of(response)
    assert "POST /api/v1/customers/bulk" in page
    assert '{"customers":[{"customer_id":"7","email":"ada@example.com","firstname":"<b>Ada</b>"}]}' in page
    assert "<b>Ada" not in response.content.decode()
    assert "The source leaves it out." in page
    assert not ApiCall.objects.exists()


def test_a_preview_of_memberships_has_a_call_for_each_list(admin_client: Client) -> None:
    customer = make_customer(state=State.SYNCED, email="ada@example.com")
    lists = [make_list(list_id=1), make_list(list_id=2, status=CustomerList.Status.DELETED)]
    memberships = [make_membership(customer=customer, customer_list=each) for each in lists]
    page = text_of(act(admin_client, ListMembership, "preview", *memberships))
    assert "PUT /api/v1/custom_user_lists/bulk_add_users_to_list/1?async=true" in page
    assert '{"identifier_key":"email","identifier_values":["ada@example.com"]}' in page
    assert "The list has been deleted in Blueshift." in page


def test_a_preview_of_all_shows_the_first(admin_client: Client) -> None:
    one = make_many(60)
    page = text_of(across(admin_client, Customer, "preview", one))
    assert "Only the first 50 of the selected records are shown." in page
    assert "many-00049" in page
    assert "many-00050" not in page
