"""The loop that sends what is due: claim, open the call, send, read the answer, settle.

All database work is done on the calling thread. The threads of the pool only wait for their moment and speak HTTP, so
a slow API costs no more than patience: up to CONCURRENCY calls are in flight.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from django.db.models import Min
from django.utils import timezone

from ..client import Answer, BlueshiftClient, CallOutcome, Exchange, HttpCall, TransportFailure, read_answer
from ..conf import app_settings
from ..exceptions import RedisUnavailable, SendingOff
from ..models import ApiCall, Customer, CustomerList, ListMembership, SyncRun, SyncState
from .audit import open_call
from .batches import Batch, customers_batch, list_reading, memberships_batch
from .claim import claim_customers, claim_list_to_read, claim_memberships, lists_to_read, release
from .connection import make_client
from .health import Trouble, is_the_records_fault, note_health, note_trouble, outage_pause
from .policy import POLICIES
from .recover import recover_expired_claims
from .runs import close_run, finish_if_done
from .settle import settle
from .stop import KEY_IS_GOOD, current_stop, may_send, probe, stop_sending
from .throttle import pause_calls, reserve_call
from .wake import DRAIN_SECONDS, acknowledge, enqueue_drain

logger = logging.getLogger(__name__)

#: A drain with nothing to do waits for work that is due within so many seconds, before it leaves it to the next one.
PATIENCE = 5.0
#: A call whose turn is further away isn't made now: sending is paused, or others fill the rate.
LONGEST_WAIT = 30.0
#: Seconds after its turn in which a call may still leave.
LATE = 0.01


def never() -> bool:
    """The answer of a drain that nobody asks to stop."""
    return False


def drain(*, seconds: float = DRAIN_SECONDS, job_id: str = "", asked_to_stop: Callable[[], bool] = never) -> None:
    """Sends what is due, until nothing is, `seconds` are over or `asked_to_stop()`; then a fresh job goes on.

    Calls in flight are always finished and settled. `job_id` is noted with each call. Returns quietly where nothing
    may be sent: sending is off or stopped, or Redis is away.
    """
    try:
        acknowledge()
        recover_expired_claims()
        with make_client() as client, ThreadPoolExecutor(app_settings().CONCURRENCY, "blueshift") as pool:
            if not may_send(client, job_id):
                return
            finished = Drain(client, pool, seconds, job_id, asked_to_stop).run()
        if not finished:
            enqueue_drain()
    except SendingOff as reason:
        logger.info("Nothing is sent. %s", reason)
    except RedisUnavailable as reason:
        logger.warning("Sending stops until the next sweep. %s", reason)


class Drain:
    """One worker's go at the backlog."""

    def __init__(
        self,
        client: BlueshiftClient,
        pool: ThreadPoolExecutor,
        seconds: float,
        job_id: str,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self.client = client
        self.pool = pool
        self.deadline = time.monotonic() + seconds
        self.job_id = job_id
        self.asked_to_stop = asked_to_stop
        self.in_flight: dict[Future[Exchange], tuple[Batch, ApiCall]] = {}
        self.own_runs: dict[SyncRun.Kind, int] = {}
        self.paused = False
        self.batches = self._take_turns()

    def run(self) -> bool:
        """Works until nothing is due, sending is paused or time is over. False: time was over, and work is left."""
        try:
            with self._settling_to_the_end():
                while self._may_go_on():
                    self._fill()
                    if self.in_flight:
                        self._settle_finished()
                    elif not self._wait_for_work():
                        return True
        finally:
            for run_id in self.own_runs.values():
                close_run(run_id)
        due = seconds_until_due()
        return self.paused or due is None or due > PATIENCE

    def _may_go_on(self) -> bool:
        return not self.paused and time.monotonic() < self.deadline and not self.asked_to_stop()

    @contextmanager
    def _settling_to_the_end(self) -> Iterator[None]:
        """Whatever ends the block: calls in flight are settled."""
        try:
            yield
        finally:
            while self.in_flight:
                self._settle_finished()

    # Taking work

    def _fill(self) -> None:
        while self._may_go_on() and len(self.in_flight) < app_settings().CONCURRENCY:
            if current_stop() is not None:
                self.paused = True
                return
            batch = next(self.batches)
            if batch is None:
                return
            self._send(batch)

    def _take_turns(self) -> Iterator[Batch | None]:
        """Batches of customers and of memberships by turns, so that neither waits for the other; None for none."""
        takers: list[Callable[[], Batch | None]] = [self._customers, self._memberships]
        while True:
            found = False
            for take in takers:
                batch = take()
                if batch is not None:
                    found = True
                    yield batch
            if not found:
                yield None

    def _customers(self) -> Batch | None:
        claim = claim_customers(self._run_for_changes)
        return customers_batch(claim) if claim is not None else None

    def _memberships(self) -> Batch | None:
        unread = claim_list_to_read()
        if unread is not None:
            return list_reading(unread, self._run_for_changes(SyncRun.Kind.LISTS))
        claim = claim_memberships(self._run_for_changes)
        return memberships_batch(claim) if claim is not None else None

    def _run_for_changes(self, kind: SyncRun.Kind) -> int:
        """The run of this drain for what changed by itself; made when first needed."""
        # The claim that made it may have been taken back.
        if not SyncRun.objects.filter(pk=self.own_runs.get(kind, 0)).exists():
            run = SyncRun.objects.create(kind=kind, trigger=SyncRun.Trigger.SIGNAL, heartbeat_at=timezone.now())
            self.own_runs[kind] = run.pk
        return self.own_runs[kind]

    # Sending

    def _send(self, batch: Batch) -> None:
        try:
            delay = reserve_call(LONGEST_WAIT)
        except RedisUnavailable:
            _release(batch)
            raise
        if delay is None:
            _release(batch)
            self.paused = True
            return
        moment = time.monotonic() + delay
        http_call = self.client.prepare(batch.request)
        call = open_call(batch, http_call, self.job_id)
        self.in_flight[self.pool.submit(self._send_at, moment, http_call)] = (batch, call)

    def _send_at(self, moment: float, http_call: HttpCall) -> Exchange:
        """Sends the call when its turn comes. A thread that was held up takes another turn: the last one is over."""
        time.sleep(max(0.0, moment - time.monotonic()))
        while time.monotonic() - moment > LATE:
            try:
                delay = reserve_call(LONGEST_WAIT)
            except RedisUnavailable as error:
                return Exchange(failure=TransportFailure.NOT_SENT, code="redis_unavailable", error=str(error))
            if delay is None:
                return Exchange(failure=TransportFailure.NOT_SENT, code="paused", error="Sending was paused meanwhile.")
            moment = time.monotonic() + delay
            time.sleep(delay)
        return self.client.send(http_call)

    def _settle_finished(self) -> None:
        finished, _ = wait(self.in_flight, return_when=FIRST_COMPLETED)
        for future in finished:
            batch, call = self.in_flight.pop(future)
            exchange = future.result()
            answer = read_answer(batch.request, exchange)
            outage = self._outage(batch, answer)
            settle(batch, call, exchange, answer, blames_records=outage is None)
            self._slow_down(answer, outage)
            if batch.run_id is not None and batch.run_id not in self.own_runs.values():
                finish_if_done(batch.run_id)

    def _outage(self, batch: Batch, answer: Answer) -> Trouble | None:
        """The trouble that everybody has with the API; None where it has none, or only with these records."""
        try:
            if POLICIES[answer.outcome].call_wide:
                trouble = note_trouble(batch)
                return None if is_the_records_fault(trouble, self._api_answers) else trouble
            if answer.outcome != CallOutcome.RATE_LIMITED:
                note_health()
        except RedisUnavailable:
            self.paused = True
        return None

    def _api_answers(self) -> bool:
        return probe(self.client, self.job_id)[1].outcome in KEY_IS_GOOD

    def _slow_down(self, answer: Answer, outage: Trouble | None) -> None:
        policy = POLICIES[answer.outcome]
        if policy.stops_sending:
            stop_sending(answer)
        pause = outage_pause(outage.failures) if outage else 0
        if seconds := max(policy.pause_seconds, answer.retry_after or 0, pause):
            pause_calls(seconds)

    # Waiting

    def _wait_for_work(self) -> bool:
        """Waits until something is due. False: it isn't worth waiting."""
        seconds = seconds_until_due()
        if seconds is None or seconds > min(PATIENCE, self.deadline - time.monotonic()):
            return False
        # Due at once, and yet not claimed: another worker is at it. Long waits are cut to hear of a request to stop.
        time.sleep(min(max(seconds, 0.05), 0.5))
        return True


def _release(batch: Batch) -> None:
    if batch.claim is not None:
        release(batch.model, batch.claim)
    elif batch.customer_list is not None:
        CustomerList.objects.filter(pk=batch.customer_list.pk).update(read_due_at=timezone.now())


def seconds_until_due() -> float | None:
    """When the next record or list is due, 0 where one is already; None where none will be."""
    pending = SyncState.State.PENDING
    moments = [
        Customer.objects.filter(state=pending).aggregate(first=Min("due_at"))["first"],
        ListMembership.objects.filter(state=pending).aggregate(first=Min("due_at"))["first"],
        lists_to_read().aggregate(first=Min("read_due_at"))["first"],
    ]
    known = [moment for moment in moments if moment is not None]
    return max(0.0, (min(known) - timezone.now()).total_seconds()) if known else None
