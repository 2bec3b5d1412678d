"""Backfills that are killed, and those beside a site at work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction

from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource
from blueshift_sync.sources.slices import CHUNK
from tests.site.models import Person
from tests.waiting import wait_until

from .backfills import backfill, make_people, read_and_changed
from .conftest import Register
from .helpers import told

pytestmark = pytest.mark.django_db


ROOT = Path(__file__).parent.parent.parent


KILLED = """
import time, django
django.setup()
from django.core.management import call_command
from blueshift_sync.sources import CustomerSource, register
from tests.site.models import Person

@register(Person)
class People(CustomerSource):
    email = "email"
    def get_firstname(self, person):
        if person.name == "stop":
            time.sleep(600)

call_command("blueshift_backfill", "site.Person")
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("people")
def test_a_backfill_that_is_killed_is_finished_by_the_next_one() -> None:
    stop = make_people(3 * CHUNK)[2 * CHUNK + 10]
    Person.objects.filter(pk=stop.pk).update(name="stop")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
    }
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, env=environment) as process:
        try:
            wait_until(lambda: process.poll() is not None or Customer.objects.count() == 2 * CHUNK)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert Customer.objects.count() == 2 * CHUNK
    assert read_and_changed("site.Person") == (3 * CHUNK, CHUNK)
    assert set(Customer.objects.values_list("version", flat=True)) == {1}
    assert read_and_changed("site.Person") == (3 * CHUNK, 0)


@pytest.mark.django_db(transaction=True)
class TestBesideTheSite:
    @pytest.fixture(autouse=True)
    def named_people(self, registered: Register) -> None:
        @registered(Person)
        class People(CustomerSource):
            email = "email"
            firstname = "name"

    @pytest.fixture
    def beside(self) -> Iterator[Callable[[Callable[[], Any]], Any]]:
        """Runs something in a thread with connections of its own."""

        def by_itself(work: Callable[[], Any]) -> Any:
            try:
                return work()
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            yield lambda work: pool.submit(by_itself, work)

    def test_saves_during_a_backfill_are_mirrored_as_they_are(self, beside: Any) -> None:
        people = make_people(2 * CHUNK)
        backfill("site.Person")
        Person.objects.update(name="Ada")
        enough = Event()

        def save_now_and_then(seed: int) -> int:
            choices, saves = random.Random(seed), 0
            while not enough.is_set():
                with transaction.atomic():
                    for person in choices.sample(people, 2):
                        person.name = f"Ada {choices.random()}"
                        person.save(update_fields=["name"])
                saves += 1
            return saves

        site = beside(lambda: save_now_and_then(1))
        try:
            for _ in range(2):
                backfill("site.Person")
                Person.objects.filter(pk__lt=people[50].pk).update(email="new@example.com")
        finally:
            enough.set()
        assert site.result() > 0
        backfill("site.Person")
        names = dict(Person.objects.values_list("pk", "name"))
        rows = Customer.objects.values_list("source_id", "firstname")
        assert {int(source_id): name for source_id, name in rows} == names
        assert read_and_changed("site.Person") == (2 * CHUNK, 0)

    def test_the_site_gets_the_rows_that_it_wants_and_is_never_the_victim(self, beside: Any) -> None:
        first, *_, last = people = make_people(20)
        backfill("site.Person")
        Person.objects.update(name="Ada")
        with transaction.atomic():
            last.save()  # the backfill can't get at this one,
            running = beside(lambda: read_and_changed("site.Person"))
            for person in people:  # and lets go of these
                person.name = "Augusta"
                person.save()
            assert not running.done()
        assert running.result() == (20, 0)
        assert told(first)["firstname"] == "Augusta"
