"""Files of identifiers that become memberships: kept in the database until somebody has said yes or no to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .audit import SyncRun
from .customers import Customer
from .lists import CustomerList


class ListImport(models.Model):
    """A file of identifiers, and how many customers it means.

    Every line with something in it is one of `lines`, and it is matched, repeated, unknown or bad. `customers` are
    those that the matched lines mean: an e-mail address may be shared by several.
    """

    class State(models.TextChoices):
        UPLOADING = "UPLOADING", _("Being read")
        MATCHING = "MATCHING", _("Being matched")
        READY = "READY", _("Waits for your yes")
        STARTED = "STARTED", _("Being carried out")
        DONE = "DONE", _("Carried out")
        CANCELLED = "CANCELLED", _("Thrown away")

    #: Of these nothing has happened yet.
    OPEN_STATES = (State.UPLOADING, State.MATCHING, State.READY)

    customer_list = models.ForeignKey(
        CustomerList, verbose_name=_("customer list"), on_delete=models.CASCADE, related_name="imports"
    )
    is_member = models.BooleanField(_("should be members"), default=True)
    identifier_key = models.CharField(_("identifier"), max_length=11, choices=CustomerList.IdentifierKey, blank=True)
    filename = models.CharField(_("file"), max_length=255, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    run = models.ForeignKey(
        SyncRun, verbose_name=_("run"), on_delete=models.SET_NULL, null=True, blank=True, related_name="imports"
    )
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.UPLOADING)
    lines = models.PositiveBigIntegerField(_("lines"), default=0)
    matched = models.PositiveBigIntegerField(_("lines that match"), default=0)
    repeated = models.PositiveBigIntegerField(_("given twice"), default=0)
    unknown = models.PositiveBigIntegerField(_("unknown"), default=0)
    bad = models.PositiveBigIntegerField(_("bad"), default=0)
    customers = models.PositiveBigIntegerField(_("customers"), default=0)
    in_step = models.PositiveBigIntegerField(
        _("nothing to do"),
        default=0,
        help_text=_("Of the customers: as wanted already, or on their way."),
    )
    excluded = models.PositiveBigIntegerField(
        _("excluded"),
        default=0,
        db_default=0,
        help_text=_("Of the customers: nothing is sent of them until somebody includes them."),
    )
    #: How often somebody has begun to read the kept file from its beginning: an earlier one who is still at it stops.
    readings = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    parts_read = models.PositiveIntegerField(default=0, editable=False)
    parts_matched = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    heartbeat_at = models.DateTimeField(_("last progress at"), default=timezone.now)

    class Meta:
        verbose_name = _("list import")
        verbose_name_plural = _("list imports")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["state", "heartbeat_at"], name="bsync_import_state"),
            models.Index(fields=["created_at", "id"], name="bsync_import_newest"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.filename}".rstrip()

    @property
    def to_change(self) -> int:
        """For how many customers there is something to do."""
        return self.customers - self.in_step - self.excluded

    @property
    def problems(self) -> int:
        """How many lines there is something to say of."""
        return self.repeated + self.unknown + self.bad


class ListImportChunk(models.Model):
    """A piece of a file that is too large to be read by a request, until a job has read it. It ends with a line."""

    list_import = models.ForeignKey(ListImport, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        verbose_name = _("piece of a list import")
        verbose_name_plural = _("pieces of list imports")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["list_import", "number"], name="bsync_import_chunk"),
        ]

    def __str__(self) -> str:
        return f"{self.list_import_id}/{self.number}"


class ListImportPart(models.Model):
    """Up to a thousand lines of a file.

    `lines` are still to be matched, each as its number and identifier; `problems` are those that mean nobody, each as
    its number, identifier and what is wrong. The identifiers of all others are forgotten.
    """

    list_import = models.ForeignKey(ListImport, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    lines = models.JSONField(default=list)
    problems = models.JSONField(default=list)
    problem_count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("part of a list import")
        verbose_name_plural = _("parts of list imports")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["list_import", "number"], name="bsync_import_part"),
        ]

    def __str__(self) -> str:
        return f"{self.list_import_id}/{self.number}"


class ListImportMatch(models.Model):
    """A customer that a file means, until the file's run has it."""

    list_import = models.ForeignKey(ListImport, on_delete=models.CASCADE, related_name="matches", db_index=False)
    # Whoever is deleted meanwhile is passed over; an index for that would cost a tenth of the time.
    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        verbose_name = _("customer of a list import")
        verbose_name_plural = _("customers of list imports")
        default_permissions = ()
        indexes = [models.Index(fields=["list_import", "id"], name="bsync_import_match")]
        constraints = [
            models.UniqueConstraint(fields=["list_import", "customer"], name="bsync_import_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.list_import_id}: {self.customer_id}"
