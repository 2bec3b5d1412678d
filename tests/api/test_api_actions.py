"""What can be set going: the run and where it is, once for each idempotency key, and only what may be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from blueshift_sync.api import parsing, requests
from blueshift_sync.delivery.drain import drain
from blueshift_sync.models import Customer, ListMembership, SyncRun
from blueshift_sync.models.fingerprints import fingerprint_of
from blueshift_sync.sources.rehearsal import IN_STEP
from tests.api.helpers import client_of, make_user
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

SYNCED: dict[str, Any] = {"state": "SYNCED", "synced_version": 1, "due_at": None, "waiting_since": None}
FAILED: dict[str, Any] = {"state": "FAILED", "error_code": "email_invalid", "due_at": None}


def url(name: str, *pks: int) -> str:
    return reverse(f"blueshift_sync:{name}", args=pks)


def post(client: APIClient, name: str, *pks: int, body: Any = None, query: str = "", **headers: str) -> Any:
    return client.post(url(name, *pks) + query, body, format="json", headers=headers)


def run_of(response: Any) -> SyncRun:
    assert response.status_code == 202, response.content
    run = SyncRun.objects.get(pk=response.json()["id"])
    assert response["Location"] == f"http://testserver{url('runs-detail', run.pk)}"
    return run


def in_run(run: SyncRun) -> list[int]:
    model = ListMembership if run.kind == "LISTS" else Customer
    return list(model._default_manager.filter(run=run).order_by("pk").values_list("pk", flat=True))


def named(response: Any, status: int = 400) -> set[str]:
    assert response.status_code == status, response.content
    return set(response.json()["errors"])


def test_customers_are_pushed_by_their_ids() -> None:
    wanted, _other = make_customer(**SYNCED), make_customer(**SYNCED)
    user = make_user("view_customer", "push_customer")

    response = post(client_of(user), "customers-push-many", body={"ids": [wanted.pk, wanted.pk]})

    run = run_of(response)
    assert (run.kind, run.trigger, run.requested_by, run.total) == ("CUSTOMERS", "API", user, 1)
    assert in_run(run) == [wanted.pk]
    assert response.json()["state"] == "QUEUED"


def test_customers_are_pushed_by_a_filter(reader: APIClient) -> None:
    wanted, _other = make_customer(**FAILED), make_customer(**SYNCED)

    response = post(reader, "customers-push-many", body={"filter": {"state": "FAILED"}})

    assert in_run(run_of(response)) == [wanted.pk]
    assert "of" not in response.json()["scope"]


def test_a_filter_may_be_by_time_and_by_list(reader: APIClient) -> None:
    member = make_membership(customer=make_customer(**SYNCED))
    make_customer(**SYNCED)
    body = {"filter": {"created_at__gte": "2020-01-01T00:00:00Z", "customer_list": member.customer_list.pk}}

    assert in_run(run_of(post(reader, "customers-push-many", body=body))) == [member.customer.pk]


def test_memberships_are_pushed(reader: APIClient) -> None:
    wanted, _other = make_membership(**SYNCED), make_membership(**SYNCED)

    assert in_run(run_of(post(reader, "memberships-push-many", body={"ids": [wanted.pk]}))) == [wanted.pk]
    assert in_run(run_of(post(reader, "memberships-push", wanted.pk))) == [wanted.pk]


def test_one_customer_is_pushed(reader: APIClient) -> None:
    wanted, _other = make_customer(**SYNCED), make_customer(**SYNCED)

    assert in_run(run_of(post(reader, "customers-push", wanted.pk))) == [wanted.pk]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, {"ids"}),
        (None, {"ids"}),
        ({"ids": [1], "filter": {"state": "FAILED"}}, {"ids"}),
        ({"ids": []}, {"ids"}),
        ({"ids": 1}, {"ids"}),
        ({"ids": ["1", True, 1.5, 0, -1, 2**63, None, 1e300]}, {f"ids.{place}" for place in range(8)}),
        ({"ids": [1] * 10_001}, {"ids"}),
        ({"filter": {}}, {"filter"}),
        ({"filter": "all"}, {"filter"}),
        ({"filter": None}, {"filter"}),
        ({"filter": {"unheard_of": "1", "state": "FAILED"}}, {"filter.unheard_of"}),
        ({"filter": {"state": "BROKEN"}}, {"filter.state"}),
        ({"filter": {"state": ["FAILED"]}}, {"filter.state"}),
        ({"filter": {"run": "1"}}, {"filter.run"}),
        ({"filter": {"state": " "}}, {"filter.state"}),
        ({"customers": [1]}, {"customers"}),
        ({"ids": [1], "force": True}, {"force"}),
        ([1], {"non_field_errors"}),
    ],
)
def test_what_is_not_understood_is_refused_by_name_and_nothing_is_sent(
    reader: APIClient, body: Any, names: set[str]
) -> None:
    make_customer(**SYNCED)

    assert named(post(reader, "customers-push-many", body=body)) == names
    assert not SyncRun.objects.exists()


def test_rows_that_do_not_exist_are_named(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    response = post(reader, "customers-push-many", body={"ids": [customer.pk, customer.pk + 1]})

    assert named(response, 404) == {"ids"}
    assert str(customer.pk + 1) in response.json()["detail"]
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize(
    "body",
    ["{", "[" * 100_000, '{"ids": NaN}', '{"ids": [1], "ids": [2]}', b"\xff", '{"ids": [' + "9" * 5000 + "]}", ""],
)
def test_what_is_no_json_is_refused(reader: APIClient, body: Any) -> None:
    response = reader.post(url("customers-push-many"), body, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["detail"]


def test_another_kind_of_body_is_refused(reader: APIClient) -> None:
    response = reader.post(url("customers-push-many"), "ids=1", content_type="application/x-www-form-urlencoded")

    assert response.status_code == 415


def test_a_body_that_is_too_long_is_refused(reader: APIClient) -> None:
    body = " " * (parsing.LONGEST_BODY + 1)

    assert reader.post(url("customers-push-many"), body, content_type="application/json").status_code == 413


def test_what_needs_no_body_takes_none(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)

    assert named(post(reader, "customers-push", customer.pk, body={"ids": [1]})) == {"ids"}


def test_ten_thousand_ids_take_few_queries(reader: APIClient, django_assert_max_num_queries: Any) -> None:
    Customer.objects.bulk_create(Customer(customer_id=f"c{number}", **SYNCED) for number in range(10_000))
    ids = list(Customer.objects.values_list("pk", flat=True))

    with django_assert_max_num_queries(300):
        run = run_of(post(reader, "customers-push-many", body={"ids": ids}))

    assert run.total <= 10_000  # a job goes on with what took the request too long
    assert len(json.dumps(post(reader, "runs-cancel", run.pk).json())) < 2000


# Lists


def test_customers_are_put_on_a_list_and_taken_off(reader: APIClient) -> None:
    customer_list = make_list()
    ann, bob = make_customer(**SYNCED), make_customer(**SYNCED)

    run = run_of(post(reader, "lists-add", customer_list.pk, body={"customers": [ann.pk, bob.pk]}))
    assert (run.kind, run.total) == ("LISTS", 2)
    run_of(post(reader, "lists-remove", customer_list.pk, body={"filter": {"customer_id": bob.customer_id}}))

    members = ListMembership.objects.order_by("pk").values_list("customer", "is_member")
    assert list(members) == [(ann.pk, True), (bob.pk, False)]


def test_nobody_is_put_on_a_list_that_was_deleted(reader: APIClient) -> None:
    customer_list = make_list(status="DELETED")

    response = post(reader, "lists-add", customer_list.pk, body={"customers": [make_customer().pk]})

    assert response.status_code == 409
    assert not ListMembership.objects.exists()


@pytest.mark.parametrize("missing", ["view_customer", "push_listmembership", "add_listmembership"])
def test_each_permission_is_needed_to_change_a_list(missing: str) -> None:
    needed = {"view_customerlist", "view_customer", "push_listmembership", "add_listmembership"}
    client = client_of(make_user(*(needed | {"change_listmembership"}) - {missing}))

    response = post(client, "lists-add", make_list().pk, body={"customers": [make_customer().pk]})

    assert response.status_code == 403
    assert f"blueshift_sync.{missing}" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"name": " Spring sale "}, {"name": "Spring sale", "list_id": None, "identifier_key": "email", "mode": ""}),
        (
            {"name": "VIP", "identifier_key": "customer_id", "mode": "sync", "description": "The best."},
            {"identifier_key": "customer_id", "mode": "sync", "description": "The best."},
        ),
        ({"list_id": 35871}, {"list_id": 35871, "name": "", "is_ready": False}),
    ],
)
def test_a_list_is_created_or_taken_on(body: dict[str, Any], shown: dict[str, Any]) -> None:
    client = client_of(make_user("view_customerlist", "add_customerlist"))

    response = post(client, "lists-list", body=body)

    assert response.status_code == 201, response.content
    assert shown.items() <= response.json().items()
    assert client.get(response["Location"]).json()["id"] == response.json()["id"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, {"name"}),
        ({"name": "VIP", "list_id": 7}, {"name"}),
        ({"name": " "}, {"name"}),
        ({"name": 7}, {"name"}),
        ({"name": "x" * 256}, {"name"}),
        ({"name": "\ud800"}, {"name"}),
        ({"list_id": "7"}, {"list_id"}),
        ({"list_id": 7, "description": "x"}, {"description"}),
        ({"name": "VIP", "identifier_key": "phone"}, {"identifier_key"}),
        ({"name": "VIP", "is_seed_list": 1}, {"is_seed_list"}),
    ],
)
def test_what_is_no_list_is_refused_by_name(reader: APIClient, body: dict[str, Any], names: set[str]) -> None:
    response = reader.post(url("lists-list"), json.dumps(body), content_type="application/json")

    assert named(response) == names


def test_a_list_that_is_there_is_not_taken_on_again(reader: APIClient) -> None:
    assert post(reader, "lists-list", body={"list_id": make_list().list_id}).status_code == 409


# Runs and calls


def test_a_run_is_retried(reader: APIClient) -> None:
    run = make_run()
    failed, _fine = make_customer(run=run, **FAILED), make_customer(run=run, **SYNCED)

    again = run_of(post(reader, "runs-retry", run.pk))

    assert (again.retry_of, again.trigger) == (run, "RETRY")
    assert in_run(again) == [failed.pk]


def test_a_run_is_cancelled(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    run = run_of(post(reader, "customers-push", customer.pk))

    cancelled = run_of(post(reader, "runs-cancel", run.pk))

    assert (cancelled, cancelled.state) == (run, "CANCELLED")
    customer.refresh_from_db()
    assert customer.state == "SYNCED"


@pytest.mark.parametrize("name", ["runs-retry", "runs-cancel"])
def test_a_run_is_retried_and_cancelled_by_those_who_may_send_its_records(name: str) -> None:
    run = make_run(kind="LISTS")
    others = client_of(make_user("view_syncrun", "push_customer"))
    own = client_of(make_user("view_syncrun", "push_listmembership"))

    assert post(others, name, run.pk).status_code == 403
    assert post(own, name, run.pk).status_code == 202


def test_the_records_of_a_call_are_sent_again(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    call = make_call()
    make_result(call=call, customer=customer)

    run = run_of(post(reader, "calls-resend", call.pk))

    assert (run.kind, run.trigger, in_run(run)) == ("CUSTOMERS", "API", [customer.pk])


def test_the_memberships_of_a_call_are_sent_again(reader: APIClient) -> None:
    membership = make_membership(**SYNCED)
    call = make_call()
    make_result(call=call, customer=membership.customer, membership=membership)

    run = run_of(post(reader, "calls-resend", call.pk))

    assert (run.kind, in_run(run)) == ("LISTS", [membership.pk])


def test_a_call_without_records_is_not_sent_again(reader: APIClient) -> None:
    assert post(reader, "calls-resend", make_call().pk).status_code == 409


# The same request once


def test_the_same_request_with_the_same_key_gets_the_same_run(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    key = {"Idempotency-Key": "7b0e"}

    first = post(reader, "customers-push-many", body={"ids": [customer.pk]}, **key)
    drained = run_of(first)
    Customer.objects.all().delete()  # what it names may be gone by then
    again = post(reader, "customers-push-many", body={"ids": [customer.pk]}, **key)

    assert run_of(again) == drained
    assert SyncRun.objects.count() == 1


def test_another_request_with_the_same_key_is_refused(reader: APIClient) -> None:
    ann, bob = make_customer(**SYNCED), make_customer(**SYNCED)
    run = run_of(post(reader, "customers-push", ann.pk, **{"Idempotency-Key": "k"}))

    for response in (
        post(reader, "customers-push", bob.pk, **{"Idempotency-Key": "k"}),
        post(reader, "customers-push-many", body={"ids": [ann.pk]}, **{"Idempotency-Key": "k"}),
        post(reader, "runs-cancel", run.pk, **{"Idempotency-Key": "k"}),
    ):
        assert response.status_code == 409
        assert response.json()["code"] == "idempotency_key_reused"
    assert SyncRun.objects.get().state == "QUEUED"


def test_a_key_is_its_users_own() -> None:
    customer = make_customer(**SYNCED)
    runs = [
        run_of(
            post(
                client_of(make_user("view_customer", "push_customer")),
                "customers-push",
                customer.pk,
                **{"Idempotency-Key": "k"},
            )
        )
        for _ in range(2)
    ]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 65])
def test_an_impossible_key_is_refused(reader: APIClient, key: str) -> None:
    response = post(reader, "customers-push", make_customer(**SYNCED).pk, **{"Idempotency-Key": key})

    assert named(response) == {"Idempotency-Key"}


def test_every_action_that_makes_a_run_takes_a_key(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    call, customer_list = make_call(), make_list()
    make_result(call=call, customer=customer)
    membership = make_membership(**SYNCED)
    for number, (name, pks, body) in enumerate(
        [
            ("customers-push-many", (), {"ids": [customer.pk]}),
            ("customers-push", (customer.pk,), None),
            ("memberships-push-many", (), {"ids": [membership.pk]}),
            ("memberships-push", (membership.pk,), None),
            ("lists-add", (customer_list.pk,), {"customers": [customer.pk]}),
            ("lists-remove", (customer_list.pk,), {"customers": [customer.pk]}),
            ("runs-retry", (make_run().pk,), None),
            ("calls-resend", (call.pk,), None),
        ]
    ):
        key = {"Idempotency-Key": f"key-{number}"}
        assert run_of(post(reader, name, *pks, body=body, **key)) == run_of(post(reader, name, *pks, body=body, **key))


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_with_one_key_make_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sees the other's run before it makes its own."""
    customer = make_customer(**SYNCED)
    user = make_user(is_superuser=True)
    monkeypatch.setattr("blueshift_sync.api.views._made_before", lambda key: None)

    def ask(_number: int) -> int:
        try:
            return run_of(post(client_of(user), "customers-push", customer.pk, **{"Idempotency-Key": "k"})).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        runs = set(pool.map(ask, range(8)))

    assert len(runs) == 1
    assert SyncRun.objects.count() == 1


# What would be sent


def test_a_rehearsal_tells_exactly_what_is_sent_then(unthrottled: Any, reader: APIClient) -> None:
    customers = [make_customer(attributes={"number": number}, **SYNCED) for number in range(120)]
    excluded = make_customer(state="EXCLUDED", error_code="excluded", error_message="Left out.", due_at=None)
    body = {"ids": [row.pk for row in [*customers, excluded]]}

    told = post(reader, "customers-push-many", body=body, query="?dry_run=true").json()
    assert not unthrottled.requests
    run_of(post(reader, "customers-push-many", body=body))
    drain()

    sent = [(request.method, request.path, request.body) for request in unthrottled.requests]
    planned = [
        (call["method"], call["url"].removeprefix(unthrottled.url), call["request_body"]) for call in told["calls"]
    ]
    assert sorted(sent) == sorted(planned)
    assert [call["record_count"] for call in told["calls"]] == [50, 50, 20]
    assert told["left_out"] == [{"customer": excluded.pk, "membership": None, "reason": "Left out."}]
    assert (told["next"], told["bodies_note"]) == (None, None)


def test_a_rehearsal_of_a_list_change_makes_no_membership(unthrottled: Any, reader: APIClient) -> None:
    unthrottled.create_list(7, source="email")
    customer_list = make_list(list_id=7)
    ann, waiting = make_customer(**SYNCED), make_customer()
    body = {"customers": [ann.pk, waiting.pk]}

    told = post(reader, "lists-add", customer_list.pk, body=body, query="?dry_run=true").json()

    [call] = told["calls"]
    assert call["endpoint"] == "LIST_ADD"
    assert call["records"] == [{"customer": ann.pk, "membership": None}]
    assert json.loads(call["request_body"])["identifier_values"] == [ann.email]
    assert [left["customer"] for left in told["left_out"]] == [waiting.pk]
    assert not ListMembership.objects.exists()
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize(
    "name", ["customers-push-many", "customers-push", "memberships-push", "lists-remove", "runs-retry", "calls-resend"]
)
def test_a_rehearsal_changes_nothing(reader: APIClient, name: str) -> None:
    run, call = make_run(), make_call()
    customer = make_customer(run=run, **FAILED)
    membership = make_membership(customer=customer, run=run, **SYNCED)
    make_result(call=call, customer=customer)
    pks = {"customers": (customer.pk,), "memberships": (membership.pk,), "runs": (run.pk,), "calls": (call.pk,)}
    pks["lists"] = (membership.customer_list.pk,)
    bodies = {"customers-push-many": {"ids": [customer.pk]}, "lists-remove": {"customers": [customer.pk]}}

    def everything() -> list[Any]:
        return [list(model._default_manager.order_by("pk").values()) for model in (Customer, ListMembership, SyncRun)]

    before = everything()
    target = () if name.endswith("many") else pks[name.split("-", maxsplit=1)[0]]
    response = post(
        reader, name, *target, body=bodies.get(name), query="?dry_run=true", **{"Idempotency-Key": "not-used"}
    )

    assert response.status_code == 200
    assert response.json()["calls"] or response.json()["left_out"]
    assert everything() == before


def test_a_long_rehearsal_is_told_in_pages(reader: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.sources.rehearsal.RECORDS_AT_ONCE", 3)
    pks = [make_customer(**SYNCED).pk for _ in range(7)]
    told, address = [], url("customers-push-many") + "?dry_run=true"
    while address:
        page = reader.post(address, {"ids": pks}, format="json").json()
        told += [record["customer"] for call in page["calls"] for record in call["records"]]
        address = page["next"]

    assert told == pks


def test_a_rehearsal_shows_bodies_to_those_who_may_read_them() -> None:
    client = client_of(make_user("view_customer", "push_customer"))

    told = post(client, "customers-push", make_customer(**SYNCED).pk, query="?dry_run=true").json()

    assert told["calls"][0]["request_body"] is None
    assert "blueshift_sync.view_apicall_body" in told["bodies_note"]


def test_a_rehearsal_takes_the_permission_to_send() -> None:
    client = client_of(make_user("view_customer"))

    assert post(client, "customers-push", make_customer().pk, query="?dry_run=true").status_code == 403


def test_a_made_up_place_of_a_rehearsal_is_not_found(reader: APIClient) -> None:
    customer = make_customer()

    assert named(post(reader, "customers-push", customer.pk, query="?dry_run=true&cursor=x"), 404) == {"cursor"}


def test_who_forgets_that_it_is_a_rehearsal_sends_nothing(reader: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blueshift_sync.sources.rehearsal.RECORDS_AT_ONCE", 1)
    body = {"ids": [make_customer(**SYNCED).pk, make_customer(**SYNCED).pk]}
    following = post(reader, "customers-push-many", body=body, query="?dry_run=true").json()["next"]

    refused = reader.post(following.replace("dry_run=true", ""), body, format="json")

    assert named(refused, 404) == {"cursor"}
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize("query", ["?dry_run=maybe", "?dry_run=", "?dry_run=true&dry_run=true", "?state=FAILED"])
def test_nothing_in_the_query_is_passed_over(reader: APIClient, query: str) -> None:
    response = post(reader, "customers-push", make_customer(**SYNCED).pk, query=query)

    assert named(response) == {query[1:].partition("=")[0]}
    assert not SyncRun.objects.exists()


def test_cancelling_cannot_be_rehearsed(reader: APIClient) -> None:
    run = make_run()

    assert named(post(reader, "runs-cancel", run.pk, query="?dry_run=true")) == {"dry_run"}


# Around it


def test_actions_work_where_the_endpoints_are_included_twice(reader: APIClient) -> None:
    customer = make_customer(**SYNCED)
    for namespace, arguments in (("elsewhere", {}), ("outer:inner", {"tenant": "acme"})):
        address = reverse(f"{namespace}:customers-push", kwargs={"pk": customer.pk, **arguments})
        location = reader.post(address)["Location"]

        assert location.startswith("http://testserver" + address.partition("customers/")[0])
        assert reader.get(location).status_code == 200


def test_a_session_needs_a_csrf_token() -> None:
    customer = make_customer(**SYNCED)
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_user(is_superuser=True))

    response = post(client, "customers-push", customer.pk)

    assert response.status_code == 403
    assert "CSRF" in response.json()["detail"]
    assert not SyncRun.objects.exists()


def test_a_run_that_waits_since_long_says_nothing_of_what_was_searched_for(reader: APIClient) -> None:
    run = make_run(scope={"do": "send", "of": [{"where": "ann@example.com"}], "gathering": [], "looked_at": 3})

    shown = reader.get(url("runs-detail", run.pk)).json()["scope"]

    assert shown == {"do": "send", "looked_at": 3}


@pytest.mark.parametrize("pks", [("p" * 300, "p" * 301), ("1", "1:x"), ("é" * 200, "\ud800" * 200)])
def test_the_longest_key_of_a_user_with_the_longest_name_fits(pks: tuple[str, str]) -> None:
    """A site's users may be known by a text of any length, and a colon may be part of it."""

    class Reader:
        def __init__(self, pk: str) -> None:
            self.pk = pk

    keys = []
    for pk, text in zip(pks, ("x" * 64, "x" * 64), strict=True):
        request = Request(APIRequestFactory().post("/", {}, format="json", headers={"Idempotency-Key": text}))
        request.parsers = [parsing.StrictJSONParser()]
        request.user = Reader(pk)
        key = requests.request_key(request)
        assert key is not None
        assert len(key.key) <= SyncRun._meta.get_field("idempotency_key").max_length
        keys.append(key.key)
    assert keys[0] != keys[1]
    make_run(idempotency_key=keys[0]).full_clean()


@pytest.mark.parametrize("name", ["customers-push", "memberships-push", "calls-resend", "runs-retry", "lists-add"])
def test_a_repeated_request_gets_its_run_though_what_it_named_is_gone(reader: APIClient, name: str) -> None:
    customer = make_customer(**FAILED)
    call, run = make_call(), make_run(kind="CUSTOMERS")
    make_result(call=call, customer=customer)
    rows = {"customers": customer, "calls": call, "runs": run, "lists": make_list()}
    row = rows.get(name.partition("-")[0]) or make_membership()
    body = {"customers": [customer.pk]} if name == "lists-add" else None
    address, headers = url(name, row.pk), {"Idempotency-Key": "lost-answer"}
    first = reader.post(address, body, format="json", headers=headers)

    row.delete()

    again = reader.post(address, body, format="json", headers=headers)
    assert (run_of(again), again["Location"]) == (run_of(first), first["Location"])
    assert reader.post(address, body, format="json").status_code == 404


def test_a_login_without_a_user_takes_no_key() -> None:
    """Two such logins would share their keys."""

    class Service:
        is_authenticated = is_active = True

        def has_perm(self, permission: str) -> bool:
            return True

    client = APIClient()
    client.force_authenticate(Service())
    row = make_customer(**SYNCED)

    refused = post(client, "customers-push", row.pk, **{"Idempotency-Key": "a"})

    assert named(refused) == {"Idempotency-Key"}
    assert run_of(post(client, "customers-push", row.pk)).requested_by is None


def test_a_rehearsal_tells_nothing_of_records_that_one_may_not_see() -> None:
    run = make_run(kind="CUSTOMERS")
    make_customer(run=run, **FAILED)
    may_retry = ["view_syncrun", "push_customer", "view_apicall_body"]

    refused = post(client_of(make_user(*may_retry)), "runs-retry", run.pk, query="?dry_run=true")
    told = post(client_of(make_user(*may_retry, "view_customer")), "runs-retry", run.pk, query="?dry_run=true")

    assert refused.status_code == 403
    assert "view_customer" in refused.json()["detail"]
    assert [call["record_count"] for call in told.json()["calls"]] == [1]


def test_a_rehearsal_says_of_who_is_on_the_list_already_that_it_is_so(reader: APIClient) -> None:
    """Even if the customer waits for something."""
    known = fingerprint_of({"is_member": True})
    member = make_membership(customer=make_customer(**FAILED), synced_fingerprint=known, **SYNCED)

    told = post(
        reader,
        "lists-add",
        member.customer_list_id,
        body={"customers": [member.customer_id]},
        query="?dry_run=true",
    ).json()

    assert [left["reason"] for left in told["left_out"]] == [IN_STEP]
