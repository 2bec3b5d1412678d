"""Watches over every kind of relation: what is saved, deleted, linked and moved re-reads whom it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, post_save
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.models import Customer, ListMembership
from tests.sources.helpers import heard_first, rolled_back

from .models import Letter, Member, Order, OrderLine, Plan, Position, Signup, Subscription, Tag, Team

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Member:
    return Member.objects.create(email="ada@example.com", name="Ada")


@pytest.fixture
def bob() -> Member:
    return Member.objects.create(email="bob@example.com", name="Bob")


def told(member: Member, name: str) -> Any:
    return Customer.objects.get(source_type="club.member", source_id=str(member.pk)).attributes[name]


def spent(*members: Member) -> list[float]:
    return [told(member, "spent") for member in members]


def order_of(member: Member, amount: int = 1) -> Order:
    order = Order.objects.create(member=member)
    OrderLine.objects.create(order=order, amount=amount)
    return order


class TestMoves:
    def test_both_owners_are_read_again(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        order.member = bob
        order.save()
        assert spent(ada, bob) == [0, 1]
        order.member = None
        order.save()
        assert spent(ada, bob) == [0, 0]

    @pytest.mark.parametrize("name", ["member", "member_id"])
    def test_with_update_fields(self, ada: Member, bob: Member, name: str) -> None:
        order = order_of(ada)
        order.member = bob
        order.save(update_fields=[name])
        assert spent(ada, bob) == [0, 1]

    def test_a_move_that_is_in_memory_only_re_reads_who_really_has_it(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        with services.disabled():
            OrderLine.objects.update(amount=7)
        order.member = bob
        order.save(update_fields=["note"])
        assert spent(ada, bob) == [7, 0]

    def test_a_stale_object_takes_it_from_who_really_has_it(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        stale = Order.objects.get()
        order.member = bob
        order.save()
        stale.save()
        assert spent(ada, bob) == [1, 0]

    def test_by_an_object_made_with_a_known_key(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        Order(pk=str(order.pk), member_id=str(bob.pk)).save()
        assert spent(ada, bob) == [0, 1]

    def test_by_an_expression(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        with services.disabled():
            OrderLine.objects.update(amount=7)
        order.member_id = F("member_id")
        order.save()
        assert spent(ada) == [7]

    def test_with_a_deferred_owner(self, ada: Member) -> None:
        order_of(ada)
        with services.disabled():
            OrderLine.objects.update(amount=7)
        Order.objects.only("note").get().save()
        assert spent(ada) == [7]

    def test_a_save_inside_a_save(self, ada: Member, bob: Member) -> None:
        def save_again(instance: Order, **kwargs: Any) -> None:
            if not instance.note:
                instance.note = "again"
                instance.save()

        order = order_of(ada)
        order.member = bob
        with heard_first(post_save, Order, save_again):
            order.save()
        assert spent(ada, bob) == [0, 1]

    def test_a_link_on_the_way_moves(self, ada: Member, bob: Member) -> None:
        line = OrderLine.objects.create(order=Order.objects.create(member=ada))
        order = Order.objects.create(member=bob)
        line.order = order
        line.save()
        assert spent(ada, bob) == [0, 1]

    def test_a_rolled_back_move_leaves_no_trace(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        with transaction.atomic(), rolled_back():
            order.member = bob
            order.save()
        assert spent(ada, bob) == [1, 0]
        order.save()
        assert spent(ada, bob) == [0, 1]

    def test_a_failed_save_does_no_harm(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        order.member_id = "no key"
        with pytest.raises(ValidationError), transaction.atomic():
            order.save()
        order.member = bob
        order.save()
        assert spent(ada, bob) == [0, 1]


class TestDeletions:
    def test_who_really_has_it_is_read_again(self, ada: Member, bob: Member) -> None:
        order = order_of(ada)
        order.member = bob
        order.delete()
        assert spent(ada, bob) == [0, 0]

    def test_of_many_at_once(self, ada: Member, bob: Member) -> None:
        for member in (ada, ada, bob):
            order_of(member)
        Order.objects.all().delete()
        assert spent(ada, bob) == [0, 0]

    def test_of_an_object_that_was_never_loaded(self, ada: Member) -> None:
        Order(pk=order_of(ada).pk).delete()
        assert spent(ada) == [0]

    def test_of_what_has_many_owners(self, ada: Member, bob: Member) -> None:
        tag, plan = Tag.objects.create(name="tea"), Plan.objects.create(code="gold")
        tag.members.set([ada, bob])
        for member in (ada, bob):
            Subscription.objects.create(member=member, plan=plan)
        assert [told(member, "plans") for member in (ada, bob)] == [["gold"], ["gold"]]
        tag.delete()
        plan.delete()
        assert [(told(member, "tags"), told(member, "plans")) for member in (ada, bob)] == [([], []), ([], [])]

    def test_of_whom_others_refer_to(self, ada: Member, bob: Member) -> None:
        bob.sponsor = ada
        bob.save()
        assert told(bob, "sponsor") == "Ada"
        ada.delete()
        assert "sponsor" not in Customer.objects.get(source_id=str(bob.pk)).attributes

    def test_a_rolled_back_one_leaves_no_trace(self, ada: Member) -> None:
        order = order_of(ada)
        with rolled_back():
            Order.objects.get().delete()
        assert spent(ada) == [1]
        order.delete()
        assert spent(ada) == [0]


class TestLinksInBetween:
    def test_a_saved_object_re_reads_all_to_whom_it_belongs(self, ada: Member, bob: Member) -> None:
        plan = Plan.objects.create(code="gold")
        for member in (ada, bob):
            Subscription.objects.create(member=member, plan=plan)
        plan.code = "silver"
        plan.save()
        assert told(ada, "plans") == told(bob, "plans") == ["silver"]
        ada.name = "Augusta"
        bob.sponsor = ada
        bob.save()
        ada.save()
        assert told(bob, "sponsor") == "Augusta"

    def test_the_rows_in_between_are_made_moved_and_deleted(self, ada: Member, bob: Member) -> None:
        gold, silver = (Plan.objects.create(code=code) for code in ("gold", "silver"))
        subscription = Subscription.objects.create(member=ada, plan=gold)
        assert (told(ada, "plans"), told(bob, "plans")) == (["gold"], [])
        subscription.plan = silver
        subscription.save()
        assert told(ada, "plans") == ["silver"]
        subscription.member = bob
        subscription.save()
        assert (told(ada, "plans"), told(bob, "plans")) == ([], ["silver"])
        subscription.delete()
        assert told(bob, "plans") == []


class TestManyToMany:
    @pytest.fixture
    def tags(self) -> list[Tag]:
        return [Tag.objects.create(name=name) for name in ("coffee", "tea")]

    def test_from_the_customers_side(self, ada: Member, tags: list[Tag]) -> None:
        coffee, tea = tags
        steps: list[tuple[Callable[[], None], list[str]]] = [
            (lambda: ada.tags.add(tea), ["tea"]),
            (lambda: ada.tags.add(tea, coffee), ["coffee", "tea"]),
            (lambda: ada.tags.remove(tea), ["coffee"]),
            (lambda: ada.tags.set([tea]), ["tea"]),
            (lambda: ada.tags.set([coffee], clear=True), ["coffee"]),
            (ada.tags.clear, []),
        ]
        for change, expected in steps:
            change()
            assert told(ada, "tags") == expected
        ada.tags.create(name="milk")
        assert told(ada, "tags") == ["milk"]

    def test_from_the_other_side(self, ada: Member, bob: Member, tags: list[Tag]) -> None:
        _, tea = tags
        steps: list[tuple[Callable[[], None], tuple[list[str], list[str]]]] = [
            (lambda: tea.members.add(ada, bob.pk), (["tea"], ["tea"])),
            (lambda: tea.members.remove(ada), ([], ["tea"])),
            (lambda: tea.members.set([ada]), (["tea"], [])),
            (tea.members.clear, ([], [])),
        ]
        for change, expected in steps:
            change()
            assert (told(ada, "tags"), told(bob, "tags")) == expected

    def test_rows_of_a_model_of_the_sites_own(self, ada: Member, bob: Member) -> None:
        team, other = Team.objects.create(name="Red"), Team.objects.create(name="Blue")
        team.members.add(ada)
        assert told(ada, "teams") == ["Red"]
        position = Position.objects.create(team=team, member=bob)
        assert told(bob, "teams") == ["Red"]
        position.team = other
        position.save()
        assert told(bob, "teams") == ["Blue"]
        position.member = ada
        position.save()
        assert (told(ada, "teams"), told(bob, "teams")) == (["Blue", "Red"], [])
        position.delete()
        assert told(ada, "teams") == ["Red"]
        team.members.clear()
        assert told(ada, "teams") == []

    def test_nothing_while_disabled_and_nothing_of_what_is_rolled_back(self, ada: Member, tags: list[Tag]) -> None:
        with services.disabled():
            ada.tags.add(tags[0])
        assert told(ada, "tags") == []
        with rolled_back():
            ada.tags.add(tags[1])
            assert told(ada, "tags") == ["coffee", "tea"]
        assert told(ada, "tags") == []

    def test_loaddata_is_not_captured(self, ada: Member, tags: list[Tag], tmp_path: Any) -> None:
        with services.disabled():
            ada.tags.set(tags)
            dump = serializers.serialize("json", [*tags, ada])
            ada.tags.clear()
        (tmp_path / "dump.json").write_text(dump)
        call_command("loaddata", tmp_path / "dump.json", verbosity=0)
        assert ada.tags.count() == 2
        assert told(ada, "tags") == []


def test_a_membership_source_watches_by_the_models_name(ada: Member) -> None:
    letter = Letter.objects.create(list_number=7)
    Signup.objects.create(member=ada, letter=letter)
    letter.list_number = 8
    letter.save()
    rows = ListMembership.objects.filter(is_member=True)
    assert [row.customer_list.list_id for row in rows] == [8]


class TestQueries:
    """A save of a watched object asks for its old owner by key, and for nothing else."""

    def reads_of(self, change: Callable[[], Any], table: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            change()
        return sum(
            query["sql"].startswith("SELECT") and f'FROM "{table}"' in query["sql"].replace("`", '"')
            for query in queries
        )

    def test_one_for_a_save_and_none_for_a_new_object(self, ada: Member) -> None:
        order = Order(member=ada)
        assert self.reads_of(order.save, "club_order") == 2  # the member's own reading
        assert self.reads_of(order.save, "club_order") == 3
        assert self.reads_of(lambda: order.save(update_fields=["note"]), "club_order") == 3

    def test_a_link_in_between_that_does_not_move_concerns_nobody(self, ada: Member) -> None:
        subscription = Subscription.objects.create(member=ada, plan=Plan.objects.create(code="gold"))
        with CaptureQueriesContext(connection) as queries:
            subscription.save()
        assert len(queries) == 2


class TestDeletionsOfMany:
    """Whose rows are deleted together is read again once, however many they are."""

    @pytest.fixture
    def captures(self) -> Callable[[Callable[[], Any]], int]:
        """Says how many statements of a call have to do with the mirror's customers."""

        def count(call: Callable[[], Any]) -> int:
            with CaptureQueriesContext(connection) as captured:
                call()
            return sum(Customer._meta.db_table in query["sql"] for query in captured)

        return count

    def test_a_customer_with_all_that_is_watched(self, captures: Callable[..., int]) -> None:
        counted = []
        for number in (2, 12):
            member = Member.objects.create(email=f"{number}@example.com")
            Position.objects.bulk_create([Position(team=Team.objects.create(), member=member) for _ in range(number)])
            counted.append(captures(member.delete))
            assert Customer.objects.get(email=member.email).state == "EXCLUDED"
        assert counted[0] == counted[1]

    def test_a_queryset(self, ada: Member, bob: Member, captures: Callable[..., int]) -> None:
        counted = []
        for number in (2, 12):
            for _ in range(number):
                order_of(ada), order_of(bob)
            assert spent(ada, bob) == [number, number]
            counted.append(captures(OrderLine.objects.all().delete))
            assert spent(ada, bob) == [0, 0]
        assert counted[0] == counted[1]

    def test_one_after_another(self, ada: Member) -> None:
        for order in [order_of(ada), order_of(ada)]:
            order.delete()
        assert spent(ada) == [0]

    def test_a_deletion_that_failed_and_is_tried_again(self, ada: Member, bob: Member) -> None:
        def refuse(**kwargs: Any) -> None:
            raise ValidationError("not now")

        plan = Plan.objects.create(code="gold")
        for member in (ada, bob):
            Subscription.objects.create(member=member, plan=plan)
        with heard_first(post_delete, Subscription, refuse), pytest.raises(ValidationError), transaction.atomic():
            plan.delete()
        assert [told(member, "plans") for member in (ada, bob)] == [["gold"], ["gold"]]
        plan.delete()
        assert [told(member, "plans") for member in (ada, bob)] == [[], []]

    def test_a_deletion_that_says_nothing_of_its_origin(self, ada: Member) -> None:
        collector = Collector(using="default")
        collector.collect([order_of(ada), order_of(ada)])
        collector.delete()
        assert spent(ada) == [0]
