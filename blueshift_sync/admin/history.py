"""Django's own history of who did what."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

#: As much of what somebody did as the history keeps.
LONGEST_NOTE = 1000


def note_in_history(request: HttpRequest, about: Model | type[Model], text: str) -> None:
    """An entry of Django's own history of a row, or of all rows of a model."""
    row = about if isinstance(about, Model) else None
    model = type(row) if row is not None else about
    user: Any = request.user
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
        object_id=None if row is None else str(row.pk),
        object_repr=str(row)[:200] if row is not None else str(model._meta.verbose_name_plural),
        action_flag=CHANGE,
        change_message=text[:LONGEST_NOTE],
    )
