"""Addresses of admin pages, and what tests read from them."""

from __future__ import annotations

import html
import re
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

from blueshift_sync.models import (
    ApiCall,
    AttributeType,
    Customer,
    CustomerList,
    CustomerRemoval,
    ListImport,
    ListMembership,
    RecordResult,
    SyncRun,
)

MODELS = [
    Customer,
    CustomerList,
    ListMembership,
    SyncRun,
    ApiCall,
    RecordResult,
    AttributeType,
    CustomerRemoval,
    ListImport,
]
AUDIT = [SyncRun, ApiCall, RecordResult, CustomerRemoval]


def registered_models() -> set[type[Model]]:
    """Those with rows of their own to look at."""
    models = apps.get_app_config("blueshift_sync").get_models()
    return {model for model in models if model in admin.site._registry and not model._meta.proxy}


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def add_url(model: type[Model]) -> str:
    return reverse(f"admin:blueshift_sync_{model._meta.model_name}_add")


def page_url(row: Model, view: str = "change") -> str:
    return reverse(f"admin:blueshift_sync_{row._meta.model_name}_{view}", args=[row.pk])


def action(name: str, *rows: Model, **more: Any) -> dict[str, Any]:
    """What the list's form posts to run an action on these rows."""
    return {"action": name, "_selected_action": [row.pk for row in rows], "index": 0, **more}


def text_of(response: Any) -> str:
    """The page's text on one line, without its tags."""
    without_tags = re.sub(r"<[^>]+>", " ", response.content.decode())
    return html.unescape(re.sub(r"\s+", " ", without_tags))
