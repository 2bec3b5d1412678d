"""Whatever happens in whatever order: several workers, crashes, lost answers, changes and withdrawals in between.

The machine plays the site, the workers and Blueshift. The invariants are checked after every step, and at the end the
backlog is worked off: then Blueshift holds exactly what the mirror says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.claim import release
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.memberships import memberships_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.runs import waiting_in
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.models import ApiCall, Customer, ListMembership, SyncRun
from blueshift_sync.models.fields import EmailKeyField
from tests.delivery.blueshift_store import Store
from tests.delivery.one_call import claim_customers, claim_memberships, open_call, settle
from tests.factories import make_customer, make_list, make_membership

State = Customer.State
RECORD_OUTCOMES = [RecordOutcome.ACCEPTED, RecordOutcome.ACCEPTED, RecordOutcome.REJECTED, RecordOutcome.RETRY]
#: Answers about the call as a whole, and what they say about each record.
FAILURES = {
    CallOutcome.SERVER_ERROR: RecordOutcome.RETRY,
    CallOutcome.RATE_LIMITED: RecordOutcome.RETRY,
    CallOutcome.BAD_REQUEST: RecordOutcome.RETRY,
    CallOutcome.NOT_SENT: RecordOutcome.RETRY,
    CallOutcome.NO_ANSWER: RecordOutcome.UNKNOWN,
    CallOutcome.UNREADABLE: RecordOutcome.UNKNOWN,
}
#: After these nobody knows whether the call took effect.
DOUBTFUL = {CallOutcome.NO_ANSWER, CallOutcome.UNREADABLE}


@dataclass
class Flight:
    """One worker's claim on its way: claimed, opened, sent, and answered or not."""

    batch: Batch
    call: ApiCall | None = None
    answer: Answer | None = None
    lease_is_over: bool = False


class DeliveryMachine(RuleBasedStateMachine):
    """Two lists, one by each identifier; customers with an ID, and two rows with no more than one shared address."""

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example._from_testcase = True  # so that the code's own transactions may be durable
        self.example.__enter__()
        self.store = Store()
        self.flights: list[Flight] = []
        self.versions: dict[Any, int] = {}
        self.withdrawn: set[int] = set()
        self.run_pks: dict[str, int] = {}
        self.customers = [
            make_customer(customer_id=f"c{number}", email=f"c{number}@example.com").pk for number in "123"
        ]
        self.customers += [make_customer(customer_id=None, email=email).pk for email in ("a@b.co", "A@b.co")]
        lists = [make_list(list_id=1, identifier_key="email"), make_list(list_id=2, identifier_key="customer_id")]
        self.memberships = [
            make_membership(customer_list=lists[which], customer=Customer.objects.get(pk=self.customers[who])).pk
            for who, which in [(0, 0), (1, 0), (0, 1), (2, 1)]
        ]

    def teardown(self) -> None:
        try:
            self.work_off_the_backlog()
            self.nothing_is_left_and_blueshift_holds_the_mirror()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    @initialize(in_step=st.booleans())
    def begin(self, in_step: bool) -> None:
        if in_step:
            self.work_off_the_backlog()

    # The site

    @rule(who=st.integers(0, 4), name=st.sampled_from(["Ada", "Grace"]))
    def change(self, who: int, name: str) -> None:
        customer = Customer.objects.get(pk=self.customers[who])
        customer.firstname = name
        self.save(customer, "excluded" if customer.pk in self.withdrawn else "")

    @rule(who=st.integers(0, 2), number=st.integers(0, 1))
    def change_email(self, who: int, number: int) -> None:
        customer = Customer.objects.get(pk=self.customers[who])
        customer.email = f"{customer.customer_id}-{number}@example.com"
        self.save(customer, "excluded" if customer.pk in self.withdrawn else "")

    @rule(who=st.integers(0, 4))
    def exclude(self, who: int) -> None:
        self.withdrawn.add(self.customers[who])
        self.save(Customer.objects.get(pk=self.customers[who]), "excluded")

    @rule(who=st.integers(0, 4))
    def include(self, who: int) -> None:
        self.withdrawn.discard(self.customers[who])
        self.save(Customer.objects.get(pk=self.customers[who]))

    @rule(which=st.integers(0, 3), is_member=st.booleans())
    def change_membership(self, which: int, is_member: bool) -> None:
        membership = ListMembership.objects.get(pk=self.memberships[which])
        membership.set_member(is_member, due_at=timezone.now())
        membership.save()

    @rule(who=st.sets(st.integers(0, 4), min_size=1))
    def push_customers(self, who: set[int]) -> None:
        services.push(Customer.objects.filter(pk__in=[self.customers[number] for number in who]))

    @rule()
    def push_memberships(self) -> None:
        services.push(ListMembership.objects.all())

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        runs = SyncRun.objects.filter(trigger=SyncRun.Trigger.COMMAND)
        if runs:
            services.cancel(runs[number % len(runs)])

    @rule()
    def time_passes(self) -> None:
        for model in (Customer, ListMembership):
            model.objects.filter(due_at__isnull=False).update(due_at=timezone.now())

    def save(self, customer: Customer, error_code: str = "") -> None:
        customer.email_key = EmailKeyField.key_of(customer.email)
        customer.fingerprint = customer.fingerprint_of_payload()
        customer.mark_changed(due_at=timezone.now(), error_code=error_code)
        customer.save()

    # The workers

    @rule()
    def claim_customers(self) -> None:
        claim = claim_customers(self.run_for_changes)
        if claim is not None:
            assert not self.withdrawn & {record.pk for record in claim.records}, "A withdrawn customer is sent."
            self.flights.append(Flight(customers_batch(claim)))

    @rule()
    def claim_memberships(self) -> None:
        claim = claim_memberships(self.run_for_changes)
        if claim is not None:
            self.flights.append(Flight(memberships_batch(claim)))

    @precondition(lambda self: self.claimed)
    @rule(number=st.integers(0, 9))
    def give_up(self, number: int) -> None:
        flight = self.claimed[number % len(self.claimed)]
        assert flight.batch.claim is not None
        release(flight.batch.model, flight.batch.claim)
        self.flights.remove(flight)

    @precondition(lambda self: self.claimed)
    @rule(number=st.integers(0, 9))
    def open_call(self, number: int) -> None:
        self.open(self.claimed[number % len(self.claimed)])

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 9), outcomes=st.lists(st.sampled_from(RECORD_OUTCOMES), min_size=5, max_size=5))
    def send(self, number: int, outcomes: list[RecordOutcome]) -> None:
        self.send_now(self.opened[number % len(self.opened)], outcomes)

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 9), outcome=st.sampled_from(list(FAILURES)), takes_effect=st.booleans())
    def send_into_trouble(self, number: int, outcome: CallOutcome, takes_effect: bool) -> None:
        flight = self.opened[number % len(self.opened)]
        if outcome in DOUBTFUL and takes_effect:
            self.store.take(flight.batch, [True] * len(flight.batch.records))
        record = RecordAnswer(FAILURES[outcome], code="trouble", message="Trouble.")
        flight.answer = Answer(outcome, (record,) * len(flight.batch.records), code="trouble", message="Trouble.")

    @precondition(lambda self: self.answered)
    @rule(number=st.integers(0, 9), blames_records=st.booleans())
    def settle(self, number: int, blames_records: bool) -> None:
        self.settle_now(self.answered[number % len(self.answered)], blames_records=blames_records)

    @precondition(lambda self: self.flights)
    @rule(number=st.integers(0, 9))
    def crash(self, number: int) -> None:
        flight = self.flights.pop(number % len(self.flights))
        self.end_lease(flight)

    @precondition(lambda self: self.answered)
    @rule(number=st.integers(0, 9))
    def lease_ends_before_the_answer_is_settled(self, number: int) -> None:
        self.end_lease(self.answered[number % len(self.answered)])

    @rule()
    def recover(self) -> None:
        recover_expired_claims()

    @rule()
    def sweep(self) -> None:
        sweep()

    @property
    def claimed(self) -> list[Flight]:
        return [flight for flight in self.flights if flight.call is None]

    @property
    def opened(self) -> list[Flight]:
        return [flight for flight in self.flights if flight.call is not None and flight.answer is None]

    @property
    def answered(self) -> list[Flight]:
        return [flight for flight in self.flights if flight.answer is not None]

    def run_for_changes(self, kind: SyncRun.Kind) -> int:
        if kind not in self.run_pks:
            self.run_pks[kind] = SyncRun.objects.create(kind=kind, trigger=SyncRun.Trigger.SIGNAL).pk
        return self.run_pks[kind]

    def open(self, flight: Flight) -> None:
        with make_client() as client:
            flight.call = open_call(flight.batch, client.prepare(flight.batch.request), job_id="job")

    def send_now(self, flight: Flight, outcomes: list[RecordOutcome]) -> None:
        records = tuple(
            RecordAnswer(outcome, code="" if outcome == RecordOutcome.ACCEPTED else "bad", message="Bad.")
            for _, outcome in zip(flight.batch.records, outcomes, strict=False)
        )
        self.store.take(flight.batch, [record.outcome == RecordOutcome.ACCEPTED for record in records])
        flight.answer = Answer(CallOutcome.ANSWERED, records)

    def settle_now(self, flight: Flight, *, blames_records: bool = True) -> None:
        assert flight.call is not None
        assert flight.answer is not None
        settle(flight.batch, flight.call, Exchange(status=200), flight.answer, blames_records=blames_records)
        self.flights.remove(flight)

    def end_lease(self, flight: Flight) -> None:
        assert flight.batch.claim is not None
        rows = flight.batch.model.objects.filter(claim_token=flight.batch.claim.token)
        rows.update(claim_expires_at=timezone.now() - timedelta(days=1))
        flight.lease_is_over = True

    # What must hold at every moment

    @invariant()
    def each_record_is_in_at_most_one_call(self) -> None:
        holders: dict[Any, Any] = {}
        addresses: dict[str, Any] = {}
        for flight in self.flights:
            claim = flight.batch.claim
            if flight.lease_is_over or claim is None:
                continue
            held = set(flight.batch.model.objects.filter(claim_token=claim.token).values_list("pk", flat=True))
            assert held == {record.pk for record in claim.records}
            for record in claim.records:
                assert holders.setdefault((type(record), record.pk), claim.token) == claim.token
                if isinstance(record, Customer) and not record.customer_id:
                    assert addresses.setdefault(record.email_key, record.pk) == record.pk

    @invariant()
    def rows_are_sound(self) -> None:
        for model in (Customer, ListMembership):
            related = ["customer", "customer_list"] if model is ListMembership else ["run"]
            for row in model.objects.select_related(*related):
                assert (row.state == State.SENDING) == (row.claim_token is not None)
                assert row.synced_version <= row.version
                assert row.version >= self.versions.get((model, row.pk), 0)
                self.versions[model, row.pk] = row.version
                if row.state not in {State.PENDING, State.SENDING}:
                    assert (row.due_at, row.waiting_since) == (None, None)
                if row.state == State.SYNCED and not self.shares_its_identity(row):
                    assert self.store.holds(row), f"{row} is said to be in step."
                if model is Customer and row.pk in self.withdrawn:
                    assert row.state == State.EXCLUDED or (row.state == State.SENDING and row.error_code == "excluded")

    def shares_its_identity(self, row: Customer | ListMembership) -> bool:
        """Two rows of one identity: the one that was sent last is what Blueshift holds."""
        return isinstance(row, Customer) and not row.customer_id

    @invariant()
    def the_books_add_up(self) -> None:
        for run in SyncRun.objects.all():
            assert run.accepted + run.rejected + waiting_in(run) <= run.total
        unequal = ApiCall.objects.annotate(kept=Count("results")).exclude(kept=F("record_count"))
        assert not unequal.exclude(state=ApiCall.State.OPEN).exists()

    # The end

    def work_off_the_backlog(self) -> None:
        for flight in self.flights:
            self.end_lease(flight)
        self.flights.clear()
        for _ in range(4):
            sweep()
            self.time_passes()
            for flight in self.next_flights():
                self.open(flight)
                self.send_now(flight, [RecordOutcome.ACCEPTED] * len(flight.batch.records))
                self.settle_now(flight)
                self.rows_are_sound()

    def next_flights(self) -> Iterator[Flight]:
        while claim := claim_customers(self.run_for_changes):
            self.flights.append(Flight(customers_batch(claim)))
            yield self.flights[-1]
        while claim := claim_memberships(self.run_for_changes):
            self.flights.append(Flight(memberships_batch(claim)))
            yield self.flights[-1]

    def nothing_is_left_and_blueshift_holds_the_mirror(self) -> None:
        self.rows_are_sound()
        self.the_books_add_up()
        assert not Customer.objects.filter(state__in=[State.PENDING, State.SENDING]).exists()
        waiting = ListMembership.objects.filter(state__in=[State.PENDING, State.SENDING])
        assert not waiting.filter(customer__state=State.SYNCED).exists()
        assert not waiting.filter(is_member=False).exists()
        assert not ApiCall.objects.filter(state=ApiCall.State.OPEN).exists()


@pytest.mark.django_db
def test_no_order_of_events_breaks_the_delivery(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
        "MAX_ATTEMPTS": 3,
    }
    run_state_machine_as_test(DeliveryMachine, settings=BOUNDS)


BOUNDS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
