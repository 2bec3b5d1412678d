"""Who may see what: the model permissions of the Django admin, for reading too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_permission_codename
from django.db.models import Model
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from ..delivery.runs import models_of
from ..models import CustomerRemoval, SyncRun
from ..permissions import DECIDE_ON_REMOVALS, PUSH_PERMISSIONS

ADD_LIST = "blueshift_sync.add_customerlist"
NOBODY_CAN_LOG_IN = "Nobody can log in: REST_FRAMEWORK[“DEFAULT_AUTHENTICATION_CLASSES”] of this site is empty."


def permissions_to_send(run: SyncRun) -> list[str]:
    """What it takes to send what the run sends, or not to."""
    removes = CustomerRemoval.objects.filter(run=run).exists()
    return [PUSH_PERMISSIONS[models_of(run)[0]], *([DECIDE_ON_REMOVALS] if removes else [])]


def require(user: Any, permissions: Iterable[str]) -> None:
    """Raises PermissionDenied that names the first permission that the user lacks."""
    for permission in permissions:
        if not user.has_perm(permission):
            raise PermissionDenied(f"Your user needs the permission {permission} for this.")


def view_permission(model: type[Model]) -> str:
    """The full name of the permission to view rows of `model`, as `User.has_perm` takes it."""
    return f"{model._meta.app_label}.{get_permission_codename('view', model._meta)}"


def may_view(user: Any, model: type[Model]) -> bool:
    return bool(user.has_perm(view_permission(model)))


def require_to_see(user: Any, models: Iterable[type[Model]]) -> None:
    """Raises PermissionDenied unless the user may view or, which is more, change rows of all of these models."""
    for model in models:
        if not user.has_perm(f"{model._meta.app_label}.{get_permission_codename('change', model._meta)}"):
            require(user, [view_permission(model)])


class HasPermissions(BasePermission):
    """Lets in active users who have all of the view's `permissions_needed()`.

    DRF's own `DjangoModelPermissions` asks for nothing on GET, so it won't do.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if user is None or not (user.is_authenticated and user.is_active):
            if not request.authenticators:
                raise PermissionDenied(NOBODY_CAN_LOG_IN)
            return False
        require(user, view.permissions_needed())
        return True
