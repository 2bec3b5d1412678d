"""How everything stands."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy

from ..models import ApiCall, Customer, ListMembership, Overview, SyncRun
from .pages import PageAdmin


@admin.register(Overview)
class OverviewAdmin(PageAdmin):
    title = gettext_lazy("Overview")
    template = "blueshift_sync/admin/overview.html"
    shows = (Customer, ListMembership, SyncRun, ApiCall)
