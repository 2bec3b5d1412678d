"""The demo site's settings. Everything that it writes is under `var/` (or where DEMO_VAR says)."""

import os
import secrets
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("DEMO_VAR", BASE_DIR / "var"))
VAR.mkdir(parents=True, exist_ok=True)


def secret_key() -> str:
    """This machine's own key, made at the first start and kept out of the repository."""
    path = VAR / "secret_key"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text()
    key = secrets.token_urlsafe(50)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    return key


DEBUG = True
SECRET_KEY = secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_rq",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "blueshift_sync",
    "project.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "demo.sqlite3",
        "OPTIONS": {
            # The worker and the web server write at the same time: each waits for its turn.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"

REDIS_URL = os.environ.get("REDIS_URL", f"unix://{VAR / 'redis.sock'}?db=0")
RQ_QUEUES: dict[str, dict[str, Any]] = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 360}}

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}

BLUESHIFT_SYNC: dict[str, Any] = {
    # So that what a killed worker had claimed is soon free again, for those who try it.
    "LEASE_SECONDS": 20,
    "TIMEOUT": (3, 10),
}
if api_key := os.environ.get("BLUESHIFT_API_KEY"):
    BLUESHIFT_SYNC |= {"API_KEY": api_key, "REGION": os.environ.get("BLUESHIFT_REGION", "us")}
else:
    BLUESHIFT_SYNC |= {
        "API_KEY": "simulator-key",
        "BASE_URL": os.environ.get("SIMULATOR_URL", "http://127.0.0.1:8377"),
    }
