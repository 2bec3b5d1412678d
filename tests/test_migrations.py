"""The migrations: none is missing, whatever the site's settings, and undone they leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.recorder import MigrationRecorder

from blueshift_sync.models import Customer

ROOT = Path(__file__).parent.parent
OUR_TABLES = {model._meta.db_table for model in apps.get_app_config("blueshift_sync").get_models()}


@pytest.mark.parametrize(
    "site",
    [
        "",
        "LANGUAGE_CODE = 'de'",
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'",
        "DEFAULT_AUTO_FIELD = 'django.db.models.SmallAutoField'; USE_I18N = False",
        "BLUESHIFT_SYNC = {'LIST_MODE': 'sync', 'REGION': 'eu'}",
    ],
    ids=["as it is", "in German", "other keys", "small keys", "other settings"],
)
# Within a transaction, SQLite would let the process that checks wait for its end.
@pytest.mark.django_db(transaction=True)
def test_no_migration_is_missing_whatever_the_sites_settings(site: str, tmp_path: Path) -> None:
    """In a process of its own: keys and labels are fixed when the models are loaded."""
    (tmp_path / "other_settings.py").write_text(f"from tests.settings import *\n{site}\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
        "DJANGO_SETTINGS_MODULE": "other_settings",
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
    }
    command = [sys.executable, "-m", "django", "makemigrations", "blueshift_sync", "--check", "--dry-run"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "No changes detected in app 'blueshift_sync'"), result


def test_our_keys_are_big_whatever_the_sites_default() -> None:
    for model in apps.get_app_config("blueshift_sync").get_models():
        assert isinstance(model._meta.pk, models.BigAutoField)


def tables() -> set[str]:
    return set(connection.introspection.table_names())


def our_leftovers() -> set[str]:
    """Tables, and sequences where the database has them, that bear our name."""
    with connection.cursor() as cursor:
        names = set(connection.introspection.table_names(cursor))
        if connection.vendor == "postgresql":
            cursor.execute("SELECT relname FROM pg_class")
            names |= {row[0] for row in cursor.fetchall()}
    return {name for name in names if name.startswith(("blueshift_sync", "bsync"))}


@pytest.fixture
def migrated_again(transactional_db: None) -> Any:
    yield
    call_command("migrate", "blueshift_sync", verbosity=0, stdout=StringIO())


@pytest.mark.usefixtures("migrated_again")
def test_undone_they_take_every_table_of_ours_away_and_no_other() -> None:
    before = tables()
    assert before >= OUR_TABLES
    call_command("migrate", "blueshift_sync", "zero", verbosity=0, stdout=StringIO())
    assert tables() == before - OUR_TABLES
    assert our_leftovers() == set()
    assert not MigrationRecorder(connection).migration_qs.filter(app="blueshift_sync").exists()
    call_command("migrate", "blueshift_sync", verbosity=0, stdout=StringIO())
    assert tables() == before
    assert not Customer.objects.exists()


@pytest.mark.django_db
def test_none_of_our_tables_refers_to_the_sites_models_but_its_users() -> None:
    referred = {
        field.related_model._meta.label
        for model in apps.get_app_config("blueshift_sync").get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey) and isinstance(field.related_model, type)
    }
    assert {label for label in referred if not label.startswith("blueshift_sync.")} == {"auth.User"}
