"""The management commands."""

from __future__ import annotations

from io import StringIO
from typing import Any

import django_rq
import pytest
from django.core.management import CommandError, call_command

from blueshift_sync.models import ApiCall
from tests.factories import make_customer

pytestmark = pytest.mark.django_db


def test_ping_tells_that_the_key_is_taken(blueshift: Any) -> None:
    out = StringIO()
    call_command("blueshift_ping", stdout=out)
    assert out.getvalue().startswith("Blueshift takes the key.")
    assert [(call.endpoint, call.state) for call in ApiCall.objects.all()] == [("CUSTOMER_FIND", "SUCCEEDED")]


def test_ping_tells_that_the_key_is_refused(blueshift: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": "a-wrong-key"}
    with pytest.raises(CommandError, match="Not authorized") as error:
        call_command("blueshift_ping")
    assert "a-wrong-key" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("ENABLED", False), ("API_KEY", "")])
def test_ping_names_the_setting_that_forbids_it(settings: Any, key: str, value: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, key: value}
    with pytest.raises(CommandError, match=key):
        call_command("blueshift_ping")


def test_ping_tells_that_nobody_answers(settings: Any) -> None:
    with pytest.raises(CommandError, match=r"Nothing was sent\."):
        call_command("blueshift_ping")


def test_the_sweep_wakes_a_worker() -> None:
    make_customer()
    call_command("blueshift_sweep")
    assert len(django_rq.get_queue("default")) == 1
