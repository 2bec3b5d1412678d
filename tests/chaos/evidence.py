"""What must be true after the storm, by the simulator's own books and the shop's own rows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Count, F

from blueshift_sync.conf import app_settings
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncRun
from blueshift_sync.testing.process import Request
from project.demo.comparison import OWN_FIELDS, differences, read_account
from tests.chaos.crew import Crew
from tests.chaos.shop import push_failed
from tests.waiting import wait_until


def wait_for_calls(crew: Crew, received: Callable[[], int], *, beyond: int) -> None:
    """Until Blueshift has received more calls than so many, or there is nothing more to be sent by itself."""
    wait_until(lambda: crew.look_after() or received() > beyond or not _on_their_way())


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


def _on_their_way() -> bool:
    """Whether anything is due, now or later; what is parked isn't: it waits for something else to happen."""
    return any(
        model.objects.filter(state__in=["PENDING", "SENDING"], due_at__isnull=False).exists()
        for model in (Customer, ListMembership)
    )


def _waiting() -> bool:
    models = (Customer, ListMembership)
    return any(model.objects.filter(state__in=["PENDING", "SENDING"]).exists() for model in models)


def _books_are_closed() -> bool:
    calls = ApiCall.objects.filter(state=ApiCall.State.OPEN)
    return not calls.exists() and not SyncRun.objects.filter(state__in=SyncRun.OPEN_STATES).exists()


def assert_all_is_well(simulator: Any) -> None:
    """Nothing is lost, nothing is wrong, and all of it is on the record."""
    assert_exact(simulator)
    assert_the_audit_is_complete(simulator)
    assert_the_books_add_up()
    assert_no_record_was_in_two_calls(simulator)


def assert_exact(simulator: Any) -> None:
    """Blueshift holds what the shop says, and what the mirror says, field by field and member by member."""
    assert list(differences(read_account(simulator.url))) == []
    held = {
        customer["customer_id"]: {name: value for name, value in customer.items() if name not in OWN_FIELDS}
        for customer in simulator.customers
    }
    rows = list(Customer.objects.all())
    assert {row.customer_id: row.payload for row in rows} == held
    memberships = list(ListMembership.objects.select_related("customer", "customer_list"))
    lists = simulator.lists
    for customer_list in CustomerList.objects.all():
        there = lists.pop(customer_list.list_id)
        wanted = [row.identifier for row in memberships if row.is_member and row.customer_list == customer_list]
        assert sorted(wanted) == sorted(there["members"])
        assert (customer_list.name, customer_list.identifier_key) == (there["name"], there["source"])
    assert lists == {}
    for row in [*rows, *memberships]:
        assert (row.state, row.synced_version, row.error_code) == ("SYNCED", row.version, ""), row


def assert_the_audit_is_complete(simulator: Any) -> None:
    """Every request that Blueshift received has a call of its own: as it was sent, with the answer that it got.

    What got no answer can only be matched by what was sent; its call must be UNKNOWN. No other call left unanswered.
    """
    received = {request.request_id: request for request in simulator.requests}
    unanswered: Counter[Any] = Counter()
    for call in ApiCall.objects.all():
        if call.request_id:
            request = received.pop(call.request_id)
            assert _as_sent(call) == _as_received(request)
            assert call.status_code == request.status
        elif call.state == ApiCall.State.UNKNOWN:
            unanswered[_as_sent(call)] += 1
        else:
            assert (call.state, call.status_code) == (ApiCall.State.FAILED, None), call
    missing = Counter(_as_received(request) for request in received.values()) - unanswered
    assert list(missing.elements()) == []


def _as_sent(call: ApiCall) -> tuple[str, ...]:
    parts = urlsplit(call.url)
    return call.method, parts.path, parts.query, call.request_body


def _as_received(request: Request) -> tuple[str, ...]:
    return request.method, request.path, request.query, request.body or ""


def assert_the_books_add_up() -> None:
    calls = ApiCall.objects.annotate(kept=Count("results"))
    assert not calls.exclude(kept=F("record_count")).exists()
    for run in SyncRun.objects.all():
        assert run.accepted + run.rejected <= run.total, run
        assert run.calls_made >= run.calls.count(), run


def assert_no_record_was_in_two_calls(simulator: Any) -> None:
    """By the receiver's clock: of two calls with one record, the first was answered before the second arrived.

    Those that took so long that the caller had hung up by then don't count.
    """
    _connect, patience = app_settings().TIMEOUT
    spans: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for request in simulator.requests:
        answered_at = request.answered_at or float("inf")
        if answered_at - request.arrived_at < patience:
            for record in _records(request):
                spans[record].append((request.arrived_at, answered_at))
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
