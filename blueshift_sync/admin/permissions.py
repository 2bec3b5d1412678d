"""Who may see and send what."""

from __future__ import annotations

from django.db.models import Model
from django.http import HttpRequest

from ..delivery.runs import SentModel
from ..permissions import CHANGE_LISTS, PUSH_PERMISSIONS


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the user may see rows of `model`, which isn't the page's own."""
    return may_user_view(request.user, model)


def may_user_view(user: object, model: type[Model]) -> bool:
    """As `may_view`, of a user who may be unknown."""
    meta, has_perm = model._meta, getattr(user, "has_perm", None)
    return has_perm is not None and any(
        has_perm(f"{meta.app_label}.{verb}_{meta.model_name}") for verb in ("view", "change")
    )


def may_push(request: HttpRequest, model: SentModel) -> bool:
    """Whether the user may have records of `model` sent."""
    return request.user.has_perm(PUSH_PERMISSIONS[model])


def may_change_lists(request: HttpRequest) -> bool:
    """Whether the user may put customers on lists, and take them off."""
    return request.user.has_perms(CHANGE_LISTS)
