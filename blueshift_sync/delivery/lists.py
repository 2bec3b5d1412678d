"""Customer lists themselves: creating them in Blueshift, reading them from it, and what an answer says of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..client import Answer, CallOutcome, Endpoint, Request, create_list, is_from_the_api, read_list
from ..conf import app_settings
from ..models import ApiCall, CustomerList, ListMembership, SyncState
from .batches import Batch, Finished
from .lease import Lease
from .parking import REASONS, wake_parked
from .policy import IDENTIFIER_DIFFERS, LIST_NOT_CREATED, LIST_SOURCE_UNKNOWN, LIST_TROUBLES, backoff_seconds

#: How often a list is read anew.
READ_EVERY = timedelta(days=1)
#: A list that was read so lately has the identifier that Blueshift said: what it refuses, it refuses for the members.
#: So long that among many other lists' calls the members are halved, and not the list read again before each half.
LATELY = timedelta(hours=1)

Status = CustomerList.Status


def lists_to_ask_for() -> QuerySet[CustomerList]:
    """The lists that are to be created or read, now or later."""
    return CustomerList.objects.filter(read_due_at__isnull=False)


def claim_list() -> CustomerList | None:
    """Takes a list that has to be created or read; nobody else does so until the lease is over."""
    now = timezone.now()
    for row in lists_to_ask_for().filter(read_due_at__lte=now).order_by("read_due_at", "pk")[:1]:
        lease = timedelta(seconds=app_settings().LEASE_SECONDS)
        if row.is_to_be_created and not (row.name.strip() and row.identifier_key):
            CustomerList.objects.filter(pk=row.pk).update(**_stopped(LIST_NOT_CREATED, NAMELESS, now))
        elif CustomerList.objects.filter(pk=row.pk, read_due_at=row.read_due_at).update(read_due_at=now + lease):
            return row
    return None


def list_batch(customer_list: CustomerList, run_id: int) -> Batch:
    """The call that creates the list, or reads it; it carries no records."""
    return Batch(list_request(customer_list), run_id, ListMembership, customer_list=customer_list, own_lease=Lease())


def list_request(customer_list: CustomerList) -> Request:
    """What creates the list in Blueshift, or reads it where it has a number."""
    if customer_list.list_id is None:
        return create_list(customer_list.name, customer_list.description, customer_list.identifier_key)
    return read_list(customer_list.list_id)


def give_up_asking(customer_list: CustomerList) -> None:
    """The list was neither created nor read: it is due as before."""
    CustomerList.objects.filter(pk=customer_list.pk).update(read_due_at=timezone.now())


def settle_list(finished: Finished) -> None:
    """Writes down what the answer says of the list that its call concerned, if any.

    Where the call's members have to wait for the list, `finished.members_wait` says why.
    """
    if finished.batch.customer_list is None:
        return
    asked = finished.batch.customer_list
    # Somebody may have mended its number since: then what is said is said of another list.
    rows = CustomerList.objects.filter(pk=asked.pk, list_id=asked.list_id)
    match finished.batch.request.endpoint:
        case Endpoint.LIST_CREATE:
            _settle_creation(rows, finished)
        case Endpoint.LIST_READ:
            _settle_reading(rows, finished)
        case _:
            finished.members_wait = _settle_change(rows, finished)


def after_list_call(batch: Batch) -> None:
    """Counts the members of a list that was read, and has those due who waited for it.

    Not in the transaction that settles its call: they may be millions.
    """
    if batch.customer_list is None or batch.request.endpoint not in {Endpoint.LIST_READ, Endpoint.LIST_CREATE}:
        return
    members = ListMembership.objects.filter(customer_list=batch.customer_list.pk)
    note_counts(batch.customer_list.pk)
    wake_parked(members, timezone.now())


def note_counts(pk: int) -> None:
    """How many members the list should have, and is known to have; to be compared with what Blueshift says.

    Of who is excluded, here or as a customer, nothing is sent: nobody can say that they should be on it.
    """
    members = ListMembership.objects.filter(customer_list=pk).order_by()
    wanted = Q(is_member=True) & ~Q(state=SyncState.State.EXCLUDED)
    counts = members.aggregate(
        wanted=Count("pk", filter=wanted), known_count=Count("pk", filter=Q(synced_is_member=True))
    )
    # By themselves, as there are few of them or none.
    withdrawn = members.filter(wanted, customer__state=SyncState.State.EXCLUDED).count()
    CustomerList.objects.filter(pk=pk).update(
        wanted_count=counts["wanted"] - withdrawn, known_count=counts["known_count"]
    )


# Creating

NAMELESS = "A list is created by its name and its identifier: enter both, or the number of a list that is there."


def _settle_creation(rows: QuerySet[CustomerList], finished: Finished) -> None:
    """What an answer says that comes late too: somebody else may have created the list meanwhile."""
    rows = rows.filter(list_id=None)
    answer, now = finished.answer, timezone.now()
    if answer.outcome == CallOutcome.ANSWERED:
        number = answer.data["id"]
        if CustomerList.objects.filter(list_id=number).exists():
            rows.update(**_stopped(LIST_NOT_CREATED, _sentence_of_number_taken(number), now))
        else:
            rows.update(list_id=number, **_facts_of_new(rows, answer.data, now))
    elif answer.outcome in {CallOutcome.BAD_REQUEST, CallOutcome.UNPROCESSABLE, CallOutcome.TOO_LARGE}:
        may_be_made = _may_have_been_made(finished)
        rows.update(**_stopped(LIST_NOT_CREATED, _sentence_of_refusal(answer, may_be_made=may_be_made), now))
    else:
        _try_again_later(rows, finished)


def _facts_of_new(rows: QuerySet[CustomerList], data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The columns of a list that Blueshift has created; it is read where the answer doesn't say enough."""
    row = rows.first()
    if row is not None and data.get("source") == row.identifier_key:
        return _facts(row, data, now)
    return {**_NO_ERROR, "read_due_at": now}


def _may_have_been_made(finished: Finished) -> bool:
    """Whether an earlier call may have created the list, though nobody knows its number."""
    earlier = ApiCall.objects.filter(
        customer_list=finished.batch.customer_list, endpoint=ApiCall.Endpoint.LIST_CREATE
    ).exclude(pk=finished.call.pk)
    unsure = Q(state__in=[ApiCall.State.UNKNOWN, ApiCall.State.OPEN]) | Q(status_code__gte=500)
    return earlier.filter(unsure).exists()


def _sentence_of_refusal(answer: Answer, *, may_be_made: bool) -> str:
    if may_be_made:
        return (
            f"{answer.message} An earlier call got no answer and may have created the list: look in Blueshift for a "
            "list of this name. If it is there, enter its number here; if not, choose another name. Then try again."
        )
    return (
        f"{answer.message} The list was not created. Choose another name and try again; or, if the list of this name "
        "is the one you mean, enter its number here and try again."
    )


def _sentence_of_number_taken(number: int) -> str:
    return (
        f"Blueshift answered with the number {number}, which another list here has. Look in Blueshift what that list "
        "is. If it is this one, use the other row and delete this one; if not, choose another name and try again."
    )


# Reading


def _settle_reading(rows: QuerySet[CustomerList], finished: Finished) -> None:
    answer, now = finished.answer, timezone.now()
    status = _status_said(finished)
    if status is not None:
        _stop(rows, status, now)
        never_read = rows.filter(status=Status.DELETED, read_at=None)
        for number in never_read.values_list("list_id", flat=True):
            rows.update(error_message=_sentence_of_no_such_list(number))
    elif answer.outcome != CallOutcome.ANSWERED:
        _try_again_later(rows, finished)
    elif (row := rows.first()) is not None:
        _unless_stopped_since(row, rows).update(**_facts(row, answer.data, now))


def _unless_stopped_since(row: CustomerList, rows: QuerySet[CustomerList]) -> QuerySet[CustomerList]:
    """The list, but if another worker has stopped it since: then it waits for somebody, and isn't ready again."""
    return rows.filter(stopped_at=row.stopped_at)


def _facts(row: CustomerList, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What "read list" says of a list, as columns. Its name comes back as `filename`.

    One that has stopped stays so: somebody is to have it tried again.
    """
    user_count = data.get("user_count")
    source = str(data.get("source") or "")[:64]
    columns = {
        "name": str(data.get("filename") or data.get("name") or "")[:255] or row.name,
        "source": source,
        "user_count": user_count if isinstance(user_count, int) and user_count >= 0 else None,
        "read_at": now,
        "read_due_at": now + READ_EVERY,
        "attempts": 0,
    }
    if data.get("deleted_at") or str(data.get("status", "")).lower() == "deleted":
        return columns | _stopped_for(Status.DELETED, now)
    if row.has_stopped:
        return columns | {"read_due_at": None}
    key = row.identifier_key or source
    if key not in CustomerList.IdentifierKey.values:
        return columns | _stopped(LIST_SOURCE_UNKNOWN, SENTENCE_OF_UNKNOWN_SOURCE, now)
    if source and source != key:
        return columns | _stopped(IDENTIFIER_DIFFERS, _sentence_of_difference(source, key), now)
    return columns | {**_NO_ERROR, "identifier_key": key, "is_ready": True}


def _sentence_of_no_such_list(number: int | None) -> str:
    """Of a list that has never been read: nobody knows whether it ever was there."""
    return (
        f"Blueshift has no list with the number {number}: it was deleted there, or the number is wrong. "
        "The right one is in the address of the list's page in Blueshift: enter it here, and everything is sent to "
        "that list. Where a source names the number, mend it there."
    )


SENTENCE_OF_UNKNOWN_SOURCE = (
    "Blueshift doesn't say by which identifier this list knows its customers: customer IDs or e-mail addresses. "
    "Look at the list in Blueshift, then try again."
)


def _sentence_of_difference(source: str, key: str) -> str:
    return (
        f"In Blueshift this list knows its customers by {source}, and here it was said to do so by {key}. "
        "If Blueshift is right, try again: its identifier is taken over. If not, this isn't the list that was meant."
    )


# Adding and removing members


def _settle_change(rows: QuerySet[CustomerList], finished: Finished) -> tuple[str, str] | None:
    """Returns why the call's members have to wait for the list, as a code and a sentence; None where they needn't."""
    answer, now = finished.answer, timezone.now()
    status = _status_said(finished)
    if status is not None:
        _stop(rows, status, now)
        return LIST_TROUBLES[status]
    if answer.outcome == CallOutcome.BAD_REQUEST and not rows.filter(read_at__gt=now - LATELY).exists():
        # That is what Blueshift says of a wrong identifier: the list is read before anything else is tried.
        rows.filter(stopped_at=None).update(is_ready=False, read_due_at=now)
        return REASONS["list_unread"]
    if answer.outcome != CallOutcome.ANSWERED:
        rows.filter(stopped_at=None).update(error_code=answer.code[:64], error_message=answer.message)
    else:
        rows.filter(stopped_at=None).exclude(error_code="").update(**_NO_ERROR)
    return None


# What both have in common

_NO_ERROR = {"error_code": "", "error_message": "", "attempts": 0}


def _status_said(finished: Finished) -> CustomerList.Status | None:
    """What Blueshift says of the list as a whole. A 404 of a gateway, or of a wrong address, says nothing of it."""
    return finished.policy.list_status if is_from_the_api(finished.exchange) else None


def _stop(rows: QuerySet[CustomerList], status: CustomerList.Status, now: datetime) -> None:
    rows.update(**_stopped_for(status, now))


def _stopped_for(status: CustomerList.Status, now: datetime) -> dict[str, Any]:
    return {"status": status, **_stopped(*LIST_TROUBLES[status], now)}


def _stopped(code: str, message: str, now: datetime) -> dict[str, Any]:
    """The columns of a list whose members have to wait until somebody has it tried again, since now or since before."""
    return {
        "is_ready": False,
        "stopped_at": Coalesce("stopped_at", now),
        "read_due_at": None,
        "error_code": code,
        "error_message": message,
    }


def _try_again_later(rows: QuerySet[CustomerList], finished: Finished) -> None:
    """Temporary trouble: more and more patience, but the list isn't given up."""
    row = rows.first()
    if row is None:
        return
    attempts = row.attempts + int(finished.policy.uses_attempt)
    pause = backoff_seconds(attempts) if finished.policy.uses_attempt else finished.policy.pause_seconds
    error = {"error_code": finished.answer.code[:64], "error_message": finished.answer.message}
    _unless_stopped_since(row, rows).update(
        attempts=attempts,
        read_due_at=timezone.now() + timedelta(seconds=pause),
        **({} if row.has_stopped else error),
    )
