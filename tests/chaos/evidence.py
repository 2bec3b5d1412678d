"""What must be true after the storm, by the simulator's own books and the shop's own rows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Count, F

from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncRun
from blueshift_sync.testing.process import Request
from project.demo.comparison import OWN_FIELDS, differences, read_account
from tests.chaos.crew import Crew
from tests.chaos.shop import push_failed
from tests.waiting import wait_until


def bring_into_step(crew: Crew, simulator: Any, *, seconds: float = 100) -> tuple[int, int]:
    """The storm is over: faults off, workers alive, sweeps, and the operator sends again what is FAILED.

    Returns how many customers and memberships those were.
    """
    simulator.scenario(faults=[])
    pushed = [0, 0]

    def at_rest() -> bool:
        crew.look_after()
        for kind, count in enumerate(push_failed()):
            pushed[kind] += count
        return not _waiting()

    wait_until(at_rest, seconds=seconds)
    wait_until(lambda: crew.look_after() or _books_are_closed())
    return pushed[0], pushed[1]


def _waiting() -> bool:
    models = (Customer, ListMembership)
    return any(model.objects.filter(state__in=["PENDING", "SENDING"]).exists() for model in models)


def _books_are_closed() -> bool:
    calls = ApiCall.objects.filter(state=ApiCall.State.OPEN)
    return not calls.exists() and not SyncRun.objects.filter(state__in=SyncRun.OPEN_STATES).exists()


def assert_exact(simulator: Any) -> None:
    """Blueshift holds what the shop says, and what the mirror says, field by field and member by member."""
    assert list(differences(read_account(simulator.url))) == []
    held = {
        customer["customer_id"]: {name: value for name, value in customer.items() if name not in OWN_FIELDS}
        for customer in simulator.customers
    }
    rows = list(Customer.objects.all())
    assert {row.customer_id: row.payload for row in rows} == held
    assert {row.state for row in rows} == {"SYNCED"}
    for customer_list in CustomerList.objects.all():
        memberships = customer_list.memberships.filter(is_member=True).select_related("customer", "customer_list")
        wanted = sorted(membership.identifier for membership in memberships)
        assert wanted == sorted(simulator.members(customer_list.list_id))


def assert_the_audit_is_complete(simulator: Any) -> None:
    """Every request that Blueshift received has its call, one by one, and every answered call is as it was."""
    received = Counter(
        _key(request.method, request.path, request.query, request.body) for request in simulator.requests
    )
    calls = list(ApiCall.objects.all())
    audited: Counter[Any] = Counter()
    for call in calls:
        parts = urlsplit(call.url)
        audited[_key(call.method, parts.path, parts.query, call.request_body)] += 1
    assert list((received - audited).elements()) == []
    by_id = {request.request_id: request for request in simulator.requests}
    for call in calls:
        if call.request_id:
            request = by_id.pop(call.request_id)
            assert (request.status, request.body or "") == (call.status_code, call.request_body)
    unanswered = {call.state for call in calls if not call.request_id}
    assert unanswered <= {"UNKNOWN", "FAILED"}


def _key(method: str, path: str, query: str, body: str | None) -> tuple[str, str, str, str]:
    return method, path, query, body or ""


def assert_the_books_add_up() -> None:
    calls = ApiCall.objects.annotate(kept=Count("results"))
    assert not calls.exclude(kept=F("record_count")).exists()
    for run in SyncRun.objects.all():
        assert run.accepted + run.rejected <= run.total, run
        assert run.calls_made >= run.calls.count(), run


def assert_no_record_was_in_two_calls(simulator: Any) -> None:
    """By the receiver's clock: of two calls with one record, the first was answered before the second arrived."""
    spans: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for request in simulator.requests:
        for record in _records(request):
            spans[record].append((request.arrived_at, request.answered_at or float("inf")))
    overlapping = {
        record: span
        for record, found in spans.items()
        for earlier, span in zip(sorted(found), sorted(found)[1:], strict=False)
        if span[0] < earlier[1]
    }
    assert overlapping == {}


def _records(request: Request) -> Iterator[Any]:
    body = json.loads(request.body) if request.body else {}
    for customer in body.get("customers", []):
        yield customer["customer_id"]
    for identifier in body.get("identifier_values", []):
        yield request.path.split("/")[-1], identifier
