"""Settings of a site that has said nothing about its REST framework."""

from tests.settings import *  # noqa: F403

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DATABASE_ROUTERS: list[str] = []
# The tables are made as the models have them: a second instead of ten.
MIGRATION_MODULES = dict.fromkeys(
    ["admin", "auth", "blueshift_sync", "club", "contenttypes", "django_rq", "sessions", "shop", "site"], None
)
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.api.urls"
DEBUG = False
