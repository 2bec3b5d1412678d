"""The settings with which Wagtail's own tests run, and the mirror."""

from wagtail.test.settings import *  # noqa: F403
from wagtail.test.settings import INSTALLED_APPS as WITHOUT
from where import *  # noqa: F403

INSTALLED_APPS = [*WITHOUT, "django_rq", "blueshift_sync", "ours"]
