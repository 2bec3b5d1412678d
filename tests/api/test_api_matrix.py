"""Who gets in: each kind of user, at each address that there is, with each method. A new address needs a line here."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import Permission, User

from blueshift_sync.models import SyncRun
from tests.api.helpers import ADDRESSES, Address, client_of, make_user
from tests.factories import make_call, make_customer, make_list, make_membership, make_result, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

METHODS = ["get", "head", "post", "put", "patch", "delete", "options", "trace"]
READ = {"get": 200, "head": 200}
SENT = {"post": 202}
CUSTOMERS, LISTS, MEMBERSHIPS = "view_customer", "view_customerlist", "view_listmembership"
PUSH_LIST = "push_listmembership"


class Expected(NamedTuple):
    """What a user needs, by the names of permissions, and what each method answers to who has it."""

    needed: set[str]
    answers: dict[str, int]
    body: dict[str, Any] | None = None
    more: dict[str, str] = {}

    def needed_for(self, method: str) -> set[str]:
        """What this method takes on top is asked for where the address has it."""
        return self.needed | ({self.more[method]} if method in self.more else set())


NOBODY_ELSE = dict.fromkeys(METHODS, 404)
TO_LISTS = {LISTS, CUSTOMERS, PUSH_LIST, "add_listmembership", "change_listmembership"}
EXPECTED = {
    "customers-list": Expected({CUSTOMERS}, READ),
    "customers-detail": Expected({CUSTOMERS}, READ),
    "customers-push-many": Expected({CUSTOMERS, "push_customer"}, SENT, {"ids": [0]}),
    "customers-push": Expected({CUSTOMERS, "push_customer"}, SENT),
    "lists-list": Expected({LISTS}, {**READ, "post": 201}, {}, {"post": "add_customerlist"}),
    "lists-detail": Expected({LISTS}, READ),
    "lists-try-again": Expected({LISTS, PUSH_LIST}, SENT),
    "lists-add": Expected(TO_LISTS, SENT, {"customers": [0]}),
    "lists-remove": Expected(TO_LISTS, SENT, {"customers": [0]}),
    "memberships-list": Expected({MEMBERSHIPS}, READ),
    "memberships-detail": Expected({MEMBERSHIPS}, READ),
    "memberships-push-many": Expected({MEMBERSHIPS, PUSH_LIST}, SENT, {"ids": [0]}),
    "memberships-push": Expected({MEMBERSHIPS, PUSH_LIST}, SENT),
    "runs-list": Expected({"view_syncrun"}, READ),
    "runs-detail": Expected({"view_syncrun"}, READ),
    "runs-retry": Expected({"view_syncrun", "push_customer"}, SENT),
    "runs-cancel": Expected({"view_syncrun", "push_customer"}, SENT),
    "calls-list": Expected({"view_apicall"}, READ),
    "calls-detail": Expected({"view_apicall"}, READ),
    "calls-resend": Expected({"view_apicall", "resend_apicall"}, SENT),
    "results-list": Expected({"view_recordresult"}, READ),
    "results-detail": Expected({"view_recordresult"}, READ),
    "status": Expected({CUSTOMERS}, READ),
    "metrics": Expected({CUSTOMERS}, READ),
    "schema": Expected(set(), READ),
    "nothing-here": Expected(set(), NOBODY_ELSE),
}
#: What those who may only look are told last: the permission to send a run's records depends on the run.
ASKED_OF_THE_ROW = {"runs-retry", "runs-cancel"}

VIEW = {name for expected in EXPECTED.values() for name in expected.needed if name.startswith("view_")}
OPERATE = {name for expected in EXPECTED.values() for method in METHODS for name in expected.needed_for(method)}
ROLES: dict[str, set[str] | None] = {"anonymous": None, "no permission": set(), "view": VIEW, "operator": OPERATE}
EVERY_ADDRESS = pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)


def user_of(role: str) -> User | None:
    if role == "superuser":
        return make_user(is_superuser=True)
    permissions = ROLES[role]
    return None if permissions is None else make_user(*permissions)


def ask(user: Any, address: Address, method: str) -> Any:
    """With rows of every kind, so that each address has one to be about."""
    customer, customer_list, run, call = make_customer(), make_list(), make_run(kind="CUSTOMERS"), make_call()
    result = make_result(call=call, customer=customer)
    membership = make_membership(customer=customer, customer_list=customer_list)
    rows = {"customers": customer, "lists": customer_list, "memberships": membership, "runs": run, "calls": call}
    about = {**rows, "results": result}.get(address.name.split("-")[0], customer)
    named = membership if address.name.startswith("memberships") else customer
    body = EXPECTED[address.name].body
    filled = {name: [named.pk] for name in body} if body else None
    if address.name == "lists-list":
        filled = {"list_id": 1_000_000 + SyncRun.objects.count()}
    return (
        getattr(client_of(user), method)(address.url(about.pk), filled, format="json")
        if (method == "post")
        else client_of(user).generic(method.upper(), address.url(about.pk))
    )


def test_every_address_has_its_line() -> None:
    assert {address.name for address in ADDRESSES} == EXPECTED.keys()


@EVERY_ADDRESS
def test_every_method_of_an_address_is_in_its_line(address: Address) -> None:
    answers = {method for method, status in EXPECTED[address.name].answers.items() if status < 300}
    assert address.methods - {"head", "options"} == answers - {"head"}


@EVERY_ADDRESS
@pytest.mark.parametrize("role", [*ROLES, "superuser"])
def test_each_user_gets_what_they_may(address: Address, role: str) -> None:
    expected = EXPECTED[address.name]
    user = user_of(role)
    granted = OPERATE if role == "superuser" else ROLES[role]
    for method in METHODS:
        response = ask(user, address, method)
        if granted is None:
            assert response.status_code in {401, 403}, method
        elif not expected.needed_for(method) <= granted:
            before = expected.needed - {"push_customer"} if address.name in ASKED_OF_THE_ROW else expected.needed
            asked_first = before <= granted and method not in expected.answers
            assert response.status_code == (405 if asked_first else 403), method
        else:
            assert response.status_code == expected.answers.get(method, 405), (method, response.content)


@EVERY_ADDRESS
def test_each_permission_is_needed(address: Address) -> None:
    expected = EXPECTED[address.name]
    for method, status in expected.answers.items():
        for missing in expected.needed_for(method):
            others = Permission.objects.exclude(codename=missing).values_list("codename", flat=True)
            response = ask(make_user(*others), address, method)
            any_will_do = address.name in {"status", "metrics"}
            assert response.status_code == (status if any_will_do else 403), (missing, method)


@EVERY_ADDRESS
def test_what_one_may_not_see_is_refused_alike_whether_it_is_there(address: Address) -> None:
    """Without leave to look, no answer tells which rows there are."""
    if "pk" not in address.takes:
        return
    customer = make_customer()
    for user in (None, make_user()):
        for method in METHODS:
            answers = {
                (response.status_code, response.content)
                for pk in (customer.pk, 999_999)
                for response in [client_of(user).generic(method.upper(), address.url(pk))]
            }
            assert len(answers) == 1, method


@EVERY_ADDRESS
@pytest.mark.parametrize("user", ["anonymous", "no permission", "superuser"])
def test_every_refusal_is_a_problem_with_a_sentence(address: Address, user: str, settings: Any) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": "tests.api.test_api_matrix.handler_of_the_site"}
    for method in set(METHODS) - {"head"}:
        response = ask(user_of(user), address, method)
        if response.status_code < 400:
            continue
        assert response["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["type"] == "about:blank"
        assert problem["title"]
        assert problem["code"]
        assert problem["detail"].endswith(".")


def handler_of_the_site(error: Exception, context: Any) -> Any:
    raise AssertionError("The site's handler isn't asked.")
