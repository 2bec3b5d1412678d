"""How everything stands: what the overview in the admin and `manage.py blueshift_status` tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from ..conf import app_settings
from ..exceptions import RedisUnavailable
from ..models import ApiCall, Customer, CustomerRemoval, ListMembership
from .claim import mirror
from .figures import last_sweep
from .removal_guards import APPROVAL_NEEDED
from .runs import MODELS, SentModel
from .standstill import Standstill, current_standstill
from .state_counts import BOUND, GROUPS, Number, StateNumbers, count_up_to, rows_by_state, state_numbers
from .workers import Workers, workers

#: A sweep runs every 15 seconds, or every minute where cron starts it, and may wait for a busy worker.
SWEEP_IS_LATE = timedelta(minutes=5)
#: Even of tens of millions of records, the sweep counts those of a state more often than this.
COUNT_IS_OLD = timedelta(hours=2)
#: So many calls in a row without a proper answer are no accident any more.
MANY_FAILURES = 10
#: What is a choice of the site's, and no fault.
CHOSEN = "switched_off"


@dataclass(frozen=True)
class Problem:
    """What keeps records from being sent, or may: a code for programs, a sentence for people that says what to do."""

    code: str
    sentence: str

    @property
    def is_fault(self) -> bool:
        return self.code != CHOSEN


@dataclass(frozen=True)
class Status:
    """How everything stands at one moment.

    `workers` is None where Redis doesn't answer, for the reason in `redis_trouble`. `for_approval`: removals that wait
    for somebody's yes, counted up to a bound. `calls_allowed` is per minute; None: no limit.
    """

    taken_at: datetime
    records: Sequence[StateNumbers]
    for_approval: Number
    standstill: Standstill | None
    workers: Workers | None
    redis_trouble: str
    swept_at: datetime | None
    calls_last_minute: int
    calls_allowed: float | None

    @property
    def problems(self) -> list[Problem]:
        """What is in the way, the most important first; empty when all is well."""
        return [*self._trouble_with_sending(), *self._trouble_with_workers(), *self._trouble_with_the_sweep()]

    @property
    def faults(self) -> list[Problem]:
        """Those of the problems that somebody has to mend."""
        return [problem for problem in self.problems if problem.is_fault]

    def _trouble_with_sending(self) -> Iterator[Problem]:
        if self.standstill:
            yield Problem(self.standstill.code, self.standstill.sentence)
        failures = self.workers.failures if self.workers else 0
        if failures >= MANY_FAILURES:
            text = _("The last %(number)s calls got no proper answer from Blueshift. It is tried less and less often.")
            yield Problem("no_answer", text % {"number": number_format(failures, force_grouping=True)})

    def _trouble_with_workers(self) -> Iterator[Problem]:
        if self.workers is None:
            text = _("Redis can't be used, and nothing is sent without it: %(trouble)s")
            yield Problem("redis_unavailable", text % {"trouble": self.redis_trouble})
        elif not self.workers.alive:
            text = _("No worker is running: start “manage.py rqworker %(queue)s”.")
            yield Problem("no_worker", text % {"queue": app_settings().QUEUE})
        elif self.workers.are_suspended:
            yield Problem("workers_suspended", _("The workers are suspended: “rq resume” lets them go on."))

    def _trouble_with_the_sweep(self) -> Iterator[Problem]:
        if self.swept_at is None:
            text = _("The periodic sweep has never run: start “manage.py rqcron blueshift_sync.cron”.")
            yield Problem("sweep_late", text)
        elif self._sweep_is_late:
            text = _("The periodic sweep last ran %(time)s ago: start “manage.py rqcron blueshift_sync.cron”.")
            yield Problem("sweep_late", text % {"time": time_text(self.swept_at, self.taken_at)})

    @property
    def _sweep_is_late(self) -> bool:
        return self.swept_at is None or self.taken_at - self.swept_at > SWEEP_IS_LATE

    def knows(self, number: Number) -> bool:
        """Whether the number says how it is: it was counted just now, or not long ago by a sweep that goes on."""
        if number.is_exact:
            return True
        is_recent = number.counted_at is not None and self.taken_at - number.counted_at < COUNT_IS_OLD
        return is_recent and not self._sweep_is_late

    @property
    def machinery(self) -> list[tuple[str, str]]:
        """What sends, and how it is, as labels and values."""
        return [
            (_("Sending"), self._sending()),
            (_("Workers"), self._alive()),
            (_("Redis"), _("Answers") if self.workers else _("Doesn't answer")),
            (_("Periodic sweep"), self._swept()),
        ]

    def _sending(self) -> str:
        if self.standstill:
            return _("Switched off") if self.standstill.code == CHOSEN else _("Stopped")
        if self.workers and self.workers.paused_seconds:
            seconds = ceil(self.workers.paused_seconds)
            return ngettext("Pauses for %(number)s second", "Pauses for %(number)s seconds", seconds) % {
                "number": seconds
            }
        return _("On")

    def _alive(self) -> str:
        if self.workers is None:
            return _("Not known")
        return _("%(alive)s, of which %(busy)s busy") % {"alive": self.workers.alive, "busy": self.workers.busy}

    def _swept(self) -> str:
        if self.swept_at is None:
            return _("Never")
        return _("%(time)s ago") % {"time": time_text(self.swept_at, self.taken_at)}

    @property
    def calls(self) -> tuple[str, str]:
        """The calls of the last minute against the limit, as a label and a value."""
        made = number_format(self.calls_last_minute, force_grouping=True)
        if self.calls_allowed is not None:
            allowed = number_format(self.calls_allowed, decimal_pos=0, force_grouping=True)
            made = _("%(made)s of at most %(allowed)s") % {"made": made, "allowed": allowed}
        return _("Calls in the last minute"), made

    @property
    def is_empty(self) -> bool:
        return all(numbers.is_empty for numbers in self.records)

    @property
    def summary(self) -> list[str]:
        """How the records stand, in sentences."""
        if not self.records:
            return []
        if self.is_empty:
            return [_("Nothing is mirrored yet.")]
        sentences = list(self._sentences())
        return sentences or [_("Everything is in step.")]

    def _sentences(self) -> Iterator[str]:
        for numbers in self.records:
            oldest = time_text(numbers.oldest or self.taken_at, self.taken_at)
            for group, sentence in SENTENCES[numbers.model].items():
                number = numbers.numbers[group]
                if group == "parked" and numbers.model is CustomerRemoval and self.for_approval.value:
                    sentence, number = WAITS_FOR_APPROVAL, self.for_approval  # noqa: PLW2901
                if number.value:
                    yield capfirst(sentence % {"count": number.value, "number": quantity(number), "time": oldest})


#: What is said of each kind of record that isn't at rest.
SENTENCES: dict[SentModel, dict[str, Any]] = {
    Customer: {
        "failed": ngettext_lazy("%(number)s customer failed.", "%(number)s customers failed.", "count"),
        "waiting": ngettext_lazy(
            "%(number)s customer waits, for %(time)s.",
            "%(number)s customers wait, the oldest for %(time)s.",
            "count",
        ),
        "parked": ngettext_lazy(
            "%(number)s customer waits for something else.", "%(number)s customers wait for something else.", "count"
        ),
        "sending": ngettext_lazy("%(number)s customer is being sent.", "%(number)s customers are being sent.", "count"),
    },
    ListMembership: {
        "failed": ngettext_lazy("%(number)s list membership failed.", "%(number)s list memberships failed.", "count"),
        "waiting": ngettext_lazy(
            "%(number)s list membership waits, for %(time)s.",
            "%(number)s list memberships wait, the oldest for %(time)s.",
            "count",
        ),
        "parked": ngettext_lazy(
            "%(number)s list membership waits for its customer or its list.",
            "%(number)s list memberships wait for their customers or lists.",
            "count",
        ),
        "sending": ngettext_lazy(
            "%(number)s list membership is being sent.", "%(number)s list memberships are being sent.", "count"
        ),
    },
    CustomerRemoval: {
        "failed": ngettext_lazy(
            "%(number)s removal of a customer failed.", "%(number)s removals of customers failed.", "count"
        ),
        "waiting": ngettext_lazy(
            "%(number)s removal of a customer waits, for %(time)s.",
            "%(number)s removals of customers wait, the oldest for %(time)s.",
            "count",
        ),
        "parked": ngettext_lazy(
            "%(number)s removal of a customer waits for what has to go first.",
            "%(number)s removals of customers wait for what has to go first.",
            "count",
        ),
        "sending": ngettext_lazy(
            "%(number)s removal of a customer is being sent.",
            "%(number)s removals of customers are being sent.",
            "count",
        ),
    },
}
WAITS_FOR_APPROVAL = ngettext_lazy(
    "%(number)s removal of a customer waits until somebody approves or cancels it.",
    "%(number)s removals of customers wait until somebody approves or cancels them.",
    "count",
)


def take_status(models: Sequence[SentModel] = MODELS, up_to: Mapping[str, int] | None = None) -> Status:
    """How everything stands now, told of the records of these models. `up_to` is as for `state_numbers`.

    A bounded number of queries by index, and two looks at Redis that wait no longer than a moment.
    """
    now = timezone.now()
    found, trouble = _workers()
    rate = app_settings().CALLS_PER_SECOND
    return Status(
        taken_at=now,
        records=state_numbers(models, up_to),
        for_approval=_for_approval() if CustomerRemoval in models else Number(0),
        standstill=current_standstill(),
        workers=found,
        redis_trouble=trouble,
        swept_at=last_sweep(),
        calls_last_minute=ApiCall.objects.using(mirror()).filter(started_at__gt=now - timedelta(minutes=1)).count(),
        calls_allowed=None if rate is None else rate * 60,
    )


def _workers() -> tuple[Workers | None, str]:
    try:
        return workers(), ""
    except RedisUnavailable as error:
        return None, str(error)


def _for_approval() -> Number:
    rows = rows_by_state(CustomerRemoval).filter(GROUPS["parked"], error_code=APPROVAL_NEEDED[0])
    counted = count_up_to({"all": (rows, BOUND + 1)})["all"]
    return Number(min(counted, BOUND), is_exact=counted <= BOUND)


# In words


def quantity(number: Number) -> str:
    """ "1,203", or "more than 1,000"."""
    digits = number_format(number.value, force_grouping=True)
    return digits if number.is_exact or number.counted_at else _("more than %(number)s") % {"number": digits}


def time_text(since: datetime, now: datetime) -> str:
    """How long it is ago: seconds, or the largest unit and the next one, as in "2 hours, 5 minutes"."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 60:
        return ngettext("%(number)s second", "%(number)s seconds", seconds) % {"number": seconds}
    return timesince(since, now)
