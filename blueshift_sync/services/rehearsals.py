"""What would be sent, by doing all that comes before the sending, and undoing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import router, transaction
from django.db.models import Q

from ..delivery.lists import list_request
from ..delivery.runs import SentModel, models_of
from ..delivery.selections import Selection
from ..models import ApiCall, CustomerList, ListMembership, SyncRun
from ..sources.behind import OF_KIND, leads_to
from ..sources.preview import Planned
from ..sources.rehearsal import Place, Rehearsal, rehearse
from .runs import ACTIONS, Record, Trigger, run_of
from .sending import failed_of, known_model


def rehearse_push(records: Selection, *, after: Place | None = None) -> Rehearsal:
    """What `push` would send of these records: of the first of them, or of those that come `after` a place.

    This and its like are told by doing it and undoing it, so it is what would be sent if nothing else waited. Nothing
    leaves, and nothing is left of it. `Rehearsal.place` says where the next ones begin.
    """
    return _rehearse(known_model(records.model), [records], "send", after)


def rehearse_list_change(
    customer_list: CustomerList, customers: Selection, *, is_member: bool, after: Place | None = None
) -> Rehearsal:
    """What `add_to_list` or `remove_from_list` would send, as `rehearse_push` tells it."""
    options = {"list": customer_list.pk, "is_member": is_member}
    return _rehearse(ListMembership, [customers], "set_members", after, **options)


def rehearse_new_list(make: Callable[[], CustomerList]) -> Rehearsal:
    """What a worker would send for the list that `make` makes, which isn't made for good."""
    with transaction.atomic(using=router.db_for_write(CustomerList)):
        found = Rehearsal([Planned(list_request(make()), [])])
        transaction.set_rollback(True, using=router.db_for_write(CustomerList))
    return found


def rehearse_retry(run: SyncRun, *, after: Place | None = None) -> Rehearsal:
    """What `retry` would send, as `rehearse_push` tells it."""
    return _rehearse(models_of(run)[0], failed_of(run), "retry", after)


def rehearse_resend(call: ApiCall, *, after: Place | None = None) -> Rehearsal:
    """What `resend` of this one call would send, as `rehearse_push` tells it."""
    selection = Selection(ApiCall, Q(pk=call.pk))
    for kind in OF_KIND:
        if leads_to(selection, kind):
            return _rehearse(kind, [selection], "send", after)
    return Rehearsal()


def _rehearse(
    model: type[Record] | SentModel, selections: Sequence[Selection], do: str, after: Place | None, **options: Any
) -> Rehearsal:
    run = run_of(model, Trigger.COMMAND, None)
    return rehearse(run, selections, do, ACTIONS[do], after=after, **options)
