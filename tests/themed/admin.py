"""The test site's models in an admin with the theme, and with imports, in every order of the mixins."""

from __future__ import annotations

from typing import Any

import unfold.admin
from django.contrib import admin
from import_export import resources
from import_export.admin import ImportExportModelAdmin

from blueshift_sync.admin import BlueshiftAdminMixin
from blueshift_sync.sources import CustomerSource, register
from tests.site.models import Account, Badge, Contact, Person


class Plain(CustomerSource):
    email = "email"


class ContactSource(CustomerSource):
    email = "address"


register(Person, Account)(Plain)
register(Contact)(ContactSource)


class BulkResource(resources.ModelResource):
    class Meta:
        model = Contact
        import_id_fields = ("contact_key",)
        use_bulk = True
        batch_size = 2


class PersonResource(resources.ModelResource):
    class Meta:
        model = Person
        fields = ("id", "name", "email")


@admin.register(Person)
class PersonAdmin(BlueshiftAdminMixin, ImportExportModelAdmin, unfold.admin.ModelAdmin):  # type: ignore[misc]
    resource_classes = [PersonResource]
    list_display = ["name", "email"]
    fieldsets: Any = [(None, {"fields": ["name", "email"], "classes": ["tab"]})]


@admin.register(Contact)
class ContactAdmin(ImportExportModelAdmin, BlueshiftAdminMixin):  # type: ignore[misc]
    resource_classes = [BulkResource]


@admin.register(Account)
class AccountAdmin(unfold.admin.ModelAdmin, BlueshiftAdminMixin):  # type: ignore[misc]
    pass


@admin.register(Badge)
class BadgeAdmin(BlueshiftAdminMixin, unfold.admin.ModelAdmin):  # type: ignore[misc]
    """Of a model that has no source."""
