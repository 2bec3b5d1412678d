"""Whether an account may be sent to."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class SendingStop(models.Model):
    """While this row exists nothing is sent to the account: Blueshift refused its key.

    The account is named by a digest of its address and key. So a new key is a new account, and sending goes on.
    """

    account = models.CharField(_("account"), max_length=64, unique=True)
    stopped_at = models.DateTimeField(_("stopped at"), default=timezone.now)
    code = models.CharField(_("code"), max_length=64)
    reason = models.TextField(_("reason"))
    probe_at = models.DateTimeField(_("checked again at"))
    probes = models.PositiveIntegerField(_("checks"), default=0)

    class Meta:
        verbose_name = _("sending stop")
        verbose_name_plural = _("sending stops")
        default_permissions = ()

    def __str__(self) -> str:
        return self.reason
