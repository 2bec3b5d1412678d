"""What Blueshift is told of customers whose object on the site was deleted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .customers import Customer
from .fields import ExactCharField
from .lists import CustomerList
from .state import SyncState


class CustomerRemoval(SyncState):
    """One identity that Blueshift is to delete or to forget, which can't be undone.

    All that it needs was written down when the object was deleted, for the customer's row may go, or be given to
    another object. Nothing of it is ever edited. Its states are those of any record: SYNCED once Blueshift has accepted
    it for processing, EXCLUDED when it isn't to be done any more.
    """

    class Kind(models.TextChoices):
        DELETE = "DELETE", _("Delete")
        FORGET = "FORGET", _("Forget")

    kind = models.CharField(_("kind"), max_length=6, choices=Kind)
    identifier_key = models.CharField(_("identified by"), max_length=11, choices=CustomerList.IdentifierKey)
    identifier = ExactCharField(_("identifier"), max_length=320)
    customer = models.ForeignKey(
        Customer,
        verbose_name=_("customer"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="removals",
    )
    source_type = ExactCharField(_("source"), max_length=150)
    source_id = ExactCharField(_("source key"), max_length=255)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("decided by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text=_("Who approved or cancelled it."),
    )
    decided_at = models.DateTimeField(
        _("decided at"), null=True, help_text=_("When somebody approved or cancelled it. Empty: nobody was asked.")
    )

    class Meta(SyncState.Meta):
        verbose_name = _("customer removal")
        verbose_name_plural = _("customer removals")
        default_permissions = ("view",)
        permissions = [("approve_customerremoval", _("Can approve, cancel and retry removals of customers"))]
        indexes = [
            *SyncState.Meta.indexes,
            models.Index(fields=["created_at"], name="bsync_customerremoval_created"),
            models.Index(fields=["identifier"], name="bsync_customerremoval_who"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.identifier}"

    @property
    def payload(self) -> dict[str, str]:
        """The body of the call."""
        return {self.identifier_key: self.identifier}
