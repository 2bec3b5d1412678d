"""A site whose user model has a UUID for a key and no user name: it migrates, is mirrored, and asks for runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = """
import django
django.setup()
import json
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test.runner import DiscoverRunner

runner = DiscoverRunner(verbosity=0, interactive=False)
databases = runner.setup_databases()
try:
    call_command("check", fail_level="WARNING")
    from blueshift_sync import services
    from blueshift_sync.models import Customer
    user = get_user_model().objects.create_user("ada@example.com", "secret", name="Ada", number="7")
    run = services.push(Customer.objects.all(), requested_by=user)
    row = Customer.objects.get()
    print(json.dumps({
        "source": [row.source_type, row.source_id == str(user.pk)],
        "payload": [row.customer_id, row.email, row.firstname],
        "run": [run.total, run.requested_by_id == user.pk],
    }))
finally:
    runner.teardown_databases(databases)
"""


@pytest.mark.e2e
def test_a_user_model_without_user_name(tmp_path: Path) -> None:
    """In a process and a database of its own: a site has one user model from its first migration on."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "TEST_DATABASE_NAME"},
        "DJANGO_SETTINGS_MODULE": "tests.club.settings",
        "TEST_DATABASE_SUFFIX": f"{os.environ.get('TEST_DATABASE_SUFFIX', '')}_club",
        "TEST_VAR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-W", "error", "-c", SITE]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "source": ["club.member", True],
        "payload": ["7", "ada@example.com", "Ada"],
        "run": [1, True],
    }
