from plain import *  # noqa: F403
from plain import DATABASES
from plain import INSTALLED_APPS as WITHOUT
from where import *  # noqa: F403
from where import BLUESHIFT_SYNC as ACCOUNT

INSTALLED_APPS = [*WITHOUT, "django_rq", "rest_framework", "django_filters", "blueshift_sync"]
BLUESHIFT_SYNC = {**ACCOUNT, "ON_SOURCE_DELETE": "delete"}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
