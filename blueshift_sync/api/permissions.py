"""Who may see what: the model permissions of the Django admin, for reading too."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_permission_codename
from django.db.models import Model
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

BODY_PERMISSION = "blueshift_sync.view_apicall_body"


def view_permission(model: type[Model]) -> str:
    """The full name of the permission to view rows of `model`, as `User.has_perm` takes it."""
    return f"{model._meta.app_label}.{get_permission_codename('view', model._meta)}"


class HasPermissions(BasePermission):
    """Lets in active users who have all of the view's `permissions_needed()`.

    DRF's own `DjangoModelPermissions` asks for nothing on GET, so it won't do.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if user is None or not (user.is_authenticated and user.is_active):
            return False
        for permission in view.permissions_needed():
            if not user.has_perm(permission):
                raise PermissionDenied(f"Your user needs the permission {permission} for this.")
        return True
