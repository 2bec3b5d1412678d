"""Stopping for a key that Blueshift refuses, and finding out when it is good again.

Nothing becomes FAILED by it. One harmless call at growing intervals probes the key; an operator can have it done now.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from ..client import Answer, BlueshiftClient, CallOutcome, find_customer, read_answer
from ..models import ApiCall, Customer, SendingStop
from ..signals import sending_resumed, sending_stopped
from .audit import open_calls
from .batches import Batch, Finished
from .redis import account_digest
from .settle import settle
from .throttle import take_turn

logger = logging.getLogger(__name__)

#: Seconds until the first probe, and at most between two; doubles.
FIRST_PROBE = 60
LONGEST_PROBE_INTERVAL = 3600
#: Looked for by the probe; nobody's address.
PROBE_EMAIL = "blueshift-sync-probe@example.com"
#: Answers that show a good key, whatever else they say.
KEY_IS_GOOD = {
    CallOutcome.ANSWERED,
    CallOutcome.BAD_REQUEST,
    CallOutcome.NOT_FOUND,
    CallOutcome.UNPROCESSABLE,
}


def current_stop() -> SendingStop | None:
    """Why nothing is sent to the account that the settings name; None when it may be sent to."""
    return SendingStop.objects.filter(account=account_digest()).first()


def stop_sending(answer: Answer) -> None:
    """Blueshift refused the key: nothing more is sent until a probe succeeds or the key changes."""
    _stop, is_new = SendingStop.objects.get_or_create(
        account=account_digest(),
        defaults={
            "code": answer.code,
            "reason": answer.message,
            "probe_at": timezone.now() + timedelta(seconds=FIRST_PROBE),
        },
    )
    if is_new:
        logger.error(
            "Blueshift refuses the key (%s): sending stops until a check of the key succeeds.",
            answer.code,
            extra={"event": "sending_stopped", "code": answer.code},
        )
        sending_stopped.send_robust(sender=SendingStop, code=answer.code, reason=answer.message)


def may_send(client: BlueshiftClient, job_id: str) -> bool:
    """Whether sending isn't stopped. Probes the key first where that is due."""
    stop = current_stop()
    if stop is None:
        return True
    return _claim_probe(stop) and probe(client, job_id)[1].outcome in KEY_IS_GOOD


def _claim_probe(stop: SendingStop) -> bool:
    """Of all workers, one sends the probe that is due."""
    interval = min(LONGEST_PROBE_INTERVAL, FIRST_PROBE * 2 ** min(stop.probes + 1, 20))
    due = SendingStop.objects.filter(pk=stop.pk, probes=stop.probes, probe_at__lte=timezone.now())
    return bool(due.update(probes=F("probes") + 1, probe_at=timezone.now() + timedelta(seconds=interval)))


def probe(client: BlueshiftClient, job_id: str = "") -> tuple[ApiCall, Answer]:
    """Asks Blueshift something that changes nothing, on the record as every call. A good key ends the stop."""
    batch = Batch(find_customer(PROBE_EMAIL), run_id=None, model=Customer)
    http_call = client.prepare(batch.request)
    [call] = open_calls([(batch, http_call)], job_id)
    exchange = client.send(http_call, before_leaving=take_turn)
    answer = read_answer(batch.request, exchange)
    settle([Finished(batch, call, exchange, answer)])
    if answer.outcome in KEY_IS_GOOD:
        stopped, _ = SendingStop.objects.filter(account=account_digest()).delete()
        if stopped:
            logger.warning("Blueshift takes the key again: sending goes on.", extra={"event": "sending_resumed"})
            sending_resumed.send_robust(sender=SendingStop)
    call.refresh_from_db()
    return call, answer
