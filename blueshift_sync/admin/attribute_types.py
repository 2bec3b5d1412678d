"""The JSON types that attributes were sent as. Deleting one lets its attribute have another type."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from .. import services
from ..models import AttributeType
from .changelists import LargeListAdmin


@admin.register(AttributeType)
class AttributeTypeAdmin(LargeListAdmin):
    list_display = ("name", "json_type", "first_sent_at")
    list_filter = ("json_type",)
    search_fields = ("name",)
    search_help_text = gettext_lazy("An attribute, or how it begins.")

    def search(self, term: str) -> Q:
        return Q(name__startswith=term)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: AttributeType) -> None:
        services.forget_types([obj.name])
