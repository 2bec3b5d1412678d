"""The loop that sends what is due: claim, open the call, send, read the answer, settle.

The calling thread claims and opens calls, another settles them. The threads of the pool only wait for their moment and
speak HTTP, so a slow API costs no more than patience: up to CONCURRENCY calls are in flight.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress

from django.db import DatabaseError
from django.db.models import Min
from django.utils import timezone

from ..client import BlueshiftClient, CallOutcome, Exchange, HeldBack, HttpCall, read_answer
from ..conf import app_settings
from ..exceptions import RedisUnavailable, SendingOff
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership, SyncState
from .audit import open_calls
from .batches import Batch, Finished, with_withdrawn
from .beside import Beside
from .connection import make_client
from .health import Trouble, is_the_records_fault, note_health, note_trouble, outage_pause
from .lease import Lease
from .lists import lists_to_ask_for
from .locks import HeldBySomebody
from .recover import recover_expired_claims
from .runs import RunsCancelled, finish_if_done
from .settle import settle
from .stop import KEY_IS_GOOD, current_stop, may_send, probe, stop_sending
from .throttle import LONGEST_WAIT, Turn, pause_calls, reserve_calls, sleep_until, wait_for_turn
from .wake import DRAIN_SECONDS, acknowledge, wake
from .work import Work, give_up

logger = logging.getLogger(__name__)

#: A drain with nothing to do waits for work that is due within so many seconds, before it leaves it to the next one.
PATIENCE = 5.0
#: Seconds before its turn at which a call is given a connection.
CONNECT_AHEAD = 0.5
#: Codes of calls that this worker held back itself: they say nothing about Blueshift.
HELD_BACK = frozenset({"redis_unavailable", "paused", "lease_over"})
LEASE_OVER = "The worker was held up until its claim on the records ended. Nothing was sent; they go again."
#: Seconds between two tries to settle calls of which somebody holds a record.
HELD_PAUSE = 5.0
#: Seconds for which a drain that ends tries to settle calls of which somebody holds a record.
HELD_PATIENCE = 20.0
#: Seconds between two looks at whether another worker has stopped the sending.
STOP_LOOK = 1.0


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
        threads = ThreadPoolExecutor(app_settings().CONCURRENCY, "blueshift")
        with make_client() as client, threads as pool, Beside() as settling:
            if not may_send(client, job_id):
                return
            finished = Drain(client, pool, settling, seconds=seconds, job_id=job_id, asked_to_stop=asked_to_stop).run()
        if not finished:
            wake()
    except SendingOff as reason:
        logger.info("Nothing is sent. %s", reason, extra={"event": "sending_off", "job_id": job_id})
    except RedisUnavailable as reason:
        logger.warning(
            "Sending stops until the next sweep. %s", reason, extra={"event": "redis_unavailable", "job_id": job_id}
        )


class Drain:
    """One worker's go at the backlog."""

    def __init__(
        self,
        client: BlueshiftClient,
        pool: ThreadPoolExecutor,
        settling: Beside,
        *,
        seconds: float,
        job_id: str,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self.client = client
        self.pool = pool
        self.settling = settling
        self.deadline = time.monotonic() + seconds
        self.job_id = job_id
        self.asked_to_stop = asked_to_stop
        self.in_flight: dict[Future[Exchange], tuple[Batch, ApiCall]] = {}
        self.held: list[Finished] = []
        self.held_again_at = 0.0
        self.work = Work()
        self.ahead: list[Batch] = []
        self.paused = False
        self.looked_for_stop_at = time.monotonic()

    def run(self) -> bool:
        """Works until nothing is due, sending is paused or time is over. False: time was over, and work is left."""
        try:
            with self._settling_to_the_end():
                while self._may_go_on():
                    self._fill()
                    self._take_ahead()
                    if self.in_flight:
                        self._settle_finished()
                    elif self.settling.is_busy:
                        self.settling.wait()
                    elif not self._wait_for_work():
                        return True
        finally:
            _give_up_all(self.ahead)
            self.work.close()
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
            self._settle_in_flight()

    def _settle_in_flight(self) -> None:
        """Settles every call in flight, whether or not another one can be."""
        try:
            while self.in_flight:
                self._settle_finished()
            self.settling.wait()
            until = time.monotonic() + HELD_PATIENCE
            while self.held and time.monotonic() < until:
                self._settle_held()
        finally:
            if self.in_flight:
                self._settle_in_flight()

    # Sending

    def _fill(self) -> None:
        """Has as many calls in flight as may be, if so many are due."""
        while self._may_go_on() and (free := app_settings().CONCURRENCY - len(self.in_flight)) > 0:
            if self._is_stopped():
                self.paused = True
                return
            batches = self._take(free)
            if not batches or not self._send(batches):
                return

    def _take(self, free: int) -> list[Batch]:
        """Batches for up to so many calls."""
        ahead, self.ahead = self.ahead[:free], self.ahead[free:]
        return self._still_wanted(ahead) or self.work.take(free, is_urgent=not self.in_flight)

    def _still_wanted(self, ahead: Sequence[Batch]) -> list[Batch]:
        """The batches that were claimed early, but for those of which a record was withdrawn since.

        They are given up: what is left of them is due again at once.
        """
        unwanted = with_withdrawn(ahead)
        for batch in unwanted:
            give_up(batch)
        self._finish_runs(unwanted)
        return [batch for batch in ahead if batch not in unwanted]

    def _take_ahead(self) -> None:
        """Claims for the next calls while all places are taken.

        Not under a rate limit: there calls wait for their turns, and what is claimed early only waits longer.
        """
        settings = app_settings()
        is_full = len(self.in_flight) >= settings.CONCURRENCY
        if settings.CALLS_PER_SECOND is None and is_full and not self.ahead:
            self.ahead = self.work.take(settings.CONCURRENCY, is_urgent=False)

    def _is_stopped(self) -> bool:
        """Whether another worker has stopped the sending, as far as is known."""
        if time.monotonic() - self.looked_for_stop_at < STOP_LOOK:
            return False
        self.looked_for_stop_at = time.monotonic()
        return current_stop() is not None

    def _send(self, batches: Sequence[Batch]) -> bool:
        """Sends the batches at their turns. False: not all of them are sent."""
        try:
            turns = reserve_calls(len(batches), LONGEST_WAIT)
            granted = [(batch, self.client.prepare(batch.request)) for batch in batches[: len(turns)]]
            opened = self._open(granted)
        except BaseException:
            _give_up_all(batches)
            raise
        for batch in batches[len(turns) :]:
            give_up(batch)
        for (batch, http_call, call), turn in zip(opened, turns, strict=False):
            self.in_flight[self.pool.submit(self._send_at, turn, http_call, batch.lease)] = (batch, call)
        self.paused = self.paused or not (turns or self.in_flight)
        return len(opened) == len(batches)

    def _open(self, granted: Sequence[tuple[Batch, HttpCall]]) -> list[tuple[Batch, HttpCall, ApiCall]]:
        """Opens the calls, but for those of runs that were cancelled since the claim, or that somebody holds."""
        try:
            calls = open_calls(granted, self.job_id)
        except HeldBySomebody:
            if len(granted) == 1:
                give_up(granted[0][0])
                return []
            return [opened for each in granted for opened in self._open([each])]
        except RunsCancelled as cancelled:
            for batch, _http_call in granted:
                if batch.run_id in cancelled.run_ids:
                    give_up(batch)
            for run_id in cancelled.run_ids:
                finish_if_done(run_id)
            return self._open([each for each in granted if each[0].run_id not in cancelled.run_ids])
        return [(*each, call) for each, call in zip(granted, calls, strict=True)]

    def _send_at(self, turn: Turn, http_call: HttpCall, lease: Lease | None) -> Exchange:
        """Sends the call when its turn comes, on a connection that was made before."""
        sleep_until(turn.moment - CONNECT_AHEAD)
        return self.client.send(http_call, before_leaving=lambda: _wait_for(turn, lease))

    # Settling

    def _settle_finished(self) -> None:
        """Waits for the first call to end, and has it settled with those that have ended as well.

        While others are being settled more of them end: the larger the group, the less its statements cost for each.
        """
        self.settling.wait()
        ended, _ = wait(self.in_flight, return_when=FIRST_COMPLETED)
        finished = []
        for future in ended:
            batch, call = self.in_flight.pop(future)
            exchange = future.result()
            finished.append(Finished(batch, call, exchange, read_answer(batch.request, exchange)))
        self.settling.do(lambda: self._settle(finished))

    def _settle(self, finished: Sequence[Finished]) -> None:
        troubles = self._judge(finished)
        held = settle(finished)
        if self.held and time.monotonic() >= self.held_again_at:
            self._settle_held()
        self.held += held
        self._finish_runs([each.batch for each in finished])
        for each in finished:
            self._slow_down(each, troubles.get(each.call.pk))

    def _settle_held(self) -> None:
        """Tries the calls again of which somebody held a record, until their leases are over."""
        tried = self.held
        self.held = [each for each in settle(tried) if each.batch.claim and not each.batch.claim.lease.is_over]
        self.held_again_at = time.monotonic() + HELD_PAUSE
        self._finish_runs([each.batch for each in tried])

    def _finish_runs(self, batches: Sequence[Batch]) -> None:
        for run_id in {batch.run_id for batch in batches}:
            if run_id is not None and not self.work.owns(run_id):
                finish_if_done(run_id)

    def _judge(self, finished: Sequence[Finished]) -> dict[int, Trouble]:
        """Finds out which calls failed because of trouble that everybody has with the API, and blames nobody for it."""
        outages: dict[int, Trouble] = {}
        try:
            if any(_shows_health(each) for each in finished):
                note_health()
            for each in finished:
                if each.policy.call_wide and each.answer.code not in HELD_BACK:
                    trouble = note_trouble(each.batch)
                    each.blames_records = is_the_records_fault(trouble, self._api_answers)
                    if not each.blames_records:
                        outages[each.call.pk] = trouble
        except RedisUnavailable:  # nobody knows whose trouble it is
            self.paused = True
            for each in finished:
                each.blames_records = each.blames_records and not each.policy.call_wide
        return outages

    def _api_answers(self) -> bool:
        return probe(self.client, self.job_id)[1].outcome in KEY_IS_GOOD

    def _slow_down(self, finished: Finished, outage: Trouble | None) -> None:
        if finished.answer.code in HELD_BACK:
            return
        if finished.policy.stops_sending:
            stop_sending(finished.answer)
            self.paused = True
        pause = outage_pause(outage.failures) if outage else 0
        if seconds := max(finished.policy.pause_seconds, finished.answer.retry_after or 0, pause):
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


def _give_up_all(batches: Sequence[Batch]) -> None:
    """As `give_up`, in the face of an error: what is wrong already is what matters."""
    for batch in batches:
        with suppress(DatabaseError):
            give_up(batch)


def _wait_for(turn: Turn, lease: Lease | None) -> None:
    """Waits for a call's turn. Raises HeldBack.

    After the lease nothing is sent: another worker may have sent the records since, and as they are now.
    """
    wait_for_turn(turn)
    if lease is not None and lease.is_over:
        raise HeldBack("lease_over", LEASE_OVER)


def _shows_health(finished: Finished) -> bool:
    """Whether Blueshift answered, whatever it said of the records."""
    return not finished.policy.call_wide and finished.answer.outcome != CallOutcome.RATE_LIMITED


def seconds_until_due() -> float | None:
    """When the next record or list is due, 0 where one is already; None where none will be."""
    pending = SyncState.State.PENDING
    moments = [
        Customer.objects.filter(state=pending).aggregate(first=Min("due_at"))["first"],
        ListMembership.objects.filter(state=pending).aggregate(first=Min("due_at"))["first"],
        CustomerRemoval.objects.filter(state=pending).aggregate(first=Min("due_at"))["first"],
        lists_to_ask_for().aggregate(first=Min("read_due_at"))["first"],
    ]
    known = [moment for moment in moments if moment is not None]
    return max(0.0, (min(known) - timezone.now()).total_seconds()) if known else None
