"""Lists themselves: created in Blueshift, taken on, read, stopped and tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.db.models import Q
from django.utils import timezone

from blueshift_sync import services
from blueshift_sync.delivery import lists
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.sweep import sweep
from blueshift_sync.exceptions import BlueshiftSyncError
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, SyncRun
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db


def member_of(customer_list: CustomerList, **fields: Any) -> ListMembership:
    customer = make_customer(state="SYNCED", synced_version=1, due_at=None, customer_id=None, **fields)
    return make_membership(customer_list=customer_list, customer=customer)


def in_step_in(blueshift: Any, *emails: str) -> None:
    """Blueshift has customers with these addresses."""
    for email in emails:
        make_customer(customer_id=None, email=email)
    drain()


@pytest.fixture
def ada(unthrottled: Any) -> Any:
    """A customer whom Blueshift has."""
    customer = make_customer(customer_id="ada", email="ada@example.com")
    drain()
    customer.refresh_from_db()
    return customer


# Creating


@pytest.mark.parametrize("shape", ["object", "array"])
def test_a_list_is_created_and_its_members_follow(unthrottled: Any, ada: Any, shape: str) -> None:
    unthrottled.scenario(create_list_answer=shape)
    vips = services.create_list(" VIPs ", description="Who spent most", identifier_key="customer_id", mode="sync")
    assert (str(vips), vips.list_id, vips.is_ready) == ("VIPs", None, False)
    services.add_to_list(vips, [ada])
    drain()
    vips.refresh_from_db()
    assert vips.list_id is not None
    assert unthrottled.members(vips.list_id) == ["ada"]
    assert (vips.name, vips.source, vips.is_ready, vips.user_count) == ("VIPs", "customer_id", True, 0)
    call = ApiCall.objects.get(endpoint="LIST_CREATE")
    assert (call.customer_list, call.state, call.record_count) == (vips, "SUCCEEDED", 0)
    assert '"description":"Who spent most"' in call.request_body


def test_members_say_that_their_list_is_being_created(unthrottled: Any, ada: Any) -> None:
    unthrottled.fail("status", status=503, endpoint="LIST_CREATE", next=1)
    vips = services.create_list("VIPs")
    membership = make_membership(customer_list=vips, customer=ada)
    CustomerList.objects.update(read_due_at=timezone.now() + timedelta(hours=1))
    drain()
    membership.refresh_from_db()
    assert (membership.due_at, membership.error_code) == (None, "list_creating")
    assert membership.error_message == "The list is being created in Blueshift."
    CustomerList.objects.update(read_due_at=timezone.now())
    drain()
    assert [call.status_code for call in ApiCall.objects.filter(endpoint="LIST_CREATE")] == [503, 200]
    membership.refresh_from_db()
    assert membership.state == "SYNCED"


def test_a_name_that_is_taken_stops_the_list_with_a_way_out(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7, name="VIPs")
    vips = services.create_list("VIPs")
    membership = make_membership(customer_list=vips, customer=ada)
    drain()
    sweep()
    vips.refresh_from_db()
    membership.refresh_from_db()
    assert vips.has_stopped
    assert vips.error_code == "list_not_created"
    assert "has already been taken" in vips.error_message
    assert "Choose another name" in vips.error_message
    assert (membership.state, membership.due_at, membership.error_code) == ("PENDING", None, "list_not_created")
    vips.name = "Other VIPs"
    vips.save(update_fields=["name"])
    services.try_list_again(vips)
    drain()
    membership.refresh_from_db()
    assert membership.state == "SYNCED"


def test_after_a_call_without_answer_the_list_may_have_been_made(unthrottled: Any, ada: Any) -> None:
    unthrottled.fail("reset_after", endpoint="LIST_CREATE", next=1)
    vips = services.create_list("VIPs")
    services.add_to_list(vips, [ada])
    drain()
    vips.refresh_from_db()
    assert "look in Blueshift for a list of this name" in vips.error_message
    assert ApiCall.objects.filter(endpoint="LIST_CREATE").count() == 2
    [(number, found)] = unthrottled.lists.items()
    assert found["name"] == "VIPs"
    CustomerList.objects.filter(pk=vips.pk).update(list_id=number)
    services.try_list_again(vips)
    drain()
    assert unthrottled.members(number) == ["ada@example.com"]


def test_a_list_without_name_or_identifier_is_not_asked_for(unthrottled: Any) -> None:
    nameless = CustomerList.objects.create(identifier_key="email")
    CustomerList.objects.create(name="VIPs")
    drain()
    nameless.refresh_from_db()
    assert nameless.has_stopped
    assert CustomerList.objects.filter(stopped_at=None).count() == 0
    assert not unthrottled.requests


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": " "}, "needs a name"),
        ({"name": "x" * 256}, "at most 255 characters, not 256"),
        ({"name": "VIPs", "identifier_key": "phone"}, "email or customer_id, not 'phone'"),
        ({"name": "VIPs", "mode": "slow"}, "async or sync, not 'slow'"),
        ({"name": "Waiting"}, "waits to be created already"),
    ],
)
def test_what_cannot_be_a_new_list_is_refused(arguments: dict[str, str], complaint: str) -> None:
    services.create_list("Waiting")
    with pytest.raises(BlueshiftSyncError, match=complaint):
        services.create_list(**arguments)
    assert CustomerList.objects.count() == 1


# Taking on


def test_a_list_is_taken_on_by_its_number(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7, name="News", source="customer_id")
    news = services.take_on_list(7)
    services.add_to_list(news, [ada])
    drain()
    news.refresh_from_db()
    assert (news.name, news.identifier_key, news.source, news.is_ready) == ("News", "customer_id", "customer_id", True)
    assert unthrottled.members(7) == ["ada"]
    assert news.read_due_at is not None
    assert timedelta(hours=23) < news.read_due_at - timezone.now() < timedelta(hours=25)


@pytest.mark.parametrize("number", [0, -1, True, 2**63, "7", None])
def test_what_cannot_be_a_number_is_refused(number: Any) -> None:
    with pytest.raises(BlueshiftSyncError, match="can't be the number of a list"):
        services.take_on_list(number)


def test_a_list_is_taken_on_once(db: None) -> None:
    services.take_on_list(7)
    with pytest.raises(BlueshiftSyncError, match="The list 7 is there already"):
        services.take_on_list(7)


def test_another_identifier_than_was_said_stops_the_list_until_it_is_tried_again(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7, source="customer_id")
    news = services.take_on_list(7, identifier_key="email")
    membership = make_membership(customer_list=news, customer=ada)
    drain()
    sweep()
    news.refresh_from_db()
    membership.refresh_from_db()
    assert (news.has_stopped, news.error_code, news.identifier_key) == (True, "identifier_differs", "email")
    assert "by customer_id, and here it was said to do so by email" in news.error_message
    assert (membership.state, membership.error_code) == ("PENDING", "identifier_differs")
    assert not ApiCall.objects.filter(endpoint="LIST_ADD").exists()
    services.try_list_again(news)
    drain()
    assert unthrottled.members(7) == ["ada"]


def test_a_list_that_reads_as_deleted_is_deleted(unthrottled: Any) -> None:
    unthrottled.create_list(7, status="deleted")
    gone = services.take_on_list(7)
    drain()
    gone.refresh_from_db()
    assert (gone.status, gone.has_stopped, gone.error_code) == ("DELETED", True, "list_deleted")


@pytest.mark.parametrize(("status", "ours"), [("deleted", "DELETED"), ("old", "UNSUPPORTED")])
def test_a_list_whose_reading_is_refused_stops(unthrottled: Any, status: str, ours: str) -> None:
    unthrottled.scenario(reads_of_refused_lists="refuse")
    unthrottled.create_list(7, status=status)
    gone = services.take_on_list(7)
    drain()
    gone.refresh_from_db()
    assert (gone.status, gone.has_stopped, gone.read_due_at) == (ours, True, None)


# Stopping, and going on


@pytest.mark.parametrize("status", ["deleted", "old"])
def test_tried_again_members_follow_only_once_the_list_reads_well(unthrottled: Any, ada: Any, status: str) -> None:
    unthrottled.scenario(reads_of_refused_lists="refuse")
    unthrottled.create_list(7, status=status)
    news = make_list(list_id=7)
    membership = make_membership(customer_list=news, customer=ada)
    drain()
    news.refresh_from_db()
    assert news.has_stopped
    services.try_list_again(news)
    drain()
    membership.refresh_from_db()
    assert membership.due_at is None
    assert ApiCall.objects.filter(endpoint="LIST_ADD").count() == 1
    unthrottled.create_list(7, status="active")
    services.try_list_again(news)
    drain()
    news.refresh_from_db()
    assert (news.status, news.has_stopped, news.error_code) == ("ACTIVE", False, "")
    assert unthrottled.members(7) == ["ada@example.com"]


def test_a_stopped_list_can_be_read_and_stays_stopped(unthrottled: Any) -> None:
    unthrottled.create_list(7, name="Old news", status="old")
    news = make_list(list_id=7, status="UNSUPPORTED", name="")
    services.read_list(news)
    drain()
    news.refresh_from_db()
    assert (news.name, news.has_stopped, news.error_code) == ("Old news", True, "list_unsupported")


def test_of_a_number_that_no_list_has_it_is_said_that_it_may_be_wrong(unthrottled: Any) -> None:
    mistyped = services.take_on_list(35870)
    drain()
    mistyped.refresh_from_db()
    assert (mistyped.has_stopped, mistyped.error_code) == (True, "list_deleted")
    assert "no list with the number 35870: it was deleted there, or the number is wrong" in mistyped.error_message


def test_a_list_that_is_found_deleted_once_more_has_stopped_since_the_first_time(unthrottled: Any) -> None:
    unthrottled.create_list(7, status="deleted")
    since = timezone.now() - timedelta(days=3)
    gone = make_list(list_id=7, status="DELETED", stopped_at=since)
    services.read_list(gone)
    drain()
    gone.refresh_from_db()
    assert (gone.stopped_at, gone.read_due_at) == (since, None)


@pytest.mark.parametrize("answer", ["read", "503"])
def test_a_list_that_stops_while_it_is_read_stays_stopped(
    unthrottled: Any, ada: Any, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker is told so by a call with members, and is done with it in the middle of the first one's."""
    unthrottled.create_list(7)
    news = make_list(list_id=7, read_due_at=timezone.now())
    membership = make_membership(customer_list=news, customer=ada, due_at=None)
    if answer == "503":
        unthrottled.fail("status", status=503, endpoint="LIST_READ", next=1)
    looks_at = lists._unless_stopped_since

    def stops_meanwhile(row: CustomerList, rows: Any) -> Any:
        lists._stop(CustomerList.objects.filter(pk=row.pk), CustomerList.Status.DELETED, timezone.now())
        return looks_at(row, rows)

    monkeypatch.setattr(lists, "_unless_stopped_since", stops_meanwhile)
    drain()
    ListMembership.objects.filter(pk=membership.pk).update(due_at=timezone.now())
    drain()
    news.refresh_from_db()
    membership.refresh_from_db()
    assert (news.is_ready, news.has_stopped, news.read_due_at, news.error_code) == (False, True, None, "list_deleted")
    assert (membership.due_at, membership.error_code) == (None, "list_deleted")


def test_a_list_that_a_newer_version_has_stopped_waits_as_others_do(unthrottled: Any, ada: Any) -> None:
    frozen = make_list(is_ready=False, read_due_at=None, stopped_at=timezone.now(), error_code="list_frozen")
    membership = make_membership(customer_list=frozen, customer=ada)
    drain()
    sweep()
    membership.refresh_from_db()
    assert (membership.state, membership.due_at, membership.error_code) == ("PENDING", None, "list_frozen")
    assert membership.error_message == "The list has stopped; its page says why."


def test_a_gateways_404_stops_no_list(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7)
    unthrottled.fail("html", status=404, endpoint="LIST_ADD", next=1)
    news = make_list(list_id=7)
    services.add_to_list(news, [ada])
    drain()
    news.refresh_from_db()
    assert (news.has_stopped, news.status) == (False, "ACTIVE")
    assert unthrottled.members(7) == ["ada@example.com"]


def test_only_a_list_with_a_number_can_be_read(db: None) -> None:
    with pytest.raises(BlueshiftSyncError, match="has no number yet"):
        services.read_list(services.create_list("VIPs"))


def test_a_refusal_for_the_identifier_has_the_list_read_before_anything_else(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7, source="customer_id")
    news = make_list(list_id=7, identifier_key="email", read_at=timezone.now() - timedelta(days=1))
    memberships = [make_membership(customer_list=news, customer=ada), member_of(news)]
    drain()
    news.refresh_from_db()
    assert (news.has_stopped, news.error_code) == (True, "identifier_differs")
    assert list(ApiCall.objects.order_by("pk").values_list("endpoint", flat=True))[-2:] == ["LIST_ADD", "LIST_READ"]
    for membership in memberships:
        membership.refresh_from_db()
        assert (membership.state, membership.due_at) == ("PENDING", None)
    sweep()
    assert set(ListMembership.objects.values_list("error_code", flat=True)) == {"identifier_differs"}


def test_a_refusal_that_is_not_the_identifiers_isolates_the_guilty_one(unthrottled: Any) -> None:
    unthrottled.create_list(7)
    in_step_in(unthrottled, "a@example.com", "b@example.com")
    news = make_list(list_id=7, read_at=timezone.now() - timedelta(days=1))
    services.add_to_list(news, Customer.objects.all())
    unthrottled.fail("status", status=400, endpoint="LIST_ADD", next=3)
    drain()
    endpoints = list(ApiCall.objects.filter(customer_list=news).order_by("pk").values_list("endpoint", flat=True))
    assert endpoints[:3] == ["LIST_ADD", "LIST_READ", "LIST_ADD"]
    assert sorted(ListMembership.objects.values_list("state", flat=True)) == ["FAILED", "SYNCED"]


def test_what_halving_has_found_out_outlives_a_look_at_the_list(
    unthrottled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, with many lists taking turns, a guilty one would be looked for from the start each time."""
    unthrottled.create_list(7)
    in_step_in(unthrottled, "a@example.com", "b@example.com")
    news = make_list(list_id=7, read_at=timezone.now() - timedelta(days=1))
    for customer in Customer.objects.all():
        make_membership(customer_list=news, customer=customer, batch_limit=2)
    unthrottled.fail("status", status=400, endpoint="LIST_ADD", next=1)
    monkeypatch.setattr("blueshift_sync.delivery.work.claim_list", lambda: None)
    drain(seconds=1)
    assert list(ListMembership.objects.values_list("error_code", "batch_limit")) == [("list_unread", 2)] * 2


@pytest.mark.parametrize(("minutes", "calls"), [(50, ["LIST_ADD", "LIST_ADD"]), (70, ["LIST_ADD", "LIST_READ"])])
def test_a_list_read_within_the_hour_is_not_read_again_for_each_refusal(
    unthrottled: Any, ada: Any, minutes: int, calls: list[str]
) -> None:
    """With a hundred others taking turns, minutes go by between two calls of a list."""
    unthrottled.create_list(7)
    news = make_list(list_id=7, read_at=timezone.now() - timedelta(minutes=minutes))
    for customer in (ada, make_customer(state="SYNCED", due_at=None)):
        make_membership(customer_list=news, customer=customer)
    unthrottled.fail("status", status=400, endpoint="LIST_ADD", next=1)
    drain()
    made = ApiCall.objects.filter(customer_list=news).order_by("pk")
    assert list(made.values_list("endpoint", flat=True))[:2] == calls


# Reading again, and the truth


def test_lists_are_read_again_each_day_by_the_sweep(unthrottled: Any) -> None:
    unthrottled.create_list(7, name="News of today")
    news = make_list(list_id=7, name="News", read_due_at=timezone.now() - timedelta(seconds=1))
    sweep()
    assert len(django_rq.get_queue("default")) == 1
    drain()
    news.refresh_from_db()
    assert news.name == "News of today"


def test_reading_notes_how_many_members_there_should_be_and_are_known(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7)
    news = make_list(list_id=7)
    services.add_to_list(news, [ada])
    member_of(news, email="")
    make_membership(customer_list=news, state="EXCLUDED", due_at=None)
    make_membership(customer_list=news, state="SYNCED", due_at=None, is_member=False, synced_is_member=False)
    make_membership(customer_list=news, customer=make_customer(**WITHDRAWN))
    also_here = make_customer(**WITHDRAWN)
    make_membership(customer_list=news, customer=also_here, state="EXCLUDED", due_at=None)
    drain()
    services.read_list(news)
    drain()
    news.refresh_from_db()
    assert (news.user_count, news.wanted_count, news.known_count) == (1, 2, 1)


#: A customer who isn't sent.
WITHDRAWN: dict[str, Any] = {"state": "EXCLUDED", "error_code": "excluded", "due_at": None}


def test_trouble_while_reading_is_tried_again_with_more_and_more_patience(unthrottled: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "BACKOFF_SECONDS": (1000, 3600)}
    unthrottled.fail("status", status=503, endpoint="LIST_READ", next=1)
    news = make_list(list_id=7, identifier_key="")
    make_customer()
    drain()  # another call goes well, so that this is no outage
    news.refresh_from_db()
    assert (news.attempts, news.error_code) == (1, "http_503")
    assert news.read_due_at is not None
    assert news.read_due_at > timezone.now()


# Sending everything again


def test_a_list_is_sent_again_as_a_whole(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7)
    news = make_list(list_id=7)
    services.add_to_list(news, [ada])
    drain()
    unthrottled.create_list(7)
    make_membership(customer_list=news, state="EXCLUDED", due_at=None)
    gone = member_of(news, email="gone@example.com")
    ListMembership.objects.filter(pk=gone.pk).update(is_member=False, state="SYNCED", due_at=None)
    make_membership(customer_list=make_list(), state="SYNCED", due_at=None)
    run = services.send_list(news)
    assert (run.kind, run.total) == ("LISTS", 2)
    drain()
    run.refresh_from_db()
    assert (run.state, run.accepted) == ("SUCCEEDED", 2)
    assert set(run.calls.values_list("endpoint", flat=True)) == {"LIST_ADD", "LIST_REMOVE"}


# A number that was mistyped


def test_a_mistyped_number_is_mended_and_everybody_goes_to_the_right_list(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(35869, name="News", source="customer_id")
    mistyped = services.take_on_list(35870, identifier_key="customer_id")
    services.add_to_list(mistyped, [ada])
    drain()
    mistyped.refresh_from_db()
    assert mistyped.has_stopped
    run = services.renumber_list(mistyped, 35869)
    assert (run.total, mistyped.status, mistyped.has_stopped) == (1, "ACTIVE", False)
    drain()
    mistyped.refresh_from_db()
    assert (mistyped.name, mistyped.is_ready, unthrottled.members(35869)) == ("News", True, ["ada"])


def test_of_a_list_that_was_deleted_after_years_everything_counts_as_unsent(unthrottled: Any) -> None:
    """Also who was taken off the old one, and who is excluded: nobody knows of the new one whether they are on it."""
    unthrottled.create_list(7, source="email")
    unthrottled.create_list(8, source="customer_id", name="The new one")
    in_step_in(unthrottled, "a@example.com", "b@example.com", "c@example.com")
    Customer.objects.update(customer_id=None)
    for number, customer in enumerate(Customer.objects.all()):
        customer.customer_id = f"c{number}"
        services.save_edited(customer)
    old, (a, b, c) = services.take_on_list(7), Customer.objects.order_by("pk")
    services.add_to_list(old, [a, b, c])
    drain()
    services.remove_from_list(old, [b])
    drain()
    services.exclude(services.Selection(ListMembership, Q(customer=c.pk)))
    unthrottled.create_list(7, status="deleted")
    services.read_list(old)
    drain()
    old.refresh_from_db()
    assert (old.status, old.identifier_key) == ("DELETED", "email")
    run = services.renumber_list(old, 8)
    drain()
    old.refresh_from_db()
    assert (old.identifier_key, old.name, old.known_count) == ("customer_id", "The new one", 0)
    assert unthrottled.members(8) == ["c0"]
    assert run.total == 2
    calls = ApiCall.objects.filter(customer_list=old, url__contains="/8")
    assert {call.endpoint for call in calls} == {"LIST_READ", "LIST_ADD", "LIST_REMOVE"}
    row = old.memberships.get(customer=c)
    assert (row.state, row.synced_is_member, row.synced_identifier, row.synced_version) == ("EXCLUDED", None, "", 0)


def test_a_list_with_members_in_blueshift_keeps_its_number(unthrottled: Any, ada: Any) -> None:
    unthrottled.create_list(7)
    news = services.take_on_list(7)
    services.add_to_list(news, [ada])
    assert services.may_be_renumbered(news)
    drain()
    news.refresh_from_db()
    assert not services.may_be_renumbered(news)
    with pytest.raises(BlueshiftSyncError, match="Take on the list 8, and add the members to it"):
        services.renumber_list(news, 8)
    news.refresh_from_db()
    assert news.list_id == 7


@pytest.mark.parametrize(("number", "sentence"), [(8, "is there already"), (0, "can't be the number of a list")])
def test_what_cannot_be_the_right_number_is_refused(number: int, sentence: str) -> None:
    services.take_on_list(8)
    mistyped = services.take_on_list(7)
    with pytest.raises(BlueshiftSyncError, match=sentence):
        services.renumber_list(mistyped, number)
    assert set(CustomerList.objects.values_list("list_id", flat=True)) == {7, 8}
    assert not SyncRun.objects.exists()


def test_an_answer_about_the_old_number_says_nothing_of_the_new_one(
    unthrottled: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unthrottled.create_list(8, name="The right one")
    mistyped = services.take_on_list(7)
    services.add_to_list(mistyped, [ada])
    settles, mended = lists.settle_list, []

    def mended_meanwhile(finished: Any) -> None:
        if not mended:
            mended.append(services.renumber_list(mistyped, 8))
        settles(finished)

    monkeypatch.setattr("blueshift_sync.delivery.settle.settle_list", mended_meanwhile)
    drain()
    mistyped.refresh_from_db()
    assert (mistyped.name, mistyped.status, unthrottled.members(8)) == ("The right one", "ACTIVE", ["ada@example.com"])
