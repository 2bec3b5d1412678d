"""Customer lists and who should be on them."""

from __future__ import annotations

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .customers import Customer
from .fields import ExactCharField
from .fingerprints import fingerprint_of
from .source_reference import SourceReference
from .state import CHANGE_COLUMNS, SyncState


class CustomerList(models.Model):
    """A customer list in Blueshift ("custom user list" in its API), known by its number."""

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
        validators=[MinValueValidator(1)],
        help_text=_("The number in the address of the list's page in Blueshift."),
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
    status = models.CharField(_("status"), max_length=11, choices=Status, default=Status.ACTIVE)
    mode = models.CharField(
        _("mode"),
        max_length=5,
        choices=Mode,
        blank=True,
        help_text=_("Asynchronous: up to 500 customers per call. Empty: as the setting LIST_MODE says."),
    )
    user_count = models.PositiveBigIntegerField(_("user count in Blueshift"), null=True, blank=True, editable=False)
    read_at = models.DateTimeField(_("read from Blueshift at"), null=True, blank=True, editable=False)
    read_due_at = models.DateTimeField(
        _("read from Blueshift next at"), null=True, blank=True, default=timezone.now, editable=False
    )
    error_code = models.CharField(_("error code"), max_length=64, blank=True, editable=False)
    error_message = models.TextField(_("error message"), blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("customer list")
        verbose_name_plural = _("customer lists")
        constraints = [
            models.CheckConstraint(name="bsync_list_id_positive", condition=models.Q(list_id__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.list_id})" if self.name else str(self.list_id)


class ListMembership(SourceReference, SyncState):
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
        help_text=_("The identifier under which the customer was last put on the list."),
    )

    class Meta(SyncState.Meta):
        verbose_name = _("list membership")
        verbose_name_plural = _("list memberships")
        permissions = [("push_listmembership", _("Can send list memberships to Blueshift"))]
        indexes = [
            *SyncState.Meta.indexes,
            models.Index(fields=["source_type", "source_id"], name="bsync_listmembership_source"),
            models.Index(fields=["customer_list", "state", "due_at"], name="bsync_listmembership_list_due"),
        ]
        constraints = [
            *SyncState.Meta.constraints,
            models.UniqueConstraint(fields=["customer_list", "customer"], name="bsync_one_membership"),
        ]

    def __str__(self) -> str:
        return f"{self.customer} – {self.customer_list}"

    @property
    def identifier(self) -> str:
        """What the list knows this customer by; empty where the customer lacks it.

        To remove one of whom Blueshift has not taken the latest, that is what it has taken before.
        """
        known = str(self.synced_identifier)
        if known and not self.is_member and self.customer.state != self.State.SYNCED:
            return known
        if self.customer_list.identifier_key == CustomerList.IdentifierKey.CUSTOMER_ID:
            return self.customer.customer_id or ""
        return self.customer.email

    def set_member(self, is_member: bool, *, due_at: datetime) -> None:  # noqa: FBT001
        """Says whether the customer should be on the list. Sets columns; saving them is the caller's."""
        self.is_member = is_member
        self.fingerprint = fingerprint_of({"is_member": is_member})
        self.mark_changed(due_at=due_at)


#: The columns that a source may set.
MEMBERSHIP_COLUMNS = (*CHANGE_COLUMNS, "is_member", "source_type", "source_id")
