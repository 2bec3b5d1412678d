from dev_env.settings import *  # noqa: F403
from dev_env.settings import INSTALLED_APPS as WITHOUT
from where import *  # noqa: F403

INSTALLED_APPS = [*WITHOUT, "django_rq", "rest_framework", "django_filters", "blueshift_sync", "ours"]
