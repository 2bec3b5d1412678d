"""What is asked for of a list: that it is created, taken on, read, or tried again. A worker does it."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, models, router, transaction
from django.utils import timezone

from ..exceptions import BlueshiftSyncError
from ..models import ApiCall, CustomerList
from .idempotency import RequestKey
from .locks import gives_way
from .wake import wake_on_commit

LONGEST_NAME = 255


def create_list(
    name: str,
    *,
    description: str = "",
    identifier_key: str = "email",
    mode: str = "",
    asked_as: RequestKey | None = None,
) -> CustomerList:
    """As the service of this name says."""
    if asked_as and (made := asked_as.customer_list()):
        return made
    name = name.strip()
    if not name:
        raise BlueshiftSyncError("A list needs a name.")
    if len(name) > LONGEST_NAME:
        raise BlueshiftSyncError(f"The name of a list has at most {LONGEST_NAME} characters, not {len(name)}.")
    _check_choice(identifier_key, CustomerList.IdentifierKey, "A list knows its customers by")
    if mode:
        _check_choice(mode, CustomerList.Mode, "The mode of a list is")
    if _lists().filter(list_id=None, name=name).exists():
        return _made_since(asked_as, BlueshiftSyncError(f"A list named “{name}” waits to be created already."))
    return _make(asked_as, name=name, description=description, identifier_key=identifier_key, mode=mode)


def take_on_list(
    list_id: int, *, identifier_key: str = "", mode: str = "", asked_as: RequestKey | None = None
) -> CustomerList:
    """As the service of this name says."""
    if asked_as and (made := asked_as.customer_list()):
        return made
    _check_number(list_id)
    if identifier_key:
        _check_choice(identifier_key, CustomerList.IdentifierKey, "A list knows its customers by")
    if mode:
        _check_choice(mode, CustomerList.Mode, "The mode of a list is")
    already = BlueshiftSyncError(f"The list {list_id} is there already.")
    if _lists().filter(list_id=list_id).exists():
        return _made_since(asked_as, already)
    try:
        return _make(asked_as, list_id=list_id, identifier_key=identifier_key, mode=mode)
    except IntegrityError:  # somebody took it on at the same time
        raise already from None


def ask_to_read(customer_list: CustomerList) -> None:
    """As the service `read_list` says."""
    if customer_list.is_to_be_created:
        raise BlueshiftSyncError(f"The list “{customer_list}” has no number yet, so it can't be read from Blueshift.")
    _ask(customer_list)


def try_again(customer_list: CustomerList) -> None:
    """As the service `try_list_again` says."""
    row = _lists().get(pk=customer_list.pk)
    says_which = row.source in CustomerList.IdentifierKey.values
    _ask(
        customer_list,
        status=CustomerList.Status.ACTIVE,
        is_ready=False,
        stopped_at=None,
        identifier_key=row.source if says_which else row.identifier_key,
        error_code="",
        error_message="",
    )


def may_be_renumbered(customer_list: CustomerList) -> bool:
    """Whether its number may turn out to be another list's: none of its members is known to be in Blueshift, or
    Blueshift has no such list.
    """
    if customer_list.is_to_be_created:
        return False
    if customer_list.status == CustomerList.Status.DELETED:
        return True
    accepted = ApiCall.objects.filter(
        customer_list=customer_list.pk,
        endpoint__in=[ApiCall.Endpoint.LIST_ADD, ApiCall.Endpoint.LIST_REMOVE],
        state__in=[ApiCall.State.SUCCEEDED, ApiCall.State.PARTIAL],
    )
    return not (accepted.exists() or customer_list.memberships.filter(synced_is_member=True).exists())


def renumber(customer_list: CustomerList, list_id: int) -> None:
    """Says that this is another list of Blueshift, which a worker reads. What is known of its members isn't touched."""
    _check_number(list_id)
    row = _lists().get(pk=customer_list.pk)
    if not may_be_renumbered(row):
        raise BlueshiftSyncError(
            f"Blueshift has accepted members of the list {row.list_id} under this number, so it stays. "
            f"Take on the list {list_id}, and add the members to it."
        )
    if _lists().filter(list_id=list_id).exclude(pk=row.pk).exists():
        raise BlueshiftSyncError(f"The list {list_id} is there already.")
    _ask(
        customer_list,
        list_id=list_id,
        status=CustomerList.Status.ACTIVE,
        is_ready=False,
        stopped_at=None,
        identifier_key="" if row.source else row.identifier_key,  # what was read was another list's
        source="",
        user_count=None,
        wanted_count=None,
        known_count=None,
        read_at=None,
        error_code="",
        error_message="",
    )


@gives_way
def _ask(customer_list: CustomerList, **columns: Any) -> None:
    _lists().filter(pk=customer_list.pk).update(read_due_at=timezone.now(), attempts=0, **columns)
    wake_on_commit(_lists().db)
    customer_list.refresh_from_db()


def _make(asked_as: RequestKey | None, **columns: Any) -> CustomerList:
    """Returns the list that the same request made at this moment instead, where there is one."""
    using = _lists().db
    try:
        with transaction.atomic(using=using):
            row = _lists().create(**columns, **(asked_as.columns if asked_as else {}))
            wake_on_commit(using)
    except IntegrityError as error:
        return _made_since(asked_as, error)
    return row


def _made_since(asked_as: RequestKey | None, error: Exception) -> CustomerList:
    """The list that the same request has made since it was looked for; else raises what stood in the way."""
    made = asked_as.customer_list() if asked_as else None
    if made is None:
        raise error
    return made


def _lists() -> models.QuerySet[CustomerList]:
    return CustomerList.objects.using(router.db_for_write(CustomerList))


def _check_number(list_id: int) -> None:
    is_number = isinstance(list_id, int) and not isinstance(list_id, bool)
    if not is_number or not 0 < list_id <= models.BigIntegerField.MAX_BIGINT:
        raise BlueshiftSyncError(f"{list_id!r} can't be the number of a list: that is a whole number above zero.")


def _check_choice(value: str, choices: type[models.TextChoices], what: str) -> None:
    if value not in choices.values:
        raise BlueshiftSyncError(f"{what} {' or '.join(choices.values)}, not {value!r}.")
