"""Customer lists themselves: reading them from Blueshift, and what an answer says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from ..client import Answer, CallOutcome, Endpoint, read_list
from ..models import CustomerList, ListMembership
from .batches import Batch
from .parking import wake_parked
from .policy import LIST_TROUBLES, Policy

#: Seconds after which a list is read again that couldn't be read.
READ_AGAIN_SECONDS = 30


def lists_to_read() -> QuerySet[CustomerList]:
    """The lists of which the identifier isn't known yet, and which can be read."""
    return CustomerList.objects.filter(identifier_key="", status=CustomerList.Status.ACTIVE)


def claim_list_to_read() -> CustomerList | None:
    """Takes a list whose identifier has to be read from Blueshift; nobody else does so for a while."""
    now = timezone.now()
    for row in lists_to_read().filter(read_due_at__lte=now).order_by("read_due_at", "pk")[:1]:
        again_at = now + timedelta(seconds=READ_AGAIN_SECONDS)
        if CustomerList.objects.filter(pk=row.pk, read_due_at=row.read_due_at).update(read_due_at=again_at):
            return row
    return None


def list_reading(customer_list: CustomerList, run_id: int) -> Batch:
    """The call that reads a list's name and identifier; it carries no records."""
    return Batch(read_list(customer_list.list_id), run_id, ListMembership, customer_list=customer_list)


def give_up_reading(customer_list: CustomerList) -> None:
    """The list was not read: it is due as before."""
    CustomerList.objects.filter(pk=customer_list.pk).update(read_due_at=timezone.now())


def settle_list(batch: Batch, answer: Answer, policy: Policy) -> None:
    """Writes down what the answer says of the list that its call concerned, if any."""
    if batch.customer_list is None:
        return
    rows = CustomerList.objects.filter(pk=batch.customer_list.pk)
    if policy.list_status is not None:
        code, message = LIST_TROUBLES[policy.list_status]
        rows.update(status=policy.list_status, error_code=code, error_message=message)
    elif answer.outcome != CallOutcome.ANSWERED:
        rows.update(error_code=answer.code[:64], error_message=answer.message)
    elif batch.request.endpoint == Endpoint.LIST_READ:
        rows.update(**_columns(answer.data))
    else:
        rows.exclude(error_code="").update(error_code="", error_message="")


def wake_members(batch: Batch) -> None:
    """Who waited for this call to read the list is due. Not in its transaction: it may be millions."""
    if batch.customer_list is not None and batch.request.endpoint == Endpoint.LIST_READ:
        wake_parked(ListMembership.objects.filter(customer_list=batch.customer_list.pk), timezone.now())


def _columns(data: Any) -> dict[str, Any]:
    """What "read list" says of a list. Its name comes back as `filename`."""
    identifier_key = str(data.get("source", ""))
    known = identifier_key in CustomerList.IdentifierKey.values
    user_count = data.get("user_count")
    return {
        "name": str(data.get("filename") or data.get("name") or "")[:255],
        "identifier_key": identifier_key if known else "",
        "user_count": user_count if isinstance(user_count, int) and user_count >= 0 else None,
        "read_at": timezone.now(),
        **({"read_due_at": None} if known else {}),
        "error_code": "" if known else "list_source_unknown",
        "error_message": "" if known else "Blueshift doesn't say by which identifier this list knows its customers.",
    }
