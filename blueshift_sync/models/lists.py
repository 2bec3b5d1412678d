"""Customer lists and who should be on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .customers import Customer
from .fields import EmailKeyField, ExactCharField
from .fingerprints import fingerprint_of
from .indexes import PartialIndex
from .source_reference import SourceReference
from .state import CHANGE_COLUMNS, SyncState


class CustomerList(models.Model):
    """A customer list in Blueshift ("custom user list" in its API), known by its number.

    One without a number is to be created there. Members are sent while `is_ready`. A list that Blueshift refuses as a
    whole has stopped: its members wait until somebody has it tried again.
    """

    class IdentifierKey(models.TextChoices):
        EMAIL = "email", _("Email")
        CUSTOMER_ID = "customer_id", _("Customer ID")

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        DELETED = "DELETED", _("Deleted")
        UNSUPPORTED = "UNSUPPORTED", _("Old list, not supported")

    class Mode(models.TextChoices):
        ASYNC = "async", _("Asynchronous")
        SYNC = "sync", _("Synchronous")

    list_id = models.BigIntegerField(
        _("list ID"),
        unique=True,
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "The number in the address of the list's page in Blueshift. Empty: the list is created in Blueshift."
        ),
    )
    name = models.CharField(_("name"), max_length=255, blank=True)
    description = models.TextField(_("description"), blank=True)
    identifier_key = models.CharField(
        _("identifier"),
        max_length=11,
        choices=IdentifierKey,
        blank=True,
        help_text=_("The list's source. Empty: it is read from Blueshift before the first call."),
    )
    source = models.CharField(
        _("list source"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("By which identifier Blueshift says that the list knows its customers."),
    )
    status = models.CharField(_("status"), max_length=11, choices=Status, default=Status.ACTIVE)
    mode = models.CharField(
        _("mode"),
        max_length=5,
        choices=Mode,
        blank=True,
        help_text=_("Asynchronous: up to 500 customers per call. Empty: as the setting LIST_MODE says."),
    )
    is_ready = models.BooleanField(
        _("ready"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Whether members are sent: Blueshift has confirmed the list, and nothing is wrong with it."),
    )
    stopped_at = models.DateTimeField(
        _("stopped at"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Since when its members wait because something is wrong with the list, see the error message."),
    )
    user_count = models.PositiveBigIntegerField(_("user count in Blueshift"), null=True, blank=True, editable=False)
    wanted_count = models.PositiveBigIntegerField(
        _("wanted members"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("How many customers should have been members when the list was last read."),
    )
    known_count = models.PositiveBigIntegerField(
        _("known members"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("How many customers Blueshift was known to have as members when the list was last read."),
    )
    read_at = models.DateTimeField(_("read from Blueshift at"), null=True, blank=True, editable=False)
    read_due_at = models.DateTimeField(
        _("asked for in Blueshift next at"),
        null=True,
        blank=True,
        default=timezone.now,
        editable=False,
        help_text=_("When the list is created in Blueshift or read from it next. Empty: not before somebody asks."),
    )
    attempts = models.PositiveIntegerField(
        _("attempts"),
        default=0,
        db_default=0,
        editable=False,
        help_text=_("Calls in a row in which the list could be neither created nor read."),
    )
    error_code = models.CharField(_("error code"), max_length=64, blank=True, editable=False)
    error_message = models.TextField(_("error message"), blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    idempotency_key = ExactCharField(
        _("idempotency key"), max_length=128, null=True, blank=True, unique=True, editable=False
    )
    request_digest = models.CharField(
        _("request digest"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("Tells whether a request with the same idempotency key is the same one."),
    )

    class Meta:
        verbose_name = _("customer list")
        verbose_name_plural = _("customer lists")
        constraints = [
            models.CheckConstraint(name="bsync_list_id_positive", condition=models.Q(list_id__gt=0)),
        ]
        indexes = [models.Index(fields=["read_due_at"], name="bsync_list_read_due")]

    def __str__(self) -> str:
        if self.list_id is None:
            return self.name or f"#{self.pk}"
        return f"{self.name} ({self.list_id})" if self.name else str(self.list_id)

    @property
    def has_stopped(self) -> bool:
        """Whether its members wait until somebody has it tried again."""
        return self.stopped_at is not None

    @property
    def is_to_be_created(self) -> bool:
        """Whether it isn't in Blueshift yet, as far as is known."""
        return self.list_id is None

    def identifier_of(self, customer: Any) -> str:
        """What the list knows the customer by; empty where the customer lacks it."""
        if self.identifier_key == self.IdentifierKey.CUSTOMER_ID:
            return str(customer.customer_id or "")
        return str(customer.email)

    def key_of(self, identifier: str) -> str:
        """Equal for two identifiers exactly when Blueshift takes them for the same."""
        by_id = self.identifier_key == self.IdentifierKey.CUSTOMER_ID
        return identifier if by_id else EmailKeyField.key_of(identifier)


#: Of few memberships, or none.
HAS_LEFT_RUN = models.Q(left_run__isnull=False)


class MembershipObject:
    """Which identifier a call for a membership names, whatever holds its columns."""

    customer_list: Any
    customer: Any
    is_member: Any
    synced_identifier: Any

    @property
    def is_moving(self) -> bool:
        """Whether another identifier has to leave the list before the customer's own is dealt with.

        Of a removal too: nobody knows whether Blueshift keeps members by their identifier or by the customer.
        """
        customer_list, known = self.customer_list, str(self.synced_identifier)
        own = customer_list.identifier_of(self.customer)
        if not known or customer_list.key_of(known) == customer_list.key_of(own):
            return False
        return bool(self.is_member or (own and self.customer.state == SyncState.State.SYNCED))

    @property
    def is_to_be_removed(self) -> bool:
        """Whether the next call takes an identifier off the list."""
        return not self.is_member or self.is_moving

    @property
    def identifier(self) -> str:
        """What the next call names on the list; empty where there is nothing that it could name."""
        known = str(self.synced_identifier)
        return known if known and self.is_to_be_removed else str(self.customer_list.identifier_of(self.customer))


class ListMembership(MembershipObject, SourceReference, SyncState):
    """Whether a customer should be on a list (`is_member`), and is known to be (`synced_is_member`)."""

    customer_list = models.ForeignKey(
        CustomerList,
        verbose_name=_("customer list"),
        on_delete=models.CASCADE,
        related_name="memberships",
        db_index=False,  # the constraint's index starts with it
    )
    customer = models.ForeignKey(
        Customer, verbose_name=_("customer"), on_delete=models.CASCADE, related_name="memberships"
    )
    is_member = models.BooleanField(_("should be a member"), default=True)
    synced_is_member = models.BooleanField(
        _("is a member in Blueshift"),
        null=True,
        editable=False,
        help_text=_("What the last accepted call made of it. Empty: not known."),
    )
    synced_identifier = ExactCharField(
        _("identifier in Blueshift"),
        max_length=320,
        blank=True,
        editable=False,
        help_text=_("The identifier under which the customer is on the list, or may be. Empty: none that is known."),
    )
    synced_asynchronously = models.BooleanField(
        _("accepted for processing"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("The last accepted call was asynchronous: Blueshift sees to it later, and nothing says when."),
    )
    # No foreign key: a run doesn't stay for it.
    left_run = models.BigIntegerField(
        _("left run"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("The run that it had to leave as it waits for something else; cancelling that takes it back too."),
    )

    class Meta(SyncState.Meta):
        verbose_name = _("list membership")
        verbose_name_plural = _("list memberships")
        permissions = [("push_listmembership", _("Can send list memberships to Blueshift"))]
        indexes = [
            *SyncState.Meta.indexes,
            models.Index(fields=["source_type", "source_id"], name="bsync_listmembership_source"),
            models.Index(fields=["customer_list", "state", "due_at"], name="bsync_listmembership_list_due"),
            PartialIndex(fields=["left_run", "id"], where=HAS_LEFT_RUN, name="bsync_listmembership_left_run"),
        ]
        constraints = [
            *SyncState.Meta.constraints,
            models.UniqueConstraint(fields=["customer_list", "customer"], name="bsync_one_membership"),
        ]

    def __str__(self) -> str:
        """Without the customer, whom not everybody may see who may see memberships."""
        return f"#{self.pk} – {self.customer_list}"

    def set_member(self, is_member: bool, *, due_at: datetime) -> None:  # noqa: FBT001
        """Says whether the customer should be on the list. Sets columns; saving them is the caller's."""
        self.is_member = is_member
        self.fingerprint = fingerprint_of({"is_member": is_member})
        self.left_run = None  # what was asked for there isn't what is wanted now
        self.mark_changed(due_at=due_at)


#: The columns that a source may set.
MEMBERSHIP_COLUMNS = (*CHANGE_COLUMNS, "is_member", "left_run", "source_type", "source_id")
