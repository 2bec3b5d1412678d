"""Settings of a site whose database is away: nobody listens on its port."""

import os

from tests.settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "away",
        "USER": "away",
        "HOST": "127.0.0.1",
        "PORT": os.environ["CLOSED_PORT"],
    }
}
DATABASE_ROUTERS: list[str] = []
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.api.urls"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR"}},
}
