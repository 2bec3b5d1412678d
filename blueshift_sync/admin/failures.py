"""What went wrong, each cause once."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy

from ..models import Customer, FailuresByCause, ListMembership, RecordResult
from .pages import PageAdmin


@admin.register(FailuresByCause)
class FailuresByCauseAdmin(PageAdmin):
    title = gettext_lazy("Failures by cause")
    template = "blueshift_sync/admin/failures.html"
    shows = (Customer, ListMembership, RecordResult)
