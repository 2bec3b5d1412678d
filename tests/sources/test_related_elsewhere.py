"""What has to do with a customer may be kept in another database than the customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from blueshift_sync import services
from blueshift_sync.sources import CustomerSource, MembershipSource
from tests.site.models import Device, Person, Worker

from .conftest import Register
from .helpers import ada, lists_of, mirrored, told

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])


def person_of(device: Device) -> Person | None:
    return Person.objects.filter(email=device.email).first()


@pytest.fixture(autouse=True)
def sources(registered: Register, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """People are beside the mirror; their devices, which know them by their address, are not."""
    settings.DATABASE_ROUTERS = ["tests.routers.VisitorsElsewhere"]
    monkeypatch.setattr(Device, "person", property(person_of), raising=False)

    @registered(Person)
    class People(CustomerSource):
        email = "email"
        attributes = {"devices": lambda person: Device.objects.filter(email=person.email).count()}
        watch = {Device: "person"}

    @registered(Device)
    class Devices(MembershipSource):
        customer = "person"
        list_id = 7

    yield
    Device.objects.all().delete()
    connections["elsewhere"].close()


def test_a_watched_object_in_another_database_re_reads_its_owner_where_that_is_kept() -> None:
    person = ada()
    device = Device.objects.create(email=person.email)
    assert told(person)["devices"] == 1
    device.delete()
    assert told(person)["devices"] == 0


def test_a_membership_in_another_database_finds_a_customer_that_is_not_mirrored_yet() -> None:
    with services.disabled():
        person = ada()
    device = Device.objects.create(email=person.email)
    assert lists_of(person) == {7}
    device.delete()
    assert lists_of(person) == set()


def test_the_customer_of_a_membership_in_another_database_may_be_a_childs(registered: Register) -> None:
    @registered(Worker)
    class Workers(CustomerSource):
        email = "email"

    with services.disabled():
        worker = Worker.objects.create(email="ada@example.com")
    Device.objects.create(email=worker.email)
    assert mirrored(worker).source_type == "site.worker"
    assert lists_of(worker) == {7}
