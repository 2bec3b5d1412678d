"""Mistakes in the site's code that maps memberships."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from rq.timeouts import JobTimeoutException

from blueshift_sync import services
from blueshift_sync.models import ListMembership
from blueshift_sync.sources import MembershipSource
from tests.site.models import Badge, Signup, Visit

from .conftest import Register
from .helpers import ada, bring_into_step, lists_of, row_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("news")]


@pytest.fixture
def source(registered: Register) -> Any:
    """A source of visits whose function for the list's number the test sets."""
    functions: dict[str, Any] = {"list_id": lambda visit: 7}

    @registered(Visit)
    class Visits(MembershipSource):
        customer = "person"

        def get_list_id(self, visit: Visit) -> Any:
            return functions["list_id"](visit)

    return functions


@pytest.mark.parametrize("number", ["seven", "0", "-7", "9223372036854775808", "1.5"])
def test_what_is_no_number_of_a_list_is_logged_and_goes_no_further(
    number: str, caplog: pytest.LogCaptureFixture
) -> None:
    signup = Signup.objects.create(person=ada(), news=number)
    assert not ListMembership.objects.exists()
    assert f"The source News failed at site.Signup {signup.pk}" in caplog.text


@pytest.mark.parametrize("number", [7.5, Decimal("7.5"), True])
def test_a_fraction_or_a_boolean_is_no_number_of_a_list(source: Any, number: Any) -> None:
    source["list_id"] = lambda visit: number
    Visit.objects.create(person=ada())
    assert not ListMembership.objects.exists()


def test_a_mistake_fails_the_membership_with_a_sentence_until_it_is_mended(writes: Callable[..., list[str]]) -> None:
    signup = Signup.objects.create(person=ada(), news="7")
    bring_into_step(row_of(signup))
    signup.news = "seven"
    signup.save()
    row = row_of(signup)
    assert (row.state, row.error_code, row.is_member) == ("FAILED", "source_error", True)
    assert row.error_message.startswith("The source News failed: ValueError")
    assert writes(signup.save) == []
    signup.news = "7"
    signup.save()
    assert (row_of(signup).state, row_of(signup).error_message) == ("SYNCED", "")


def test_a_mistake_at_one_object_concerns_that_one_alone() -> None:
    person = ada()
    Signup.objects.bulk_create([Signup(person=person, news=number) for number in ("7", "seven", "8")])
    services.capture(Signup.objects.all())
    assert lists_of(person) == {7, 8}


def test_a_customer_without_a_source_is_logged(source: Any, registered: Register, caplog: Any) -> None:
    @registered(Badge)
    class Badges(MembershipSource):
        customer = lambda badge: badge  # noqa: E731
        list_id = 7

    Badge.objects.create(person=ada(), colour="red")
    assert "SourceError" in caplog.text


def test_the_log_holds_no_personal_data(source: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(visit: Visit) -> Any:
        raise ValueError(visit.person.email)

    source["list_id"] = fail
    with caplog.at_level(logging.DEBUG):
        Visit.objects.create(person=ada())
    (record,) = caplog.records
    assert "(ValueError)" in record.getMessage()
    assert "ada" not in caplog.text


def test_a_database_error_leaves_the_sites_transaction_whole_and_the_others_alone(source: Any) -> None:
    def broken(visit: Visit) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM no_such_table")

    people = [ada(), ada()]
    source["list_id"] = lambda visit: 7 if visit.person == people[0] else broken(visit)
    with transaction.atomic():
        for person in people:
            Visit.objects.create(person=person)
    assert [lists_of(person) for person in people] == [{7}, set()]


def test_a_jobs_time_out_ends_the_job(source: Any) -> None:
    def time_out(visit: Visit) -> Any:
        raise JobTimeoutException("time is up")

    source["list_id"] = time_out
    with pytest.raises(JobTimeoutException), transaction.atomic():
        Visit.objects.create(person=ada())
    assert not Visit.objects.exists()


def test_a_membership_of_a_customer_that_fails_waits() -> None:
    person = ada(email="")
    row = row_of(Signup.objects.create(person=person, news="7"))
    assert (row.state, row.customer.state) == ("PENDING", "FAILED")
