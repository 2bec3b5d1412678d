"""Numbers that are taken in advance, so that no page has to count millions of rows."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CallSum(models.Model):
    """What became of the calls that started within one period, and of their records. Written once, never changed."""

    starts_at = models.DateTimeField(_("from"), unique=True)
    calls = models.PositiveIntegerField(_("calls"))
    failed_calls = models.PositiveIntegerField(_("failed calls"))
    accepted = models.PositiveIntegerField(_("accepted"))
    rejected = models.PositiveIntegerField(_("rejected"))
    retried = models.PositiveIntegerField(_("to be sent again"))
    durations = models.JSONField(
        _("durations"), default=dict, help_text=_("How many calls took how long, by class of duration.")
    )

    class Meta:
        verbose_name = _("sum of calls")
        verbose_name_plural = _("sums of calls")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M}: {self.calls}"


class StateCount(models.Model):
    """How many rows of a model are in which state, as last counted."""

    of = models.CharField(_("model"), max_length=100, unique=True)
    counts = models.JSONField(_("counts"), default=dict)
    counted_at = models.DateTimeField(_("counted at"), null=True)
    due_at = models.DateTimeField(_("counted next at"), default=timezone.now)

    class Meta:
        verbose_name = _("count of states")
        verbose_name_plural = _("counts of states")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.of)


class SweepRecord(models.Model):
    """That the periodic sweep runs, and when it last did. There is one row, or none before the first sweep."""

    ONLY = 1

    finished_at = models.DateTimeField(_("finished at"))
    #: The primary key of the parked membership that was looked at last: the next sweep goes on from there.
    last_parked = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("record of the sweep")
        verbose_name_plural = _("records of the sweep")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M:%S}"
