"""What operators are told of by e-mail."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Alert(models.Model):
    """How one thing stands that operators are told of when it changes, and whether a mail of the last change is due.

    `differs_since`: since when what is found isn't what was told. A change counts once that has lasted for a while.
    """

    class Kind(models.TextChoices):
        STOPPED = "stopped"
        FAILED = "failed"
        WAITING = "waiting"

    kind = models.CharField(_("kind"), max_length=20, unique=True)
    is_on = models.BooleanField(_("is on"), default=False)
    differs_since = models.DateTimeField(_("differs since"), null=True)
    began_at = models.DateTimeField(_("began at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    reason = models.TextField(_("reason"), blank=True)
    mail_due_at = models.DateTimeField(_("mail due at"), null=True)
    mail_attempts = models.PositiveIntegerField(_("attempts to send the mail"), default=0)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.is_on}"
