"""From the site's objects to list memberships."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from blueshift_sync import services
from blueshift_sync.models import Customer, CustomerList, ListMembership
from blueshift_sync.sources import MembershipSource
from project.shop.models import Customer as Shopper
from project.shop.models import Newsletter, NewsletterSignup
from tests.factories import make_list, make_membership
from tests.site.models import Person, Signup

from .conftest import Register
from .helpers import ada, bring_into_step, list_numbers, lists_of, mirrored, rolled_back, row_of, start_sending

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("news")
class TestOneSource:
    def test_an_included_object_puts_its_customer_on_the_list(self) -> None:
        person = ada()
        row = row_of(Signup.objects.create(person=person, news="7"))
        assert row.customer == mirrored(person)
        assert (row.is_member, row.state, row.version, row.synced_is_member) == (True, "PENDING", 1, None)

    def test_a_list_is_made_at_first_sight_and_kept_at_the_next(self) -> None:
        for _ in range(2):
            Signup.objects.create(person=ada(), news="7")
        row = CustomerList.objects.get()
        assert (row.list_id, row.identifier_key, row.status) == (7, "", "ACTIVE")
        assert row.read_due_at is not None

    def test_a_list_that_is_known_is_used(self) -> None:
        known = make_list(list_id=7, name="Weekly")
        assert row_of(Signup.objects.create(person=ada(), news="7")).customer_list == known

    def test_a_customer_that_is_not_mirrored_yet_is_captured_first(self) -> None:
        with services.disabled():
            person = ada()
        row = row_of(Signup.objects.create(person=person, news="7"))
        assert (row.customer.email, row.customer.state) == ("ada@example.com", "PENDING")

    def test_an_unconfirmed_object_keeps_its_customer_off_the_list(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7", confirmed=False)
        assert lists_of(person) == set()
        signup.confirmed = True
        signup.save()
        assert lists_of(person) == {7}
        signup.confirmed = False
        signup.save()
        assert lists_of(person) == set()
        assert row_of(signup).state == "PENDING"

    def test_an_unchanged_save_writes_nothing_and_wakes_nobody(self, writes: Callable[..., list[str]]) -> None:
        signup = Signup.objects.create(person=ada(), news="7")
        connection.run_on_commit.clear()
        assert writes(signup.save) == []
        assert connection.run_on_commit == []

    def test_changing_back_before_it_was_sent_is_in_step_again(self) -> None:
        signup = Signup.objects.create(person=ada(), news="7")
        bring_into_step(row_of(signup))
        for confirmed in (False, True):
            signup.confirmed = confirmed
            signup.save()
        assert row_of(signup).state == "SYNCED"

    def test_another_list_takes_the_customer_off_the_old_one(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7")
        old = row_of(signup)
        signup.news = "8"
        signup.save()
        assert lists_of(person) == {8}
        old.refresh_from_db()
        assert (old.is_member, old.state, old.source_id, old.version) == (False, "PENDING", None, 2)

    def test_another_customer_takes_the_old_one_off_the_list(self) -> None:
        first, second = ada(), ada()
        signup = Signup.objects.create(person=first, news="7")
        signup.person = second
        signup.save()
        assert (lists_of(first), lists_of(second)) == (set(), {7})

    def test_there_and_back_again(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7")
        for number in ("8", "7"):
            signup.news = number
            signup.save()
        assert lists_of(person) == {7}
        assert ListMembership.objects.count() == 2

    @pytest.mark.parametrize("change", [{"person": None}, {"news": ""}])
    def test_no_customer_or_no_list_takes_the_customer_off(self, change: dict[str, Any]) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7")
        Signup.objects.filter(pk=signup.pk).update(**change)
        signup.refresh_from_db()
        signup.save()
        assert lists_of(person) == set()

    def test_a_deleted_object_takes_the_customer_off(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7")
        signup.delete()
        row = ListMembership.objects.get()
        assert (row.is_member, row.state, row.source_id) == (False, "PENDING", None)

    def test_an_object_that_is_gone_takes_the_customer_off_at_the_next_capture(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7")
        Signup.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
        services.capture([signup])
        assert lists_of(person) == set()

    def test_a_deleted_customer_leaves_its_lists(self) -> None:
        person = ada()
        Signup.objects.create(person=person, news="7")
        person.delete()
        assert ListMembership.objects.get().is_member is False
        assert Customer.objects.get().state == "EXCLUDED"

    def test_a_new_object_takes_up_the_row_that_a_deleted_one_left(self) -> None:
        person = ada()
        Signup.objects.create(person=person, news="7").delete()
        signup = Signup.objects.create(person=person, news="7")
        assert row_of(signup).is_member
        assert ListMembership.objects.count() == 1

    def test_a_row_made_by_hand_is_taken_over(self) -> None:
        person = ada()
        by_hand = make_membership(customer=mirrored(person), customer_list=make_list(list_id=7))
        signup = Signup.objects.create(person=person, news="7", confirmed=False)
        assert row_of(signup).pk == by_hand.pk
        assert lists_of(person) == set()

    def test_a_change_in_a_rolled_back_savepoint_leaves_no_trace(self) -> None:
        person = ada()
        with rolled_back():
            Signup.objects.create(person=person, news="7")
        assert not ListMembership.objects.exists()
        assert not CustomerList.objects.exists()

    def test_a_change_while_it_is_sent_keeps_the_claim_and_bumps_the_version(self) -> None:
        signup = Signup.objects.create(person=ada(), news="7")
        start_sending(row_of(signup))
        signup.confirmed = False
        signup.save()
        row = row_of(signup)
        assert (row.state, row.version, row.claimed_version, row.is_member) == ("SENDING", 2, 1, False)
        assert row.claim_token is not None

    def test_a_move_while_it_is_sent_keeps_the_claim_of_the_old_row(self) -> None:
        signup = Signup.objects.create(person=ada(), news="7")
        old = row_of(signup)
        start_sending(old)
        signup.news = "8"
        signup.save()
        old.refresh_from_db()
        assert (old.state, old.version, old.is_member) == ("SENDING", 2, False)

    def test_a_customer_deleted_while_its_membership_is_sent(self) -> None:
        person = ada()
        start_sending(row_of(Signup.objects.create(person=person, news="7")))
        person.delete()
        row = ListMembership.objects.get()
        assert (row.state, row.is_member) == ("SENDING", False)
        assert row.version > 1


@pytest.mark.usefixtures("news")
class TestSeveralObjectsForOneMembership:
    """Who put the customer on the list is the one to take it off again."""

    @pytest.fixture
    def person(self) -> Person:
        return ada()

    def test_one_that_is_not_confirmed_does_not_undo_one_that_is(self, person: Person) -> None:
        first = Signup.objects.create(person=person, news="7")
        second = Signup.objects.create(person=person, news="7", confirmed=False)
        assert lists_of(person) == {7}
        second.delete()
        assert lists_of(person) == {7}
        first.delete()
        assert lists_of(person) == set()

    def test_the_last_one_takes_the_customer_off(self, person: Person) -> None:
        signups = [Signup.objects.create(person=person, news="7") for _ in range(3)]
        signups[0].delete()
        assert lists_of(person) == {7}
        signups[1].confirmed = False
        signups[1].save()
        assert lists_of(person) == {7}
        signups[2].news = "8"
        signups[2].save()
        assert lists_of(person) == {8}

    def test_one_that_is_confirmed_takes_the_row_over_from_one_that_is_not(self, person: Person) -> None:
        first = Signup.objects.create(person=person, news="7", confirmed=False)
        second = Signup.objects.create(person=person, news="7")
        assert lists_of(person) == {7}
        first.save()
        assert row_of(second).is_member

    def test_they_do_not_take_turns(self, person: Person, writes: Callable[..., list[str]]) -> None:
        signups = [Signup.objects.create(person=person, news="7", confirmed=confirmed) for confirmed in (True, False)]
        signups.append(Signup.objects.create(person=person, news="7"))
        for order in (signups, signups[::-1], signups[1:], signups[2:]):
            assert writes(lambda order=order: services.capture(order)) == []

    def test_a_row_is_handed_on_in_one_capture(self, person: Person) -> None:
        first = Signup.objects.create(person=person, news="7")
        second = Signup.objects.create(person=person, news="8")
        Signup.objects.filter(pk=first.pk).update(news="9")
        Signup.objects.filter(pk=second.pk).update(news="7")
        services.capture(Signup.objects.all())
        assert lists_of(person) == {7, 9}
        assert row_of(second).customer_list.list_id == 7


class TestSeveralSources:
    @pytest.fixture(autouse=True)
    def sources(self, registered: Register, people: None) -> None:
        @registered(Signup)
        class News(MembershipSource):
            customer = "person"
            list_id = "news"

        @registered(Signup)
        class Offers(MembershipSource):
            customer = "person"
            list_id = "offers"

            def include(self, signup: Signup) -> bool:
                return signup.confirmed

    def test_each_puts_the_customer_on_its_list(self, writes: Callable[..., list[str]]) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7", offers=8)
        assert lists_of(person) == {7, 8}
        assert writes(signup.save) == []

    def test_each_takes_the_customer_off_its_own_list_only(self) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7", offers=8)
        signup.confirmed = False
        signup.save()
        assert lists_of(person) == {7}
        signup.offers = None
        signup.news = "9"
        signup.save()
        assert lists_of(person) == {9}
        signup.delete()
        assert list_numbers(Customer.objects.get()) == set()

    def test_of_two_words_about_one_list_the_included_one_counts(self, writes: Callable[..., list[str]]) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7", offers=7, confirmed=False)
        assert lists_of(person) == {7}
        assert writes(signup.save) == []

    def test_a_mistake_of_one_leaves_the_other_alone(self, writes: Callable[..., list[str]]) -> None:
        person = ada()
        signup = Signup.objects.create(person=person, news="7", offers=8)
        signup.news = "seven"
        signup.save()
        states = dict(ListMembership.objects.values_list("customer_list__list_id", "state"))
        assert states == {7: "FAILED", 8: "PENDING"}
        assert writes(signup.save) == []


class TestWhatNamesTheList:
    @pytest.mark.parametrize("number", [7, "offers", lambda signup: signup.offers, "method"])
    def test_a_number_a_path_a_function_and_a_method(self, registered: Register, people: None, number: Any) -> None:
        @registered(Signup)
        class Source(MembershipSource):
            customer = "person"
            list_id = number

            def method(self, signup: Signup) -> int:
                return signup.offers or 0

        person = ada()
        Signup.objects.create(person=person, offers=7)
        assert lists_of(person) == {7}

    def test_get_methods(self, registered: Register, people: None) -> None:
        @registered(Signup)
        class Source(MembershipSource):
            def get_customer(self, signup: Signup) -> Person | None:
                return signup.person

            def get_list_id(self, signup: Signup) -> str:
                return "7"

        person = ada()
        Signup.objects.create(person=person)
        assert lists_of(person) == {7}

    def test_a_path_over_several_relations(self) -> None:
        shopper = Shopper.objects.create(customer_number="1")
        letter = Newsletter.objects.create(name="Weekly", blueshift_list_id=7)
        NewsletterSignup.objects.create(customer=shopper, newsletter=letter, confirmed=True)
        assert list_numbers(mirrored(shopper)) == {7}
