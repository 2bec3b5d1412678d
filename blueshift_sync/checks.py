"""System checks: mistakes in the settings, told with what to do about them. None of them asks the database."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import router

from .conf import app_settings, problems, raw_settings
from .models import Customer
from .sources.base import Source
from .sources.inspection import flaws, missing
from .sources.registry import all_sources
from .sources.signed_files import signed_files
from .sources.stray_names import stray_names

NO_KEY_HINT = "Set BLUESHIFT_SYNC['API_KEY'] to the User API key of your Blueshift account."


@register(Tags.compatibility)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Unknown keys, wrong types and values out of range in BLUESHIFT_SYNC."""
    return [Error(problem.message, hint=problem.hint, id="blueshift_sync.E001") for problem in problems(raw_settings())]


@register(Tags.compatibility)
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The queue must be one of django-rq's."""
    name = app_settings().QUEUE
    queues = getattr(settings, "RQ_QUEUES", None) or {}
    if not isinstance(name, str) or name in queues:
        return []
    return [
        Error(
            f"The queue {name!r} of BLUESHIFT_SYNC['QUEUE'] isn't in RQ_QUEUES.",
            hint=f"Add it to RQ_QUEUES, or name one of: {', '.join(sorted(queues)) or 'none is there yet'}.",
            id="blueshift_sync.E002",
        )
    ]


@register(Tags.compatibility)
def check_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Without a key changes are captured, and nothing is sent."""
    if app_settings().has_key:
        return []
    return [
        Warning(
            "BLUESHIFT_SYNC['API_KEY'] is not set: changes are captured, but nothing is sent to Blueshift.",
            hint=NO_KEY_HINT,
            id="blueshift_sync.W001",
        )
    ]


@register(Tags.security, deploy=True)
def check_key_for_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """In production a missing key is an error."""
    if app_settings().has_key:
        return []
    return [
        Error(
            "BLUESHIFT_SYNC['API_KEY'] is not set: nothing would be sent to Blueshift.",
            hint=NO_KEY_HINT,
            id="blueshift_sync.E003",
        )
    ]


@register(Tags.models)
def check_sources(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Paths that lead nowhere, names that are Blueshift's own, and what else can't be right in a source."""
    return [
        *(Error(flaw.message, hint=flaw.hint, id="blueshift_sync.E004") for flaw in flaws()),
        *(Error(flaw.message, hint=flaw.hint, id="blueshift_sync.E005") for flaw in missing()),
        *(Warning(flaw.message, hint=flaw.hint, id="blueshift_sync.W003") for flaw in stray_names()),
        *(Warning(flaw.message, hint=flaw.hint, id="blueshift_sync.W004") for flaw in signed_files()),
    ]


@register(Tags.compatibility)
def check_databases(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Sources on another database than the mirror are captured after their own commit."""
    mirror = router.db_for_write(Customer)
    elsewhere = sorted({source.model._meta.label for source in all_sources() if _database_of(source) != mirror})
    return [
        Warning(
            f"{label} is on another database than the tables of blueshift_sync: a change of it and its capture don't "
            "commit together, and what happens between the two commits is lost.",
            hint=f"Keep both on one database, or run blueshift_backfill {label} regularly.",
            id="blueshift_sync.W002",
        )
        for label in elsewhere
    ]


def _database_of(source: Source) -> str:
    return router.db_for_write(source.model)
