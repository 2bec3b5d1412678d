"""The mirror of the site's customers."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .fields import EmailKeyField, ExactCharField
from .fingerprints import fingerprint_of
from .source_reference import SourceReference
from .state import SyncState


class CustomerObject:
    """How a customer, whatever holds its columns, looks to Blueshift."""

    customer_id: Any
    email: Any
    uuid: Any
    firstname: Any
    lastname: Any
    attributes: Any
    subscription_groups: Any

    @property
    def identifier(self) -> str:
        """What identifies this customer in Blueshift: the customer ID, else the e-mail address."""
        identifier: str = self.customer_id or self.email
        return identifier

    @property
    def payload(self) -> dict[str, Any]:
        """The customer object of `customers/bulk`. What isn't known is left out, so Blueshift keeps what it has."""
        standard = {
            # An empty identifier would identify nobody.
            "customer_id": self.customer_id or None,
            "email": self.email or None,
            "uuid": self.uuid or None,
            "firstname": self.firstname,
            "lastname": self.lastname,
            "subscription_groups": self.subscription_groups or None,
        }
        return {**self.attributes, **{name: value for name, value in standard.items() if value is not None}}


class Customer(CustomerObject, SourceReference, SyncState):
    """A customer as Blueshift should hold it.

    `attributes` are the custom and optional fields, flat, under the names that Blueshift knows them by.
    """

    customer_id = ExactCharField(
        _("customer ID"),
        max_length=255,
        null=True,
        blank=True,
        help_text=_("The identity in Blueshift. Without it the e-mail address identifies the customer."),
    )
    email = models.CharField(_("e-mail"), max_length=320, blank=True)
    email_key = EmailKeyField(_("e-mail, lower case"), max_length=320, blank=True, editable=False)
    uuid = models.CharField(
        _("customer UUID"), max_length=64, blank=True, help_text=_("Blueshift's own key for this customer.")
    )
    # NULL is a name that isn't known, and left out of what is sent; an empty one is a value, and sent.
    firstname = models.CharField(_("first name"), max_length=255, null=True, blank=True)  # noqa: DJ001
    lastname = models.CharField(_("last name"), max_length=255, null=True, blank=True)  # noqa: DJ001
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    subscription_groups = models.JSONField(
        _("subscription groups"),
        default=list,
        blank=True,
        help_text=_('A list of {"id": text, "subscribed": true or false}.'),
    )
    contested_customer_id = ExactCharField(
        _("contested customer ID"),
        max_length=255,
        null=True,
        blank=True,
        editable=False,
        help_text=_("The customer ID that this customer should have, while another one has it."),
    )

    class Meta(SyncState.Meta):
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        permissions = [
            ("push_customer", _("Can send customers to Blueshift")),
            ("erase_customer", _("Can erase the personal data of customers")),
        ]
        # Each change of state writes to every index. Django's own `unique` and `db_index` make two of each column on
        # PostgreSQL, of which the second finds beginnings; in the order of bytes, one index does.
        indexes = [
            *SyncState.Meta.indexes,
            models.Index(fields=["email_key"], name="bsync_customer_email_key"),
            models.Index(fields=["contested_customer_id"], name="bsync_customer_contested"),
        ]
        constraints = [
            *SyncState.Meta.constraints,
            models.UniqueConstraint(fields=["customer_id"], name="bsync_customer_customer_id"),
            models.UniqueConstraint(fields=["source_type", "source_id"], name="bsync_customer_source"),
            models.CheckConstraint(name="bsync_customer_id_not_empty", condition=~models.Q(customer_id="")),
        ]

    def __str__(self) -> str:
        return self.identifier or f"#{self.pk}"

    def fingerprint_of_payload(self) -> str:
        """Equal for two customers exactly when Blueshift should hold the same of both."""
        return fingerprint_of(self.payload)
