"""What is due, as batches: customers, memberships and removals by turns, so that none waits for the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from math import ceil
from typing import Any

from django.utils import timezone

from ..models import Customer, CustomerRemoval, ListMembership, SyncRun
from .batches import LARGEST_BODY, Batch
from .claim import NOT_JSON, Claim, put_aside, release
from .customers import claim_customers, customers_batch
from .lists import claim_list, give_up_asking, list_batch
from .memberships import ListTurns, claim_memberships, memberships_batch
from .removals import claim_removals, removal_batch
from .runs import close_run

#: Seconds for which a kind of work isn't asked for again after it had none, while there is other work.
IDLE = 0.5

#: What is said of a record that is too large for a call by itself.
TOO_LARGE = (
    "value_not_sendable",
    f"This record makes a call of more than {LARGEST_BODY:,} bytes: it needs shorter texts, or fewer attributes.",
)

Take = Callable[[int], list[Batch]]


class Work:
    """Where one drain gets its batches from, and the runs that it makes for what changed by itself."""

    def __init__(self) -> None:
        self._kinds: list[Take] = [self._customers, self._memberships, self._removals]
        self._idle_until: dict[Take, float] = {}
        self._own_runs: dict[SyncRun.Kind, int] = {}
        self._turns = ListTurns()
        self._was_lists_turn = False

    def take(self, calls: int, *, is_urgent: bool) -> list[Batch]:
        """Batches for up to so many calls, shared out among the kinds of work, which go by turns.

        `is_urgent`: there is no other work, so every kind is asked.
        """
        now = time.monotonic()
        asked = [kind for kind in self._kinds if is_urgent or self._idle_until.get(kind, now) <= now]
        taken: dict[Take, list[Batch]] = {}
        left = calls
        for number, kind in enumerate(asked):
            share = ceil(left / (len(asked) - number))
            if share == 0:
                break
            batches = kind(share)
            if batches:
                taken[kind] = batches
            else:
                self._idle_until[kind] = now + IDLE
            left -= len(batches)
        # Whoever had nothing keeps its place; of the others the one that was first, and got most, is last.
        self._kinds = [*(kind for kind in self._kinds if kind not in taken), *reversed(taken)]
        return [batch for turns in zip_longest(*taken.values()) for batch in turns if batch is not None]

    def owns(self, run_id: int | None) -> bool:
        """Whether this is a run of this drain's own, which ends with it."""
        return run_id in self._own_runs.values()

    def close(self) -> None:
        """No more is taken: the runs of this drain's own are complete."""
        for run_id in self._own_runs.values():
            close_run(run_id)

    def _customers(self, calls: int) -> list[Batch]:
        return batches_of(claim_customers(self._name_run, calls), customers_batch, Customer)

    def _memberships(self, calls: int) -> list[Batch]:
        """A list itself takes a place in turn with the members, so that none of them waits for all lists to be read."""
        is_lists_turn = calls > 1 or not self._was_lists_turn
        self._was_lists_turn = is_lists_turn
        batches = self._list_call() if is_lists_turn else []
        claims = claim_memberships(self._name_run, calls - len(batches), self._turns)
        batches += batches_of(claims, memberships_batch, ListMembership)
        return batches or ([] if is_lists_turn else self._list_call())

    def _list_call(self) -> list[Batch]:
        customer_list = claim_list()
        if customer_list is None:
            return []
        return [list_batch(customer_list, self._name_run(SyncRun.Kind.LISTS))]

    def _removals(self, calls: int) -> list[Batch]:
        return batches_of(claim_removals(self._name_run, calls), removal_batch, CustomerRemoval)

    def _name_run(self, kind: SyncRun.Kind) -> int:
        """The run of this drain for what changed by itself; made when first needed."""
        own = SyncRun.objects.filter(pk=self._own_runs.get(kind, 0), closed_at=None)
        # The claim that made it may have been taken back, or somebody has cancelled it.
        if not own.exists():
            run = SyncRun.objects.create(kind=kind, trigger=SyncRun.Trigger.SIGNAL, heartbeat_at=timezone.now())
            self._own_runs[kind] = run.pk
        return self._own_runs[kind]


def batches_of(claims: Sequence[Claim], batch_of: Callable[[Claim], Batch], model: type[Any]) -> list[Batch]:
    """The batches of these claims, but for those that can't be written down, or are too large."""
    batches = []
    for claim in claims:
        try:
            batch = batch_of(claim)
        except (TypeError, ValueError, RecursionError):
            put_aside(model, claim, *NOT_JSON)
            continue
        if batch.is_too_large:
            put_aside(model, claim, *TOO_LARGE)
        else:
            batches.append(batch)
    return batches


def give_up(batch: Batch) -> None:
    """The batch is not sent: what it carries is due as before."""
    if batch.claim is not None:
        release(batch.model, batch.claim)
    elif batch.customer_list is not None:
        give_up_asking(batch.customer_list)
