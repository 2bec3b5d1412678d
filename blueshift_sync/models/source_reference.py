"""Which object of the site a row mirrors."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .fields import ExactCharField


class SourceReference(models.Model):
    """The source object's model (`app_label.modelname`) and primary key, as text, so that any key fits.

    Both are empty for a row made by hand; `source_id` alone is empty after the source object was deleted.
    """

    source_type = ExactCharField(_("source"), max_length=150, null=True, blank=True, editable=False)
    source_id = ExactCharField(_("source key"), max_length=255, null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_source_owned(self) -> bool:
        """Whether a source decides over this row, so that it must be changed there and not here."""
        return self.source_id is not None
