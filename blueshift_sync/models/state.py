"""The state that customers and memberships share: what should be in Blueshift, and what is known to be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .causes import DIGITS, cause_of
from .fields import ExactCharField
from .indexes import PartialIndex

#: What a query says of `error_cause` has to imply this for its index to be used; SQLite wants to read the very words.
HAS_CAUSE = Q(error_cause__gt="")
HAS_CODE = Q(error_code__gt="")


class SyncState(models.Model):
    """One record's way to Blueshift.

    `version` counts the changes on our side; `synced_version` is the last one that Blueshift accepted.
    While a record is SENDING it belongs to the call that holds `claim_token`, until `claim_expires_at`.
    """

    #: Error codes that say what to become of a record that isn't to be sent; see `settled_state`.
    EXCLUDED_BY_OPERATOR = "excluded_by_operator"
    EXCLUDED_CODES = frozenset({"excluded", EXCLUDED_BY_OPERATOR, "source_deleted", "erased"})
    UNSENDABLE_CODES = frozenset(
        {"source_error", "value_not_sendable", "type_changed", "identifier_missing", "duplicate_customer_id"}
    )

    class State(models.TextChoices):
        PENDING = "PENDING", _("Waiting")
        SENDING = "SENDING", _("Sending")
        SYNCED = "SYNCED", _("In step")
        FAILED = "FAILED", _("Failed")
        EXCLUDED = "EXCLUDED", _("Excluded")

    state = models.CharField(_("state"), max_length=8, choices=State, default=State.PENDING, editable=False)
    version = models.PositiveBigIntegerField(
        _("version"), default=1, editable=False, help_text=_("Goes up with every change.")
    )
    synced_version = models.PositiveBigIntegerField(
        _("version in Blueshift"),
        default=0,
        editable=False,
        help_text=_("The last version that Blueshift accepted."),
    )
    attempts = models.PositiveIntegerField(
        _("attempts"), default=0, editable=False, help_text=_("Calls that failed for it temporarily.")
    )
    due_at = models.DateTimeField(
        _("due at"),
        null=True,
        blank=True,
        default=timezone.now,
        editable=False,
        help_text=_("When it is sent next. Empty: it waits for something else, see the error message."),
    )
    waiting_since = models.DateTimeField(
        _("waiting since"), null=True, blank=True, default=timezone.now, editable=False
    )
    synced_at = models.DateTimeField(_("last in step"), null=True, blank=True, editable=False)
    error_code = models.CharField(_("error code"), max_length=64, blank=True, editable=False)
    error_message = models.TextField(_("error message"), blank=True, editable=False)
    error_cause = ExactCharField(
        _("cause"),
        max_length=DIGITS,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("What records that failed for the same reason have in common. Empty while it hasn't failed."),
    )
    failed_at = models.DateTimeField(_("last failed at"), null=True, blank=True, editable=False)

    fingerprint = models.CharField(
        _("fingerprint"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of what Blueshift should hold."),
    )
    synced_fingerprint = models.CharField(
        _("fingerprint in Blueshift"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of what Blueshift is known to hold; empty while that is not known."),
    )
    run = models.ForeignKey(
        "blueshift_sync.SyncRun",
        verbose_name=_("run"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,
        help_text=_("The run that it waits in, or last went out with."),
    )
    batch_limit = models.PositiveSmallIntegerField(
        _("batch limit"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("With how many others at most it may be sent, after a batch was refused because of one of them."),
    )
    claim_token = models.UUIDField(_("claim"), null=True, blank=True, editable=False)
    claim_expires_at = models.DateTimeField(_("claim expires at"), null=True, blank=True, editable=False)
    claimed_version = models.PositiveBigIntegerField(_("version being sent"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        abstract = True
        indexes = [
            models.Index(fields=["state", "due_at", "id"], name="bsync_%(class)s_due"),
            models.Index(fields=["run", "state"], name="bsync_%(class)s_run"),
            PartialIndex(fields=["error_cause", "failed_at", "id"], where=HAS_CAUSE, name="bsync_%(class)s_cause"),
            PartialIndex(fields=["error_code", "state", "id"], where=HAS_CODE, name="bsync_%(class)s_code"),
        ]
        constraints = [
            models.CheckConstraint(
                name="bsync_%(class)s_state_known",
                condition=Q(state__in=["PENDING", "SENDING", "SYNCED", "FAILED", "EXCLUDED"]),
            ),
            models.CheckConstraint(name="bsync_%(class)s_version_order", condition=Q(synced_version__lte=F("version"))),
            models.CheckConstraint(
                name="bsync_%(class)s_claim_while_sending",
                condition=Q(
                    state="SENDING",
                    claim_token__isnull=False,
                    claim_expires_at__isnull=False,
                    claimed_version__isnull=False,
                )
                | (~Q(state="SENDING") & Q(claim_token__isnull=True)),
            ),
        ]

    @classmethod
    def state_for(cls, error_code: str) -> State:
        """Where a record belongs that was changed, by the reason, if any, for which it can't be sent."""
        if error_code in cls.EXCLUDED_CODES:
            return cls.State.EXCLUDED
        if error_code in cls.UNSENDABLE_CODES:
            return cls.State.FAILED
        return cls.State.PENDING

    def mark_changed(self, *, due_at: datetime, error_code: str = "", error_message: str = "") -> None:
        """What Blueshift should hold has changed. Sets the columns; saving them is the caller's.

        `error_code` says why it can't be sent, if it can't. A record that is being sent stays SENDING: when its
        call is settled, the higher version tells that it goes on from here.
        What an operator has excluded stays so, whatever changes, until an operator includes it or its object is gone.
        """
        if self.is_excluded_by_operator and error_code != "source_deleted":
            error_code, error_message = self.error_code, self.error_message
        self.version += 1
        self.attempts = 0
        self.batch_limit = None
        self.error_code = error_code
        self.error_message = error_message
        self._note_cause()
        if self.state == self.State.SENDING:
            return
        if self.state != self.State.PENDING:
            self.run = None
            self.waiting_since = timezone.now()
        self.state = self.state_for(error_code)
        self.due_at = due_at
        if self.state != self.State.PENDING:
            self.due_at = self.waiting_since = None
        elif self.fingerprint and self.fingerprint == self.synced_fingerprint and self.run_id is None:
            self._back_in_step()

    @property
    def is_excluded_by_operator(self) -> bool:
        """Whether somebody said in the admin that it isn't to be sent."""
        return self.error_code == self.EXCLUDED_BY_OPERATOR

    def _note_cause(self) -> None:
        """Of a record that is being sent as well: when its call is settled it is FAILED, for this reason."""
        if self.state_for(self.error_code) == self.State.FAILED:
            self.error_cause = cause_of(self.error_code, self.error_message)
            self.failed_at = timezone.now()
        else:
            self.error_cause = ""

    def _back_in_step(self) -> None:
        self.state = self.State.SYNCED
        self.synced_version = self.version
        self.due_at = self.waiting_since = None


def failure(code: str, message: str, at: datetime) -> dict[str, Any]:
    """The columns of a record that is FAILED since `at`, and why. Whatever makes it another state empties its cause."""
    return {
        "state": SyncState.State.FAILED,
        "due_at": None,
        "waiting_since": None,
        "error_code": code[:64],
        "error_message": message,
        "error_cause": cause_of(code, message),
        "failed_at": at,
    }


#: The columns that `mark_changed` may set.
CHANGE_COLUMNS = (
    "version",
    "synced_version",
    "attempts",
    "batch_limit",
    "error_code",
    "error_message",
    "error_cause",
    "failed_at",
    "run",
    "state",
    "due_at",
    "waiting_since",
    "fingerprint",
)
