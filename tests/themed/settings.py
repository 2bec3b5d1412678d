"""A site with the theme django-unfold, and with django-import-export."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as ALL_APPS

INSTALLED_APPS = ["unfold", "import_export", *ALL_APPS, "tests.themed"]
