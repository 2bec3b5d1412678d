"""Pages of the admin about many rows. Its menu lists models, so each page is one, without a table of its own."""

from __future__ import annotations

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .audit import RecordResult, SyncRun


class Overview(SyncRun):
    """How everything stands. A proxy, as a model without a table breaks `dumpdata`."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("overview")
        # The menu goes by the alphabet, and a blank comes first.
        verbose_name_plural = format_lazy(" {}", _("Overview"))


class FailuresByCause(RecordResult):
    """What went wrong, each cause once."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("failures by cause")
        verbose_name_plural = _("failures by cause")
