"""The club as a site of its own: its members are the users who log in."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as ALL_APPS

AUTH_USER_MODEL = "club.Member"
# No admin and no other models: theirs refer to a user with permissions of its own.
INSTALLED_APPS = [app for app in ALL_APPS if app not in {"django.contrib.admin", "project.shop", "tests.site"}]
ROOT_URLCONF = "tests.api.urls"
