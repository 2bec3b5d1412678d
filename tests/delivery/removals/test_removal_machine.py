"""Removals in whatever order with all else: asked for, approved, cancelled, retried, sent, lost, late, and customers
who come back meanwhile.

The machine of the delivery, in which objects are deleted on the site and made again. A removal can't be undone: none
may reach Blueshift while its customer is there, or without the yes that it needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings as bounds
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, run_state_machine_as_test

from blueshift_sync import services
from blueshift_sync.client import CallOutcome, RecordOutcome
from blueshift_sync.delivery import removal_guards
from blueshift_sync.delivery.claim import release
from blueshift_sync.delivery.memberships import memberships_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.removals import claim_removals, removal_batch
from blueshift_sync.models import Customer, CustomerRemoval, ListMembership
from blueshift_sync.sources.customers import _detach
from tests.delivery.one_call import claim_memberships
from tests.delivery.test_state_machine import (
    BOUNDS,
    EVENTS,
    FAILURES,
    RECORD_OUTCOMES,
    DeliveryMachine,
    Flight,
    State,
)

MANY = 2
#: Those of the machine's customers who have an ID of their own.
WITH_ID = st.integers(0, 2)


class RemovalMachine(DeliveryMachine):
    happened: Counter[str] = Counter()
    models = (Customer, ListMembership, CustomerRemoval)

    def __init__(self) -> None:
        super().__init__()
        #: The customers whose objects are deleted.
        self.gone: set[int] = set()
        #: The removals that Blueshift has carried out.
        self.done: set[int] = set()
        for pk in self.customers:
            Customer.objects.filter(pk=pk).update(source_type="site.person", source_id=str(pk))

    @initialize()
    def begin(self) -> None:
        """Who was never in Blueshift needs no removal."""
        self.work_off_the_backlog()

    # The site

    def delete(self, who: int) -> None:
        customer = Customer.objects.get(pk=self.customers[who])
        if customer.pk not in self.gone:
            before = CustomerRemoval.objects.count()
            _detach([customer], "default")
            self.gone.add(customer.pk)
            self.withdrawn.discard(customer.pk)
            self.happened["asked"] += CustomerRemoval.objects.count() - before

    def make_again(self, who: int) -> None:
        customer = Customer.objects.get(pk=self.customers[who])
        if customer.pk in self.gone:
            self.gone.remove(customer.pk)
            customer.source_id = str(customer.pk)
            self.save(customer)
            removals = CustomerRemoval.objects.filter(customer=customer)
            self.happened["came back"] += removals.filter(state__in=[State.PENDING, State.SENDING]).exists()

    def save(self, customer: Customer, error_code: str = "") -> None:
        if customer.pk not in self.gone:  # else there is no object to be saved
            super().save(customer, error_code)

    def withdraw(self, who: int, withdrawn: bool) -> None:
        if self.customers[who] not in self.gone:
            super().withdraw(who, withdrawn)

    def change_membership(self, which: int, is_member: bool) -> None:
        membership = ListMembership.objects.get(pk=self.memberships[which])
        if membership.customer_id not in self.gone:
            super().change_membership(which, is_member)

    def delete_all(self, approved: bool) -> None:
        """More at once than are removed without somebody's yes."""
        for who in range(MANY + 1):
            self.delete(who)
        self.take_off_the_lists()
        self.time_passes()
        for claim in claim_removals(self.run_for_changes, 3):  # parks them
            release(CustomerRemoval, claim)
        if approved:
            self.approve()

    # The operator

    def approve(self) -> None:
        self.happened["approved"] += services.approve_removals(CustomerRemoval.objects.all()).total

    def cancel_removals(self, who: int) -> None:
        theirs = CustomerRemoval.objects.filter(customer=self.customers[who])
        self.happened["cancelled"] += services.cancel_removals(theirs).scope["changed"]

    def retry_removals(self) -> None:
        self.happened["retried"] += services.retry_removals(CustomerRemoval.objects.all()).total

    # The workers

    def claim(self, customers: bool, opened: bool) -> None:
        super().claim(customers, opened)
        for flight in self.flights:
            if flight.batch.model is Customer and not flight.lease_is_over and flight.call is None:
                carried = {record.pk for record in flight.batch.records}
                deleted_since = set(Customer.objects.filter(error_code="source_deleted").values_list("pk", flat=True))
                assert not (self.gone - deleted_since) & carried, "A deleted customer is sent."

    def claim_removal(
        self, *, lists_first: bool, how: str, outcome: RecordOutcome, takes_effect: bool, tried_again: bool
    ) -> None:
        """A removal is claimed and left at that, or its flight goes on as `how` says."""
        if lists_first:
            self.take_off_the_lists()
        self.time_passes()
        claims = claim_removals(self.run_for_changes, 3)
        for removal in [removal for claim in claims for removal in claim.records]:
            assert removal.customer_id in self.gone, "A customer is removed who came back."
            assert removal.decided_at is not None or self.undecided() <= MANY, "Nobody has said yes."
        for claim in claims:
            flight = Flight(removal_batch(claim))
            self.flights.append(flight)
            self.happened["removal claimed"] += 1
            if how != "wait" and self.open(flight):
                self.go_on(
                    len(self.flights) - 1, how=how, takes_effect=takes_effect, outcomes=[outcome], blames_records=True
                )
            if flight in self.flights and flight.answer is not None and outcome != RecordOutcome.RETRY:
                self.settle_now(flight)
        if tried_again:
            self.retry_removals()

    def remove(self, who: int, how: str) -> None:
        """One removal all the way, or as far as `how` says."""
        self.delete(who)
        self.claim_removal(
            lists_first=True, how=how, outcome=RecordOutcome.ACCEPTED, takes_effect=True, tried_again=False
        )

    def take_off_the_lists(self) -> None:
        self.time_passes()
        while claim := claim_memberships(self.run_for_changes):
            flight = Flight(memberships_batch(claim))
            self.flights.append(flight)
            self.deliver(flight)

    def undecided(self) -> int:
        return CustomerRemoval.objects.filter(decided_at=None).exclude(state=State.EXCLUDED).count()

    def crash(self, flight: Flight) -> None:
        super().crash(flight)
        self.happened["removal crashed"] += flight.batch.model is CustomerRemoval

    def settle_now(self, flight: Flight, *, blames_records: bool = True) -> None:
        assert flight.answer is not None
        if flight.batch.model is CustomerRemoval and flight.answer.records[0].outcome == RecordOutcome.ACCEPTED:
            self.done.update(record.pk for record in flight.batch.records)
            self.happened["removed"] += 1
        super().settle_now(flight, blames_records=blames_records)

    def stand_still_while_others_go_on(self, late: Flight) -> None:
        if late.batch.model is CustomerRemoval:
            self.bring_back_whom_it_removes(late)
        super().stand_still_while_others_go_on(late)

    def bring_back_whom_it_removes(self, late: Flight) -> None:
        """So that the late removal reaches Blueshift after the call that made the customer again."""
        self.happened["late removal"] += 1
        self.end_lease(late)
        recover_expired_claims()
        [removal] = late.batch.records
        self.make_again(self.customers.index(removal.customer_id))

    # What must hold at every moment

    def shows_in_blueshift(self, row: Any) -> bool:
        """Memberships of a deleted customer don't: taken off under an address that Blueshift may have forgotten, it
        is its own removal that takes it off every list."""
        if isinstance(row, ListMembership):
            return row.customer_id not in self.gone
        return not isinstance(row, CustomerRemoval) and super().shows_in_blueshift(row)

    @invariant()
    def no_customer_is_sent_and_removed_at_once(self) -> None:
        alive = [flight for flight in self.flights if not flight.lease_is_over]
        removed = {flight.batch.records[0].customer_id for flight in alive if flight.batch.model is CustomerRemoval}
        sent = {record.pk for flight in alive if flight.batch.model is Customer for record in flight.batch.records}
        assert not removed & sent

    @invariant()
    def nobody_is_said_to_be_removed_who_is_not(self) -> None:
        for removal in CustomerRemoval.objects.filter(state=State.SYNCED):
            assert removal.pk in self.done

    @invariant()
    def who_is_removed_stays_so(self) -> None:
        """Unless a call is still on its way that may have brought it back: then the removal goes again."""
        for pk in self.gone:
            last = CustomerRemoval.objects.filter(customer=pk).order_by("pk").last()
            if last is not None and last.state == State.SYNCED:
                assert Customer.objects.get(pk=pk).customer_id not in self.store.customers

    # The end

    def next_flights(self) -> Iterator[Flight]:
        yield from super().next_flights()
        services.approve_removals(CustomerRemoval.objects.all())
        for claim in claim_removals(self.run_for_changes, 20):
            self.flights.append(Flight(removal_batch(claim)))
            yield self.flights[-1]

    def nothing_is_left_and_blueshift_holds_the_mirror(self) -> None:
        super().nothing_is_left_and_blueshift_holds_the_mirror()
        assert not CustomerRemoval.objects.filter(state__in=[State.PENDING, State.SENDING]).exists()
        self.nobody_is_said_to_be_removed_who_is_not()
        self.who_is_removed_stays_so()


RemovalMachine.events = {
    **EVENTS,
    "delete": {"who": WITH_ID},
    "delete_all": {"approved": st.booleans()},
    "make_again": {"who": WITH_ID},
    "approve": {},
    "cancel_removals": {"who": WITH_ID},
    "retry_removals": {},
    "claim_removal": {
        "lists_first": st.sampled_from([True, True, False]),
        "how": st.sampled_from(["wait", *["well", "well", "late", "crash"] * 3, *FAILURES]),
        "outcome": st.sampled_from([RecordOutcome.ACCEPTED, *RECORD_OUTCOMES, RecordOutcome.REJECTED]),
        "takes_effect": st.booleans(),
        "tried_again": st.booleans(),
    },
    "remove": {"who": WITH_ID, "how": st.sampled_from(["well", "late", "crash", CallOutcome.NO_ANSWER])},
}
RemovalMachine.often = [
    *RemovalMachine.events,
    *["claim_removal", "remove", "go_on"] * 6,
    *["claim", "delete", "delete_all", "make_again", "retry_removals", "approve", "cancel_removals"] * 3,
]


@pytest.mark.django_db
def test_no_order_of_events_removes_the_wrong_customer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_guards, "MANY", MANY)
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
        "MAX_ATTEMPTS": 3,
        "ON_SOURCE_DELETE": "delete",
    }
    RemovalMachine.happened.clear()
    run_state_machine_as_test(RemovalMachine, settings=bounds(BOUNDS, max_examples=25))
    often = {event for event, times in RemovalMachine.happened.items() if times >= 3}
    wanted = {"asked", "came back", "approved", "cancelled", "retried"}
    wanted |= {"removal claimed", "removal crashed", "removed", "late removal", "settled", "late", "crashed"}
    assert wanted <= often, RemovalMachine.happened
