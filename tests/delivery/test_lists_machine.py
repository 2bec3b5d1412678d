"""Lists, their members and their troubles in any order, with drains against the simulator: in the end its lists hold
exactly those who should be on them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as bounds
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import Customer, CustomerList, ListMembership, SyncState
from tests.factories import make_customer

State = SyncState.State
PEOPLE = 5
WHO = st.sets(st.integers(0, PEOPLE - 1), min_size=1)
LIST = st.integers(0, 1)
FAULTS: list[dict[str, Any]] = [
    {"fault": "status", "status": 503},
    {"fault": "status", "status": 409},
    {"fault": "reset"},
    {"fault": "reset_after"},
]
ENDPOINTS = ["CUSTOMERS_BULK", "LIST_ADD", "LIST_REMOVE", "LIST_READ", "LIST_CREATE"]


class ListsMachine(RuleBasedStateMachine):
    """One list by e-mail, which exists, and one by customer ID, which is created."""

    simulator: Any
    happened: Counter[str] = Counter()
    events: dict[str, dict[str, st.SearchStrategy[Any]]]

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example._from_testcase = True  # so that the code's own transactions may be durable
        self.example.__enter__()
        self.simulator.reset()
        self.addresses = 0
        self.customers = [make_customer(customer_id=f"c{number}", email=self.address()) for number in range(PEOPLE)]
        self.simulator.create_list(7, name="News", source="email")
        self.lists = [services.take_on_list(7), services.create_list("VIPs", identifier_key="customer_id")]

    def teardown(self) -> None:
        try:
            self.mend()
            self.the_lists_hold_exactly_whom_they_should()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    @initialize(kept_by=st.sampled_from(["customers", "identifiers"]), answer=st.sampled_from(["object", "array"]))
    def begin(self, kept_by: str, answer: str) -> None:
        self.kept_by = kept_by
        self.simulator.scenario(calls_per_second=None, list_members=kept_by, create_list_answer=answer)

    @rule(data=st.data())
    def something_happens(self, data: Any) -> None:
        what = data.draw(st.sampled_from([*self.events, *["add", "remove", "work", "work"] * 3]))
        self.happened[what] += 1
        getattr(self, what)(**{name: data.draw(values, label=name) for name, values in self.events[what].items()})

    # The site

    def add(self, which: int, who: set[int]) -> None:
        services.add_to_list(self.lists[which], [self.customers[number] for number in who])

    def remove(self, which: int, who: set[int]) -> None:
        services.remove_from_list(self.lists[which], [self.customers[number] for number in who])

    def back_and_forth(self, which: int, who: set[int]) -> None:
        for change in (self.add, self.remove, self.add):
            change(which, who)

    def change_email(self, who: int, emptied: bool) -> None:
        self.save(who, email="" if emptied else self.address())

    def change_customer_id(self, who: int) -> None:
        """A new ID is a new customer for Blueshift, who must not share the old one's address."""
        self.addresses += 1
        self.save(who, customer_id=f"c{who}-{self.addresses}", email=self.address())

    def swap(self, one: int, other: int) -> None:
        """Only where Blueshift keeps members by their identifiers: else it goes by whom it knows at that moment."""
        if self.kept_by == "identifiers":
            emails = [Customer.objects.get(pk=self.customers[who].pk).email for who in (one, other)]
            self.save(one, email=emails[1])
            self.save(other, email=emails[0])

    def save(self, who: int, **columns: Any) -> None:
        customer = Customer.objects.get(pk=self.customers[who].pk)
        for name, value in columns.items():
            setattr(customer, name, value)
        services.save_edited(customer)

    def address(self) -> str:
        self.addresses += 1
        return f"person-{self.addresses}@example.com"

    # Blueshift

    def fail(self, endpoint: str, fault: dict[str, Any]) -> None:
        self.simulator.fail(**fault, endpoint=endpoint, next=1)

    def refuse_customer(self, who: int) -> None:
        customer_id = Customer.objects.get(pk=self.customers[who].pk).customer_id
        self.simulator.fail("reject", customers=customer_id, next=1)

    def trouble(self, which: int, status: str) -> None:
        if number := self.number_of(which):
            self.change_in_blueshift(which, number, status=status)

    def change_in_blueshift(self, which: int, number: int, status: str = "active", wrong_source: bool = False) -> None:
        sources = ["email", "customer_id"]
        name = self.simulator.lists[number]["name"]
        self.simulator.create_list(number, name=name, source=sources[which ^ wrong_source], status=status)

    # The operator and the workers

    def set_mode(self, which: int, mode: str) -> None:
        CustomerList.objects.filter(pk=self.lists[which].pk).update(mode=mode)

    def read(self, which: int) -> None:
        if self.number_of(which):
            services.read_list(self.lists[which])

    def try_again(self, which: int) -> None:
        services.try_list_again(self.lists[which])

    def send(self, which: int) -> None:
        services.send_list(self.lists[which])

    def work(self) -> None:
        for model in (Customer, ListMembership):
            model.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
        drain()

    def sweep(self) -> None:
        sweep()

    def number_of(self, which: int) -> int | None:
        self.lists[which].refresh_from_db()
        return self.lists[which].list_id

    # The end

    def mend(self) -> None:
        """Everything that was wrong is put right, and the work is done."""
        self.simulator.scenario(faults=[])
        for which, customer_list in enumerate(self.lists):
            drain()
            if number := self.number_of(which):
                self.change_in_blueshift(which, number)
            if customer_list.has_stopped:
                self.happened["stopped"] += 1
                if number is None:  # made by a call without an answer: the operator enters its number
                    number = next(n for n, found in self.simulator.lists.items() if found["name"] == "VIPs")
                    CustomerList.objects.filter(pk=customer_list.pk).update(list_id=number)
                services.try_list_again(customer_list)
        for _ in range(3):
            sweep()
            self.work()
            for model in (Customer, ListMembership):
                failed = model.objects.filter(state=State.FAILED)
                services.push(failed.exclude(error_code="identifier_missing"))
        self.work()

    def the_lists_hold_exactly_whom_they_should(self) -> None:
        told = list(ListMembership.objects.values_list("state", "error_code", "is_member"))
        assert {state for state, code, _is_member in told if code != "identifier_missing"} <= {State.SYNCED}, told
        for which in (0, 1):
            number = self.number_of(which)
            assert number is not None
            rows = self.lists[which].memberships.filter(is_member=True).select_related("customer", "customer_list")
            wanted = sorted(row.identifier for row in rows if row.identifier)
            assert sorted(self.simulator.members(number)) == wanted
            self.happened["members"] += len(wanted)


ListsMachine.events = {
    "add": {"which": LIST, "who": WHO},
    "remove": {"which": LIST, "who": WHO},
    "back_and_forth": {"which": LIST, "who": WHO},
    "change_email": {"who": st.integers(0, PEOPLE - 1), "emptied": st.sampled_from([False, False, True])},
    "change_customer_id": {"who": st.integers(0, PEOPLE - 1)},
    "swap": {"one": st.integers(0, PEOPLE - 1), "other": st.integers(0, PEOPLE - 1)},
    "fail": {"endpoint": st.sampled_from(ENDPOINTS), "fault": st.sampled_from(FAULTS)},
    "refuse_customer": {"who": st.integers(0, PEOPLE - 1)},
    "trouble": {"which": LIST, "status": st.sampled_from(["deleted", "old", "active"])},
    "set_mode": {"which": LIST, "mode": st.sampled_from(["sync", "async", ""])},
    "read": {"which": LIST},
    "try_again": {"which": LIST},
    "send": {"which": LIST},
    "work": {},
    "sweep": {},
}


@pytest.mark.django_db
def test_whatever_happens_the_lists_end_with_exactly_their_members(settings: Any, blueshift: Any) -> None:
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
        "TIMEOUT": (1, 2),
    }
    ListsMachine.simulator = blueshift
    ListsMachine.happened.clear()
    run_state_machine_as_test(ListsMachine, settings=BOUNDS)
    happened = ListsMachine.happened
    assert {name for name in [*ListsMachine.events, "stopped"] if happened[name] < 2} == set(), happened
    assert happened["members"] > 20, happened


BOUNDS = bounds(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
