"""Who customers are is told to nobody who may not view customers: in no answer, and by no filter."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from blueshift_sync.models import CustomerRemoval
from tests.api.helpers import ADDRESSES, ENDPOINTS, Address, Endpoint, client_of, make_user
from tests.factories import make_call, make_customer, make_list, make_membership, make_removal, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

#: In everything that names the customer, and nowhere else.
WORD = "sesame"
ADDRESS = f"{WORD}@example.com"
#: These are what it takes to see who somebody is.
NAMING = {"view_customer", "view_customerremoval", "view_apicall_body"}


@pytest.fixture
def rows(db: None) -> dict[str, Any]:
    """One row for each endpoint, all about one customer of whom everything went wrong."""
    said = {"error_message": f"{ADDRESS} is no address.", "due_at": None}
    customer = make_customer(
        customer_id=WORD, email=ADDRESS, firstname=WORD, lastname=WORD, attributes={"word": WORD}, **said
    )
    run = make_run(kind="LISTS", requested_by=make_user())
    customer_list = make_list()
    membership = make_membership(
        customer=customer,
        customer_list=customer_list,
        run=run,
        state="FAILED",
        error_code="source_error",
        synced_identifier=ADDRESS,
        **said,
    )
    call = make_call(run=run, customer_list=customer_list, error=f"Nobody knows “{ADDRESS}”.", request_body=ADDRESS)
    result = make_result(
        call=call,
        customer=customer,
        membership=membership,
        identifier=ADDRESS,
        outcome="REJECTED",
        message=f"{WORD} isn't known.",
        details={"email": ADDRESS},
    )
    make_removal(customer=customer, identifier=WORD, run=run)
    return {
        "customers": customer,
        "lists": customer_list,
        "memberships": membership,
        "runs": run,
        "calls": call,
        "results": result,
    }


def all_but(*codenames: str) -> User:
    granted = Permission.objects.filter(content_type__app_label="blueshift_sync").exclude(codename__in=codenames)
    return make_user(*granted.values_list("codename", flat=True))


@pytest.fixture
def stranger(db: None) -> APIClient:
    """May do everything but see who somebody is."""
    return client_of(all_but(*NAMING))


def asked(client: APIClient, address: Address, rows: dict[str, Any]) -> Any:
    """Each method of the address, actions as a rehearsal first."""
    row = rows.get(address.name.partition("-")[0], rows["customers"])
    url = address.url(row.pk)
    yield client.get(url)
    for query in ("?dry_run=true", ""):
        for body in ({}, {"ids": [row.pk]}, {"customers": [rows["customers"].pk]}):
            yield client.post(url + query, body, format="json")


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_no_answer_names_a_customer(address: Address, rows: dict[str, Any], stranger: APIClient) -> None:
    for response in asked(stranger, address, rows):
        assert WORD not in response.content.decode(), response.content


def test_a_user_who_may_view_customers_is_told(rows: dict[str, Any]) -> None:
    """Or the test above would find nothing for another reason."""
    client = client_of(all_but("view_apicall_body"))
    told = []
    for address in ADDRESSES:
        row = rows.get(address.name.partition("-")[0], rows["customers"])
        if "get" in address.methods and WORD in client.get(address.url(row.pk)).content.decode():
            told.append(address.name)
    assert told == [
        f"{name}-{kind}" for name in ("customers", "memberships", "calls", "results") for kind in ("list", "detail")
    ]


def test_a_rehearsal_says_why_to_who_may_view_customers_only(rows: dict[str, Any], stranger: APIClient) -> None:
    push = f"/some/prefix/memberships/{rows['memberships'].pk}/push/?dry_run=true"

    [hidden] = stranger.post(push).json()["left_out"]
    [told] = client_of(all_but()).post(push).json()["left_out"]

    assert "view_customer" in hidden["reason"]
    assert ADDRESS in told["reason"]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_no_filter_tells_whether_somebody_is_there(
    endpoint: Endpoint, rows: dict[str, Any], stranger: APIClient
) -> None:
    for name in endpoint.view.filterset_class.base_filters:
        for word in (WORD, ADDRESS):
            there = stranger.get(endpoint.list_url, {name: word})
            not_there = stranger.get(endpoint.list_url, {name: "x" * len(word)})
            assert there.status_code == not_there.status_code, name
            assert there.content.decode().replace(word, "x" * len(word)) == not_there.content.decode(), name


def test_removals_are_told_of_to_who_may_see_them_only(rows: dict[str, Any]) -> None:
    """A retry of a run may be one of removals: its rehearsal names them."""
    CustomerRemoval.objects.update(state="FAILED", due_at=None)
    run = make_run(kind="CUSTOMERS")
    CustomerRemoval.objects.update(run=run)
    retry = f"/some/prefix/runs/{run.pk}/retry/?dry_run=true"

    assert client_of(all_but("view_customerremoval")).post(retry).status_code == 403
    assert client_of(all_but()).post(retry).status_code == 200
