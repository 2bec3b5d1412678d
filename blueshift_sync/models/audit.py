"""The audit: who asked for what, each HTTP request, and what became of each record in it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .causes import DIGITS
from .customers import Customer
from .fields import ExactCharField
from .indexes import PartialIndex
from .lists import CustomerList, ListMembership
from .state import HAS_CAUSE


class SyncRun(models.Model):
    """A request to bring records into step, by whatever and whomever asked for it."""

    class Kind(models.TextChoices):
        CUSTOMERS = "CUSTOMERS", _("Customers")
        LISTS = "LISTS", _("Customer lists")

    class Trigger(models.TextChoices):
        SIGNAL = "SIGNAL", _("A change on the site")
        ADMIN = "ADMIN", _("The admin")
        API = "API", _("The REST API")
        COMMAND = "COMMAND", _("A command")
        RETRY = "RETRY", _("A retry")
        SWEEP = "SWEEP", _("The sweep")

    class State(models.TextChoices):
        QUEUED = "QUEUED", _("Queued")
        RUNNING = "RUNNING", _("Running")
        SUCCEEDED = "SUCCEEDED", _("Succeeded")
        PARTIAL = "PARTIAL", _("Partly succeeded")
        FAILED = "FAILED", _("Failed")
        CANCELLED = "CANCELLED", _("Cancelled")

    OPEN_STATES = (State.QUEUED, State.RUNNING)

    kind = models.CharField(_("kind"), max_length=9, choices=Kind)
    trigger = models.CharField(_("trigger"), max_length=7, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    retry_of = models.ForeignKey(
        "self",
        verbose_name=_("retry of"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="retries",
    )
    idempotency_key = ExactCharField(_("idempotency key"), max_length=128, null=True, blank=True, unique=True)
    request_digest = models.CharField(
        _("request digest"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("Tells whether a request with the same idempotency key is the same one."),
    )
    scope = models.JSONField(
        _("scope"),
        default=dict,
        blank=True,
        help_text=_("What was asked for, where it was more than a list of rows."),
    )
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.QUEUED)
    total = models.PositiveBigIntegerField(_("records"), default=0)
    accepted = models.PositiveBigIntegerField(_("accepted"), default=0)
    rejected = models.PositiveBigIntegerField(_("rejected"), default=0)
    unknown = models.PositiveBigIntegerField(
        _("unknown"),
        default=0,
        db_default=0,
        help_text=_("Of the rejected: given up after calls without an answer, so Blueshift may have taken them."),
    )
    unchanged = models.PositiveBigIntegerField(
        _("unchanged"), default=0, help_text=_("Looked at, and found to be in step already.")
    )
    calls_made = models.PositiveBigIntegerField(_("calls"), default=0)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(
        _("last progress at"), null=True, blank=True, help_text=_("When a worker last did something for it.")
    )
    closed_at = models.DateTimeField(
        _("complete since"), null=True, blank=True, help_text=_("Since then no more records are added to it.")
    )
    cancel_requested_at = models.DateTimeField(_("cancelling since"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="bsync_run_newest"),
            models.Index(fields=["state", "heartbeat_at"], name="bsync_run_state"),
            models.Index(fields=["kind", "id"], name="bsync_run_kind"),
            models.Index(fields=["trigger", "id"], name="bsync_run_trigger"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.get_kind_display()}, {self.get_trigger_display()}"


class ApiCall(models.Model):
    """One HTTP request, retries too. Committed as OPEN before the request leaves."""

    class Endpoint(models.TextChoices):
        CUSTOMERS_BULK = "CUSTOMERS_BULK", _("Bulk create/update customers")
        LIST_ADD = "LIST_ADD", _("Bulk add users to list")
        LIST_REMOVE = "LIST_REMOVE", _("Bulk remove users from list")
        LIST_READ = "LIST_READ", _("Read list")
        LIST_CREATE = "LIST_CREATE", _("Create empty list")
        CUSTOMER_FIND = "CUSTOMER_FIND", _("Find customer")
        CUSTOMER_DELETE = "CUSTOMER_DELETE", _("Delete customer")
        CUSTOMER_FORGET = "CUSTOMER_FORGET", _("Forget customer")

    class State(models.TextChoices):
        OPEN = "OPEN", _("Open")
        SUCCEEDED = "SUCCEEDED", _("Succeeded")
        PARTIAL = "PARTIAL", _("Partly succeeded")
        FAILED = "FAILED", _("Failed")
        UNKNOWN = "UNKNOWN", _("Unknown")

    run = models.ForeignKey(
        SyncRun,
        verbose_name=_("run"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="calls",
        db_index=False,
    )
    customer_list = models.ForeignKey(
        CustomerList,
        verbose_name=_("customer list"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="calls",
        db_index=False,
    )
    endpoint = models.CharField(_("endpoint"), max_length=16, choices=Endpoint)
    method = models.CharField(_("method"), max_length=8)
    url = models.TextField(_("URL"))
    request_headers = models.JSONField(_("request headers"), default=dict)
    request_body = models.TextField(_("request body"), blank=True)
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True, blank=True)
    response_headers = models.JSONField(_("response headers"), default=dict)
    response_body = models.TextField(_("response body"), blank=True)
    request_id = models.CharField(
        _("request ID"),
        max_length=255,
        blank=True,
        help_text=_("Blueshift's x-request-id: quote it to its support."),
    )
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.OPEN)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error = models.TextField(_("error"), blank=True)
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    record_count = models.PositiveIntegerField(_("records"), default=0)
    error_count = models.PositiveIntegerField(_("errors"), default=0)
    rejected_count = models.PositiveIntegerField(
        _("rejected"), default=0, help_text=_("Those of the errors that sending again can't mend.")
    )
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    duration_ms = models.PositiveIntegerField(_("duration (ms)"), null=True, blank=True)
    job_id = models.CharField(_("job"), max_length=255, blank=True)
    claim_token = models.UUIDField(
        _("claim"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("The claim on the records that it carries."),
    )
    bodies_emptied_at = models.DateTimeField(
        _("bodies emptied at"), null=True, blank=True, help_text=_("Bodies are kept for BODY_RETENTION_DAYS.")
    )

    class Meta:
        verbose_name = _("API call")
        verbose_name_plural = _("API calls")
        default_permissions = ("view",)
        permissions = [
            ("resend_apicall", _("Can send the records of a call again")),
            ("view_apicall_body", _("Can read request and response bodies")),
        ]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="bsync_call_newest"),
            models.Index(fields=["state", "started_at"], name="bsync_call_state"),
            models.Index(fields=["run", "id"], name="bsync_call_run"),
            models.Index(fields=["customer_list", "id"], name="bsync_call_list"),
            models.Index(fields=["endpoint", "id"], name="bsync_call_endpoint"),
            models.Index(fields=["request_id"], name="bsync_call_request_id"),
            models.Index(fields=["bodies_emptied_at", "started_at", "id"], name="bsync_call_bodies"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.method} {self.endpoint}"


class RecordResult(models.Model):
    """What became of one record in one call."""

    class Outcome(models.TextChoices):
        ACCEPTED = "ACCEPTED", _("Accepted")
        REJECTED = "REJECTED", _("Rejected")
        RETRY = "RETRY", _("To be sent again")
        UNKNOWN = "UNKNOWN", _("Unknown")

    call = models.ForeignKey(
        ApiCall, verbose_name=_("API call"), on_delete=models.CASCADE, related_name="results", db_index=False
    )
    customer = models.ForeignKey(
        Customer,
        verbose_name=_("customer"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="results",
        db_index=False,
    )
    membership = models.ForeignKey(
        ListMembership,
        verbose_name=_("list membership"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="results",
        db_index=False,
    )
    position = models.PositiveSmallIntegerField(_("position"))
    identifier = ExactCharField(_("identifier"), max_length=320, blank=True)
    version = models.PositiveBigIntegerField(_("version"), default=0, help_text=_("The version that was sent."))
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    code = models.CharField(_("code"), max_length=64, blank=True)
    message = models.TextField(_("message"), blank=True)
    error_cause = ExactCharField(
        _("cause"),
        max_length=DIGITS,
        blank=True,
        default="",
        db_default="",
        help_text=_("What records that were rejected for the same reason have in common."),
    )
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("record result")
        verbose_name_plural = _("record results")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["customer", "id"], name="bsync_result_customer"),
            models.Index(fields=["membership", "id"], name="bsync_result_membership"),
            models.Index(fields=["outcome", "code", "id"], name="bsync_result_outcome"),
            PartialIndex(fields=["error_cause", "id"], where=HAS_CAUSE, name="bsync_result_cause"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["call", "position"], name="bsync_one_result_per_position"),
        ]

    def __str__(self) -> str:
        """Without the identifier, which not everybody may see who may see results."""
        return f"#{self.pk}: {self.outcome}"
