"""The mirror as the tests of the capture side look at it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from blueshift_sync.models import Customer, ListMembership, SyncState
from tests.site.models import Person, Signup


def mirrored(obj: Model) -> Customer:
    """The customer that mirrors `obj`."""
    return Customer.objects.get(source_type=obj._meta.concrete_model._meta.label_lower, source_id=str(obj.pk))


def told(obj: Model) -> dict[str, Any]:
    """The payload of the customer that mirrors `obj`, which is fit to be sent."""
    row = mirrored(obj)
    assert (row.state, row.error_message) == ("PENDING", "")
    return row.payload


def mistake(obj: Model) -> tuple[str, str]:
    """The code and the sentence of the customer that mirrors `obj`, which is FAILED."""
    row = mirrored(obj)
    assert row.state == "FAILED"
    return row.error_code, row.error_message


def list_numbers(customer: Customer) -> set[int]:
    """The lists on which the customer should be."""
    rows = ListMembership.objects.filter(customer=customer, is_member=True)
    return set(rows.values_list("customer_list__list_id", flat=True))


def start_sending(row: SyncState) -> None:
    """Lets a worker claim the row."""
    type(row).objects.filter(pk=row.pk).update(
        state="SENDING",
        claim_token=uuid.uuid4(),
        claim_expires_at=timezone.now() + timedelta(minutes=5),
        claimed_version=row.version,
        error_code="",
        error_message="",
    )
    row.refresh_from_db()


def bring_into_step(row: SyncState) -> None:
    """Lets Blueshift have accepted the row as it is."""
    type(row).objects.filter(pk=row.pk).update(
        state="SYNCED",
        synced_version=row.version,
        synced_fingerprint=row.fingerprint,
        synced_at=timezone.now(),
        due_at=None,
        waiting_since=None,
        run=None,
    )
    row.refresh_from_db()


@contextmanager
def rolled_back(using: str = "default") -> Iterator[None]:
    """A transaction, or a savepoint inside one, that comes to nothing."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def ada(**fields: Any) -> Person:
    """A person, whose customer the mirror has where people have a source."""
    return Person.objects.create(**{"email": "ada@example.com", **fields})


def row_of(signup: Signup) -> ListMembership:
    """The membership that belongs to the signup."""
    return ListMembership.objects.get(source_type="site.signup", source_id=str(signup.pk))


def lists_of(person: Person) -> set[int]:
    """The lists on which the person should be."""
    return list_numbers(mirrored(person))


@contextmanager
def heard_first(signal: Any, sender: type[Model], receiver: Callable[..., Any]) -> Iterator[None]:
    """A receiver of the site's own, connected before ours."""
    signal.connect(receiver, sender=sender, weak=False)
    signal.receivers = [signal.receivers[-1], *signal.receivers[:-1]]
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)
