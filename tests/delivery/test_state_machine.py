"""Whatever happens in whatever order: several workers, crashes, lost answers, changes and withdrawals in between.

The machine plays the site, the workers and Blueshift. The invariants are checked after every step, and at the end the
backlog is worked off: then Blueshift holds exactly what the mirror says.
"""

from __future__ import annotations

from collections import Counter
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
    rule,
    run_state_machine_as_test,
)

from blueshift_sync import services
from blueshift_sync.client import Answer, CallOutcome, Exchange, HttpCall, RecordAnswer, RecordOutcome
from blueshift_sync.delivery.batches import Batch
from blueshift_sync.delivery.claim import release
from blueshift_sync.delivery.connection import make_client
from blueshift_sync.delivery.customers import customers_batch
from blueshift_sync.delivery.memberships import memberships_batch
from blueshift_sync.delivery.recover import recover_expired_claims
from blueshift_sync.delivery.runs import RunsCancelled, finish_if_done, waiting_in
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
    http_call: HttpCall | None = None
    call: ApiCall | None = None
    answer: Answer | None = None
    lease_is_over: bool = False


class DeliveryMachine(RuleBasedStateMachine):
    """Two lists, one by each identifier; customers with an ID, and two rows with no more than one shared address."""

    #: How often something was done that matters: without it the machine would prove nothing.
    happened: Counter[str] = Counter()
    #: What can happen, with what it may happen to; and the same names, as often as each is to be drawn.
    events: dict[str, dict[str, st.SearchStrategy[Any]]]
    often: list[str]
    models: tuple[Any, ...] = (Customer, ListMembership)

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example._from_testcase = True  # so that the code's own transactions may be durable
        self.example.__enter__()
        self.store = Store()
        self.flights: list[Flight] = []
        self.arrived: dict[int, HttpCall] = {}
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

    @rule(data=st.data())
    def something_happens(self, data: Any) -> None:
        """One rule for all: of many, Hypothesis leaves out most in an example, and hardly a call would be settled."""
        what = data.draw(st.sampled_from(self.often))
        arguments = {name: data.draw(values, label=name) for name, values in self.events[what].items()}
        getattr(self, what)(**arguments)

    # The site

    def change(self, who: set[int], name: str) -> None:
        for pk in sorted(self.customers[number] for number in who):
            customer = Customer.objects.get(pk=pk)
            customer.firstname = name
            self.save(customer, "excluded" if customer.pk in self.withdrawn else "")

    def change_email(self, who: int, number: int) -> None:
        customer = Customer.objects.get(pk=self.customers[who])
        customer.email = f"{customer.customer_id}-{number}@example.com"
        self.save(customer, "excluded" if customer.pk in self.withdrawn else "")

    def withdraw(self, who: int, withdrawn: bool) -> None:
        pk = self.customers[who]
        self.withdrawn = self.withdrawn | {pk} if withdrawn else self.withdrawn - {pk}
        self.save(Customer.objects.get(pk=pk), "excluded" if withdrawn else "")

    def change_membership(self, which: int, is_member: bool) -> None:
        membership = ListMembership.objects.get(pk=self.memberships[which])
        membership.set_member(is_member, due_at=timezone.now())
        membership.save()

    def push_customers(self, who: set[int]) -> None:
        services.push(Customer.objects.filter(pk__in=[self.customers[number] for number in who]))

    def push_memberships(self) -> None:
        services.push(ListMembership.objects.all())

    def cancel(self, number: int) -> None:
        runs = SyncRun.objects.filter(trigger=SyncRun.Trigger.COMMAND)
        if runs:
            services.cancel(runs[number % len(runs)])

    def time_passes(self) -> None:
        for model in self.models:
            model.objects.filter(due_at__isnull=False).update(due_at=timezone.now())

    def save(self, customer: Customer, error_code: str = "") -> None:
        customer.email_key = EmailKeyField.key_of(customer.email)
        customer.fingerprint = customer.fingerprint_of_payload()
        customer.mark_changed(due_at=timezone.now(), error_code=error_code)
        customer.save()

    # The workers

    def claim(self, customers: bool, opened: bool) -> None:
        self.time_passes()
        claim = (claim_customers if customers else claim_memberships)(self.run_for_changes)
        if claim is not None:
            if customers:
                assert not self.withdrawn & {record.pk for record in claim.records}, "A withdrawn customer is sent."
            self.flights.append(Flight((customers_batch if customers else memberships_batch)(claim)))
            self.happened["claimed"] += 1
            if opened:
                self.open(self.flights[-1])

    def go_on(
        self, number: int, *, how: str, takes_effect: bool, outcomes: list[RecordOutcome], blames_records: bool
    ) -> None:
        """One flight's next step: its call is opened, or sent, or its answer settled."""
        if not self.flights:
            return
        flight = self.flights[number % len(self.flights)]
        if how == "crash":
            self.crash(flight)
        elif flight.call is None:
            self.open(flight)
        elif flight.answer is not None:
            self.settle_now(flight, blames_records=blames_records)
        elif how == "late":
            self.stand_still_while_others_go_on(flight)
        elif how == "well":
            self.send_now(flight, outcomes)
        else:
            self.send_into_trouble(flight, CallOutcome(how), takes_effect=takes_effect)

    def give_up(self) -> None:
        for flight in [flight for flight in self.flights if flight.call is None]:
            self.give_up_now(flight)

    def leases_end_before_the_answers_are_settled(self) -> None:
        for flight in self.flights:
            if flight.answer is not None:
                self.end_lease(flight)

    def recover(self) -> None:
        recover_expired_claims()

    def sweep(self) -> None:
        sweep()

    def run_for_changes(self, kind: SyncRun.Kind) -> int:
        if kind not in self.run_pks:
            self.run_pks[kind] = SyncRun.objects.create(kind=kind, trigger=SyncRun.Trigger.SIGNAL).pk
        return self.run_pks[kind]

    def give_up_now(self, flight: Flight) -> None:
        assert flight.batch.claim is not None
        release(flight.batch.model, flight.batch.claim)
        self.flights.remove(flight)

    def open(self, flight: Flight) -> bool:
        """False: its run was cancelled since the claim."""
        with make_client() as client:
            flight.http_call = client.prepare(flight.batch.request)
        try:
            flight.call = open_call(flight.batch, flight.http_call, job_id="job")
        except RunsCancelled as cancelled:
            self.give_up_now(flight)
            for run_id in cancelled.run_ids:
                finish_if_done(run_id)
            return False
        return True

    def deliver(self, flight: Flight) -> None:
        """All the way, and Blueshift takes it."""
        if self.open(flight):
            self.send_now(flight, [RecordOutcome.ACCEPTED] * len(flight.batch.records))
            self.settle_now(flight)

    def send_now(self, flight: Flight, outcomes: list[RecordOutcome]) -> None:
        records = tuple(
            RecordAnswer(outcome, code="" if outcome == RecordOutcome.ACCEPTED else "bad", message="Bad.")
            for _, outcome in zip(flight.batch.records, outcomes, strict=False)
        )
        self.note_arrival(flight)
        self.store.take(flight.batch, [record.outcome == RecordOutcome.ACCEPTED for record in records])
        flight.answer = Answer(CallOutcome.ANSWERED, records)

    def send_into_trouble(self, flight: Flight, outcome: CallOutcome, *, takes_effect: bool) -> None:
        self.happened["in trouble"] += 1
        if outcome != CallOutcome.NOT_SENT:
            self.note_arrival(flight)
        if outcome in DOUBTFUL and takes_effect:
            self.store.take(flight.batch, [True] * len(flight.batch.records))
        record = RecordAnswer(FAILURES[outcome], code="trouble", message="Trouble.")
        flight.answer = Answer(outcome, (record,) * len(flight.batch.records), code="trouble", message="Trouble.")

    def crash(self, flight: Flight) -> None:
        self.happened["crashed"] += 1
        self.end_lease(flight)
        self.flights.remove(flight)

    def stand_still_while_others_go_on(self, late: Flight) -> None:
        """The worker stands still just before it sends, its records are changed and sent by another, and it goes on."""
        self.happened["late"] += 1
        self.end_lease(late)
        recover_expired_claims()
        self.change(set(range(len(self.customers))), f"Newer {self.happened['late']}")
        self.time_passes()
        if claim := claim_customers(self.run_for_changes):
            self.flights.append(Flight(customers_batch(claim)))
            self.deliver(self.flights[-1])
        self.send_now(late, [RecordOutcome.ACCEPTED] * len(late.batch.records))
        self.settle_now(late)

    def note_arrival(self, flight: Flight) -> None:
        assert flight.http_call is not None
        assert flight.call is not None
        assert flight.call.pk not in self.arrived
        self.arrived[flight.call.pk] = flight.http_call

    def settle_now(self, flight: Flight, *, blames_records: bool = True) -> None:
        assert flight.call is not None
        assert flight.answer is not None
        settle(flight.batch, flight.call, Exchange(status=200), flight.answer, blames_records=blames_records)
        self.flights.remove(flight)
        self.happened["settled"] += 1

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
        for model in self.models:
            related = ["customer", "customer_list"] if model is ListMembership else ["run"]
            for row in model.objects.select_related(*related):
                assert (row.state == State.SENDING) == (row.claim_token is not None)
                assert row.synced_version <= row.version
                assert row.version >= self.versions.get((model, row.pk), 0)
                self.versions[model, row.pk] = row.version
                if row.state not in {State.PENDING, State.SENDING}:
                    assert (row.due_at, row.waiting_since) == (None, None)
                if row.state != State.SENDING:
                    assert (row.state == State.FAILED) == (row.error_cause != "")
                assert row.state != State.FAILED or row.failed_at is not None
                if row.state == State.SYNCED and self.shows_in_blueshift(row):
                    assert self.store.holds(row), f"{row} is said to be in step."
                if model is Customer and row.pk in self.withdrawn:
                    assert row.state == State.EXCLUDED or (row.state == State.SENDING and row.error_code == "excluded")

    def shows_in_blueshift(self, row: Any) -> bool:
        """Of two rows of one identity, the one that was sent last is what Blueshift holds."""
        return not isinstance(row, Customer) or bool(row.customer_id)

    @invariant()
    def the_books_add_up(self) -> None:
        for run in SyncRun.objects.all():
            assert run.accepted + run.rejected + waiting_in(run) <= run.total
            assert run.unknown <= run.rejected
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
                self.deliver(flight)
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
        self.every_request_is_on_the_record()

    def every_request_is_on_the_record(self) -> None:
        """Blueshift's log and ours, one by one; what never arrived was given up or nobody knows."""
        calls = {call.pk: call for call in ApiCall.objects.all()}
        for pk, http_call in self.arrived.items():
            call = calls.pop(pk)
            assert (call.method, call.url) == (http_call.method, http_call.url)
            assert call.request_body.encode() == (http_call.body or b"")
            assert call.state != ApiCall.State.OPEN
        assert {call.state for call in calls.values()} <= {ApiCall.State.FAILED, ApiCall.State.UNKNOWN}


WHO = st.sets(st.integers(0, 4), min_size=1)
EVENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "change": {"who": WHO, "name": st.sampled_from(["Ada", "Grace"])},
    "change_email": {"who": st.integers(0, 2), "number": st.integers(0, 1)},
    "withdraw": {"who": st.integers(0, 4), "withdrawn": st.booleans()},
    "change_membership": {"which": st.integers(0, 3), "is_member": st.booleans()},
    "push_customers": {"who": WHO},
    "push_memberships": {},
    "cancel": {"number": st.integers(0, 9)},
    "claim": {"customers": st.booleans(), "opened": st.sampled_from([True, True, False])},
    "go_on": {
        "number": st.integers(0, 9),
        "how": st.sampled_from(["well", *["late", "crash"] * 3, *FAILURES]),
        "takes_effect": st.booleans(),
        "outcomes": st.lists(st.sampled_from(RECORD_OUTCOMES), min_size=5, max_size=5),
        "blames_records": st.booleans(),
    },
    "give_up": {},
    "leases_end_before_the_answers_are_settled": {},
    "recover": {},
    "sweep": {},
}
DeliveryMachine.events = EVENTS
DeliveryMachine.often = [*EVENTS, *["claim", "change"] * 4, *["go_on"] * 12]


@pytest.mark.django_db
def test_no_order_of_events_breaks_the_delivery(settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {
        **settings.BLUESHIFT_SYNC,
        "CALLS_PER_SECOND": None,
        "BACKOFF_SECONDS": (0.001, 0.001),
        "MAX_ATTEMPTS": 3,
    }
    DeliveryMachine.happened.clear()
    run_state_machine_as_test(DeliveryMachine, settings=BOUNDS)
    often = {event for event, times in DeliveryMachine.happened.items() if times >= 3}
    assert often == {"claimed", "settled", "in trouble", "late", "crashed"}, DeliveryMachine.happened


BOUNDS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
