"""Customer lists, and who is on them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import router, transaction
from django.db.models import Q, QuerySet

from ..delivery import asking, bulk, gathering
from ..delivery.idempotency import RequestKey
from ..delivery.locks import gives_way
from ..delivery.push import push_records
from ..delivery.runs import finish_if_done
from ..delivery.selections import AnySelection, ObjectSelection, Selection
from ..exceptions import BlueshiftSyncError
from ..models import Customer, CustomerList, ListMembership, SyncRun
from .runs import CHUNK, Trigger, gather, go_on_gathering, run_of
from .sending import push


def create_list(
    name: str,
    *,
    description: str = "",
    identifier_key: str = "email",
    mode: str = "",
    asked_as: RequestKey | None = None,
) -> CustomerList:
    """Has a list created in Blueshift, which a worker does. Members can be added at once; they wait for it.

    `identifier_key` is "email" or "customer_id"; `mode` is "async", "sync" or empty, for the setting's. Raises
    BlueshiftSyncError for what can't be a list, and where one of this name is waiting to be created already. What is
    `asked_as` another one was before gets that list.
    """
    return asking.create_list(
        name, description=description, identifier_key=identifier_key, mode=mode, asked_as=asked_as
    )


def take_on_list(
    list_id: int, *, identifier_key: str = "", mode: str = "", asked_as: RequestKey | None = None
) -> CustomerList:
    """Takes on a list that is in Blueshift, by its number. A worker reads it before the first member is sent.

    `identifier_key` may be left empty, as Blueshift says it; where it says another one, the list stops. Raises
    BlueshiftSyncError for what can't be a list's number, and for one that is there already.
    """
    return asking.take_on_list(list_id, identifier_key=identifier_key, mode=mode, asked_as=asked_as)


def read_list(customer_list: CustomerList) -> None:
    """Has a worker read the list from Blueshift soon: its name, identifier and user count. A stopped one stays so.

    Raises BlueshiftSyncError for a list that isn't in Blueshift yet.
    """
    asking.ask_to_read(customer_list)


def try_list_again(customer_list: CustomerList) -> None:
    """Ends the stop of a list. A worker creates or reads it; its members follow only when that went well.

    The identifier that Blueshift has said is taken over.
    """
    asking.try_again(customer_list)


def may_be_renumbered(customer_list: CustomerList) -> bool:
    """Whether `renumber_list` takes the list: nobody is known to be on it in Blueshift, or there is no such list."""
    return asking.may_be_renumbered(customer_list)


def renumber_list(
    customer_list: CustomerList, list_id: int, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND
) -> SyncRun:
    """Mends a number that was mistyped: a worker reads the list that has it, and all memberships go there, sent or not.

    Returns the run. Raises BlueshiftSyncError for a list of which Blueshift has accepted members under the old number,
    for what can't be a list's number, and for one that is there already.
    """
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        asking.renumber(customer_list, list_id)
        run = run_of(ListMembership, trigger, requested_by)
        gathering.begin(run, [Selection(ListMembership, Q(customer_list=customer_list.pk))], "send_anew")
    return go_on_gathering(run)


def send_list(customer_list: CustomerList, requested_by: Any = None, *, trigger: Trigger = Trigger.COMMAND) -> SyncRun:
    """Sends all of the list's memberships again, of members and of others: for a list that drifted.

    EXCLUDED ones are left out. Returns the run; so many at once are brought into it as `push` does it.
    """
    return push(Selection(ListMembership, Q(customer_list=customer_list.pk)), requested_by, trigger=trigger)


def add_to_list(
    customer_list: CustomerList,
    customers: AnySelection | QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
    asked_as: RequestKey | None = None,
) -> SyncRun:
    """Says that these customers should be on the list, and sends that now. Of a selection as `push` does it.

    Those of whom Blueshift is known to have it so already need no call; the run counts them as unchanged.
    """
    run = run_of(ListMembership, trigger, requested_by, asked_as)
    return _change_list(customer_list, customers, run, is_member=True)


def remove_from_list(
    customer_list: CustomerList,
    customers: AnySelection | QuerySet[Customer] | Iterable[Customer],
    requested_by: Any = None,
    *,
    trigger: Trigger = Trigger.COMMAND,
    asked_as: RequestKey | None = None,
) -> SyncRun:
    """Says that these customers shouldn't be on the list, and sends that now. As `add_to_list` does it."""
    run = run_of(ListMembership, trigger, requested_by, asked_as)
    return _change_list(customer_list, customers, run, is_member=False)


def change_memberships(
    memberships: Selection, requested_by: Any = None, *, is_member: bool, trigger: Trigger = Trigger.COMMAND
) -> SyncRun:
    """Says of these memberships that the customer should be on the list, or not, and sends that now.

    As `add_to_list` does it.
    """
    run = run_of(ListMembership, trigger, requested_by)
    return gather(run, [memberships], "change_memberships", is_member=is_member)


def _change_list(
    customer_list: CustomerList, customers: AnySelection | Iterable[Customer], run: SyncRun, *, is_member: bool
) -> SyncRun:
    if isinstance(customers, Selection | ObjectSelection):
        return gather(run, [customers], "set_members", list=customer_list.pk, is_member=is_member)
    if isinstance(customers, QuerySet):
        _check_are_customers(customers.model)
        customers = customers.iterator(CHUNK)
    iterator = iter(customers)
    pks: list[int] = []
    overtaken: set[int] = set()
    say_members = gives_way(bulk.say_members)
    while chunk := list(islice(iterator, CHUNK)):
        for customer in chunk:
            _check_are_customers(type(customer))
        said = say_members(customer_list.pk, [customer.pk for customer in chunk], is_member=is_member)
        pks += said.to_send
        overtaken |= said.overtaken
        run.unchanged += said.in_step
    run.save()
    push_records(ListMembership, pks, run)
    for run_id in overtaken:
        finish_if_done(run_id)
    return run


def _check_are_customers(model: type[Any]) -> None:
    """Raises BlueshiftSyncError for another model: its keys would be taken for those of customers."""
    if not issubclass(model, Customer):
        raise BlueshiftSyncError(
            f"Only Customer objects can be put on a list, or taken off, not {model.__name__} objects. "
            "For objects of your own hand over an ObjectSelection of their queryset."
        )
