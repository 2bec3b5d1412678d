"""Making a list but once, telling what that would send, and having a list tried again that has stopped."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from blueshift_sync import services
from blueshift_sync.delivery import asking
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.idempotency import RequestKey
from blueshift_sync.models import ApiCall, CustomerList, SyncRun
from tests.api.helpers import client_of, make_user
from tests.factories import make_customer, make_list

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CREATE: dict[str, Any] = {"name": "Spring sale", "identifier_key": "customer_id", "description": "Of 2027"}
KEY = {"Idempotency-Key": "7b0e"}


def post(client: APIClient, name: str, *pks: int, body: Any = None, query: str = "", **headers: str) -> Any:
    return client.post(reverse(f"blueshift_sync:{name}", args=pks) + query, body, format="json", headers=headers)


def stopped(**fields: Any) -> CustomerList:
    return make_list(stopped_at=timezone.now(), error_code="list_deleted", status="DELETED", **fields)


# Making one


@pytest.mark.parametrize("body", [CREATE, {"list_id": 35871}])
def test_the_same_request_with_the_same_key_makes_one_list(reader: APIClient, body: dict[str, Any]) -> None:
    first, again = (post(reader, "lists-list", body=body, **KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.json(), first["Location"]) == (again.json(), again["Location"])
    assert CustomerList.objects.count() == 1
    assert "idempotency_key" not in first.json()


def test_the_answer_is_the_same_once_the_list_is_there(unthrottled: Any, reader: APIClient) -> None:
    made = post(reader, "lists-list", body=CREATE, **KEY).json()["id"]
    drain()
    again = post(reader, "lists-list", body=CREATE, **KEY).json()
    assert (again["id"], again["is_ready"], len(unthrottled.lists)) == (made, True, 1)


def test_another_request_with_the_same_key_is_refused(reader: APIClient) -> None:
    post(reader, "lists-list", body=CREATE, **KEY)
    customer = make_customer(state="SYNCED", due_at=None)
    refused = [
        post(reader, "lists-list", body={"name": "Autumn sale"}, **KEY),
        post(reader, "lists-list", body={"list_id": 35871}, **KEY),
        post(reader, "customers-push", customer.pk, **KEY),
    ]
    other = {"Idempotency-Key": "of-a-run"}
    assert post(reader, "customers-push", customer.pk, **other).status_code == 202
    refused.append(post(reader, "lists-list", body={"name": "Autumn sale"}, **other))
    assert {(response.status_code, response.json()["code"]) for response in refused} == {
        (409, "idempotency_key_reused")
    }
    assert (CustomerList.objects.count(), SyncRun.objects.count()) == (1, 1)


def test_a_key_is_its_users_own() -> None:
    users = [make_user("view_customerlist", "add_customerlist") for _ in range(2)]
    made = [post(client_of(user), "lists-list", body={"list_id": 7 + n}, **KEY) for n, user in enumerate(users)]
    assert [response.status_code for response in made] == [201, 201]


@pytest.mark.parametrize("key", ["", "with space", "x" * 65])
def test_an_impossible_key_is_refused(reader: APIClient, key: str) -> None:
    response = post(reader, "lists-list", body=CREATE, **{"Idempotency-Key": key})
    assert (response.status_code, set(response.json()["errors"])) == (400, {"Idempotency-Key"})
    assert not CustomerList.objects.exists()


def test_somebody_makes_it_with_the_same_key_at_that_moment(reader: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make = asking._make

    def after_another(asked_as: Any, **columns: Any) -> CustomerList:
        make(asked_as, **columns)
        return make(asked_as, **columns)

    monkeypatch.setattr(asking, "_make", after_another)
    assert post(reader, "lists-list", body=CREATE, **KEY).status_code == 201
    assert CustomerList.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_with_one_key_make_one_list() -> None:
    user = make_user("view_customerlist", "add_customerlist")

    def ask(_number: int) -> tuple[int, Any]:
        try:
            response = post(client_of(user), "lists-list", body={"list_id": 7}, **KEY)
            return response.status_code, response.json().get("id")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(ask, range(8)))
    assert answers == {(201, CustomerList.objects.get().pk)}


def test_a_rehearsal_tells_the_very_call_and_makes_nothing(unthrottled: Any, reader: APIClient) -> None:
    told = post(reader, "lists-list", body=CREATE, query="?dry_run=true", **KEY)
    assert told.status_code == 200, told.content
    assert not CustomerList.objects.exists()
    post(reader, "lists-list", body=CREATE, **KEY)
    drain()
    [call] = told.json()["calls"]
    made = ApiCall.objects.get()
    assert (call["endpoint"], call["method"], call["url"]) == (made.endpoint, made.method, made.url)
    assert json.loads(call["request_body"]) == json.loads(made.request_body)
    assert (call["records"], told.json()["left_out"], told.json()["next"]) == ([], [], None)


def test_a_rehearsal_of_taking_one_on_tells_that_it_is_read(reader: APIClient) -> None:
    [call] = post(reader, "lists-list", body={"list_id": 35871}, query="?dry_run=true").json()["calls"]
    assert (call["endpoint"], "35871" in call["url"]) == ("LIST_READ", True)
    assert not CustomerList.objects.exists()


def test_what_would_be_refused_a_rehearsal_refuses(reader: APIClient) -> None:
    there = make_list()
    refused = post(reader, "lists-list", body={"list_id": there.list_id}, query="?dry_run=true")
    assert (refused.status_code, "is there already" in refused.json()["detail"]) == (409, True)
    assert post(reader, "lists-list", body=CREATE, query="?dry_run=perhaps").status_code == 400
    assert (
        post(reader, "lists-list", body=CREATE, query="?dry_run=true", **{"Idempotency-Key": "a key"}).status_code
        == 400
    )
    assert post(reader, "lists-list", body=CREATE, query="?cursor=x").status_code == 400


# Trying one again


def test_a_stopped_list_is_tried_again(unthrottled: Any) -> None:
    unthrottled.create_list(7, name="News")
    news = stopped(list_id=7)
    client = client_of(make_user("view_customerlist", "push_listmembership"))
    response = post(client, "lists-try-again", news.pk)
    assert (response.status_code, response["Location"]) == (
        202,
        f"http://testserver{reverse('blueshift_sync:lists-detail', args=[news.pk])}",
    )
    assert (response.json()["status"], response.json()["stopped_at"]) == ("ACTIVE", None)
    drain()
    assert client.get(response["Location"]).json()["is_ready"]


def test_repeated_it_does_nothing_more(reader: APIClient) -> None:
    news = stopped()
    post(reader, "lists-try-again", news.pk)
    CustomerList.objects.update(read_due_at=None)
    assert post(reader, "lists-try-again", news.pk).status_code == 202
    news.refresh_from_db()
    assert (news.has_stopped, news.read_due_at) == (False, None)


@pytest.mark.parametrize("missing", ["view_customerlist", "push_listmembership"])
def test_each_permission_is_needed_to_try_one_again(missing: str) -> None:
    news = stopped()
    client = client_of(make_user(*{"view_customerlist", "push_listmembership"} - {missing}))
    response = post(client, "lists-try-again", news.pk)
    assert (response.status_code, f"blueshift_sync.{missing}" in response.json()["detail"]) == (403, True)
    assert CustomerList.objects.get().has_stopped


def test_it_takes_no_body_no_key_and_no_rehearsal(reader: APIClient) -> None:
    news = stopped()
    for options in ({"body": {"a": 1}}, KEY, {"query": "?dry_run=true"}):
        assert post(reader, "lists-try-again", news.pk, **options).status_code == 400
    assert post(reader, "lists-try-again", news.pk + 1).status_code == 404
    news.refresh_from_db()
    assert news.has_stopped


def test_the_service_takes_a_key_too() -> None:
    key = RequestKey("1:k", "digest")
    assert services.create_list("VIPs", asked_as=key) == services.create_list("VIPs", asked_as=key)
