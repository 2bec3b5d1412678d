"""What is tried again is read again: whatever was wrong may have been put right without a word to anybody."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership, SyncRun
from tests.factories import make_customer, make_list, make_membership, make_run
from tests.site.models import Person, Signup

from .helpers import mirrored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("people")]


def test_a_retry_of_a_cause_sends_the_newest_values() -> None:
    mended, left = Person.objects.create(email=""), Person.objects.create(email="")
    cause = mirrored(mended).error_cause
    assert cause == mirrored(left).error_cause != ""
    Person.objects.filter(pk=mended.pk).update(email="ada@example.com")
    run = services.retry_cause(Customer, cause)
    row = mirrored(mended)
    assert (row.state, row.email, row.run, row.error_cause) == ("PENDING", "ada@example.com", run, "")
    assert (run.total, run.trigger) == (1, "RETRY")
    assert (mirrored(left).state, mirrored(left).error_cause) == ("FAILED", cause)


def test_a_retry_of_a_run_sends_the_newest_values() -> None:
    person, run = Person.objects.create(email="old@example.com"), make_run()
    Customer.objects.update(state="FAILED", error_code="rejected", run=run)
    Person.objects.update(email="new@example.com")
    again = services.retry(run)
    assert (again.total, mirrored(person).email, mirrored(person).run) == (1, "new@example.com", again)


def test_retrying_what_was_ticked_in_the_admin_sends_the_newest_values(admin_client: Client) -> None:
    mended, left = Person.objects.create(email=""), Person.objects.create(email="")
    Person.objects.filter(pk=mended.pk).update(email="ada@example.com")
    ticked = [mirrored(person).pk for person in (mended, left)]
    posted = {"action": "retry_failed", "_selected_action": ticked, "index": 0}
    admin_client.post(reverse("admin:blueshift_sync_customer_changelist"), posted)
    row, run = mirrored(mended), SyncRun.objects.latest("pk")
    assert (row.state, row.email, row.run, run.total) == ("PENDING", "ada@example.com", run, 1)
    assert mirrored(left).state == "FAILED"


def test_a_retry_reads_memberships_again(news: None) -> None:
    list_ = make_list(list_id=7)
    person = Person.objects.create(email="ada@example.com")
    Signup.objects.create(person=person, news=list_.list_id, confirmed=True)
    ListMembership.objects.update(state="FAILED", error_code="rejected", error_cause="c" * 16)
    Signup.objects.update(confirmed=False)
    run = services.retry_cause(ListMembership, "c" * 16)
    membership = ListMembership.objects.get()
    assert (membership.is_member, membership.state, membership.run) == (False, "PENDING", run)


def test_an_object_that_is_gone_is_not_sent_again() -> None:
    person = Person.objects.create(email="ada@example.com")
    Customer.objects.update(state="FAILED", error_code="rejected", error_cause="c" * 16)
    Person.objects.filter(pk=person.pk)._raw_delete(using="default")  # type: ignore[attr-defined]
    assert services.retry_cause(Customer, "c" * 16).total == 0
    assert Customer.objects.get().state == "EXCLUDED"


def test_records_of_no_source_any_more_and_made_by_hand_are_sent_as_they_are() -> None:
    cause = make_customer(state="FAILED").error_cause
    make_customer(state="FAILED", source_type="site.unheard_of", source_id="1")
    make_customer(state="FAILED", error_message="Something else")
    make_membership(state="FAILED")
    assert services.retry_cause(Customer, cause).total == 2


def test_a_cause_that_nothing_fails_for_sends_nothing() -> None:
    make_customer(state="FAILED")
    make_customer(state="SYNCED")
    run = services.retry_cause(Customer, "")
    assert (run.total, run.state) == (0, SyncRun.State.SUCCEEDED)
