"""Whatever the club does in whatever order: after each step the mirror says what a fresh look at the club says.

Bulk operations aren't noticed, by contract; so each is followed by the capture that the contract asks for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import Any

import pytest
from django.core import serializers
from django.db import connections, transaction
from django.db.models.signals import post_delete
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from blueshift_sync import services
from blueshift_sync.models import Customer, CustomerList, ListMembership
from tests.sources.helpers import heard_first

from .models import (
    ActiveMember,
    Letter,
    Member,
    Order,
    OrderLine,
    Plan,
    Position,
    Seat,
    Signup,
    Stamp,
    Subscription,
    Tag,
    Team,
    Trainer,
    Visitor,
)

NUMBERS = ["", "1", "2"]
NAMES = ["", "Ada", "Grace"]
LINK_ACTIONS = ["add", "remove", "set", "clear"]
WHICH = st.integers(0, 3)
SITE_MODELS = [Stamp, Visitor, Seat, Signup, Letter, Position, Team, OrderLine, Order, Subscription, Plan, Tag, Member]


class RolledBack(Exception):  # noqa: N818
    """Undoes a transaction of the site."""


class ClubMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.born = 0
        #: Open transactions of the site, each inside the one before, and how each is to end.
        self.open: list[tuple[transaction.Atomic, Any]] = []
        self.empty()
        for name in ("gold", "silver"):
            Plan.objects.create(code=name)
            Tag.objects.create(name=name)
            Team.objects.create(name=name)
            Letter.objects.create(list_number=1 if name == "gold" else 2)
        for kind in (Member, Trainer):
            self.join("Ada", "1", kind)
        for member in Member.objects.all():
            OrderLine.objects.create(order=Order.objects.create(member=member))
            member.tags.set(Tag.objects.all())
            member.teams.set(Team.objects.all())
            for _ in range(2):
                Signup.objects.create(member=member, letter=Letter.objects.earliest("pk"))

    def teardown(self) -> None:
        while self.open:
            self.leave(keeps=True)
        self.the_mirror_is_exact()
        self.empty()

    def empty(self) -> None:
        with services.disabled():
            for model in (ListMembership, CustomerList, Customer):
                model.objects.all()._raw_delete("default")
            Trainer.objects.all().delete()
            for model in SITE_MODELS:
                model.objects.all().delete()  # type: ignore[attr-defined]
            for model in (Member, Tag):
                model.objects.using("elsewhere").all().delete()  # type: ignore[attr-defined]

    def pick(self, model: Any, which: int) -> Any:
        """One of the objects, if there is any."""
        objects = list(model.objects.order_by("pk"))
        return objects[which % len(objects)] if objects else None

    # Transactions

    @rule()
    @precondition(lambda self: len(self.open) < 3)
    def enter(self) -> None:
        block = transaction.atomic()
        block.__enter__()
        self.open.append((block, None))

    @rule(keeps=st.booleans())
    @precondition(lambda self: self.open)
    def leave(self, keeps: bool) -> None:
        block, _ = self.open.pop()
        block.__exit__(*((None, None, None) if keeps else (RolledBack, RolledBack(), None)))

    # Members

    @rule(name=st.sampled_from(NAMES), number=st.sampled_from(NUMBERS), kind=st.sampled_from([Member, Trainer]))
    def join_club(self, name: str, number: str, kind: Any) -> None:
        self.join(name, number, kind)

    def identity(self) -> dict[str, Any]:
        """A key and an address that nobody had before; the same ones when a run is repeated."""
        self.born += 1
        return {"id": uuid.UUID(int=self.born), "email": f"{self.born}@example.com"}

    def join(self, name: str, number: str, kind: Any) -> None:
        kind.objects.create(**self.identity(), name=name, number=number)

    @rule(
        which=WHICH,
        values=st.tuples(st.sampled_from(NAMES), st.sampled_from(NUMBERS), st.booleans()),
        model=st.sampled_from([Member, ActiveMember, Trainer]),
        fields=st.sampled_from([None, ["name"], ["number", "is_active"]]),
    )
    def change(self, which: int, values: tuple[str, str, bool], model: Any, fields: Any) -> None:
        member = self.pick(model, which)
        if member is not None:
            member.name, member.number, member.is_active = values
            member.save(update_fields=fields)

    @rule(which=WHICH, model=st.sampled_from([Member, ActiveMember, Trainer]))
    def resign(self, which: int, model: Any) -> None:
        member = self.pick(model, which)
        if member is not None:
            member.delete()

    @rule(which=WHICH)
    def promote(self, which: int) -> None:
        member = self.pick(Member, which)
        if member is not None and not Trainer.objects.filter(pk=member.pk).exists():
            trainer = Trainer(member_ptr=member, subject="chess")
            trainer.__dict__.update({key: value for key, value in member.__dict__.items() if key != "_state"})
            trainer._state.adding = False  # the parent's row is there
            trainer.save()

    @rule(which=WHICH)
    def demote(self, which: int) -> None:
        trainer = self.pick(Trainer, which)
        if trainer is not None:
            trainer.delete(keep_parents=True)

    @rule(which=WHICH, model=st.sampled_from([Member, Trainer, Order, Tag, Signup]), tries_again=st.booleans())
    def delete_in_vain(self, which: int, model: Any, tries_again: bool) -> None:
        row = self.pick(model, which)
        if row is not None:
            with heard_first(post_delete, model, refuse), suppress(RolledBack), transaction.atomic():
                row.delete()
            if tries_again:
                row.delete()

    @rule(which=WHICH, name=st.sampled_from(NAMES), number=st.sampled_from(NUMBERS))
    def load_fixture(self, which: int, name: str, number: str) -> None:
        member = self.pick(Member, which)
        if member is not None:
            member.name, member.number = name, number
            for loaded in serializers.deserialize("json", serializers.serialize("json", [member])):
                loaded.save()
            services.capture(Member.objects.all())

    @rule(which=WHICH, model=st.sampled_from([Member, Tag]), captures=st.booleans(), stays=st.booleans())
    def archive(self, which: int, model: Any, captures: bool, stays: bool) -> None:
        """A copy in another database, which is none of the mirror's."""
        row = self.pick(model, which)
        if row is None:
            return
        row.name = "archived"
        if model is Member:
            row.sponsor = None
        row.save(using="elsewhere")
        if captures:
            services.capture(model.objects.using("elsewhere").all())
        if not stays:
            model.objects.using("elsewhere").all().delete()

    @rule(which=WHICH, whom=WHICH)
    def swap_numbers(self, which: int, whom: int) -> None:
        one, other = self.pick(Member, which), self.pick(Member, whom)
        if one is not None:
            Member.objects.filter(pk=one.pk).update(number=other.number)
            Member.objects.filter(pk=other.pk).update(number=one.number)
            services.capture([one, other])

    @rule(which=WHICH, whom=WHICH)
    def sponsor(self, which: int, whom: int) -> None:
        member = self.pick(Member, which)
        if member is not None:
            member.sponsor = self.pick(Member, whom)
            member.save()

    @rule(name=st.sampled_from(NAMES))
    def rename_all(self, name: str) -> None:
        Member.objects.update(name=name)
        services.capture(Member.objects.all())

    @rule(count=st.integers(1, 3), number=st.sampled_from(NUMBERS))
    def import_members(self, count: int, number: str) -> None:
        members = [Member(**self.identity(), number=number) for _ in range(count)]
        services.capture(Member.objects.bulk_create(members))

    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def change_unnoticed(self, which: int, name: str) -> None:
        with services.disabled():
            member = self.pick(Member, which)
            if member is not None:
                member.name = name
                member.save()
                member.tags.clear()
                member.orders.all().delete()
        services.capture(Member.objects.all())

    # What hangs off them

    @rule(which=WHICH, amount=st.integers(0, 2))
    def order(self, which: int, amount: int) -> None:
        OrderLine.objects.create(order=Order.objects.create(member=self.pick(Member, which)), amount=amount)

    @rule(which=WHICH, whom=WHICH, fields=st.sampled_from([None, ["member"], ["note"]]))
    def move_order(self, which: int, whom: int, fields: Any) -> None:
        order = self.pick(Order, which)
        if order is not None:
            order.member = self.pick(Member, whom)
            order.save(update_fields=fields)

    @rule(which=WHICH, where=WHICH, amount=st.integers(0, 2))
    def move_line(self, which: int, where: int, amount: int) -> None:
        line = self.pick(OrderLine, which)
        if line is not None:
            line.order, line.amount = self.pick(Order, where), amount
            line.save()

    @rule(which=WHICH, whom=WHICH, model=st.sampled_from([Order, OrderLine]))
    def delete_order(self, which: int, whom: int, model: Any) -> None:
        row = self.pick(model, which)
        if row is not None:
            if model is Order:
                row.member = self.pick(Member, whom)  # in memory only
            row.delete()

    @rule()
    def delete_orders(self) -> None:
        Order.objects.all().delete()

    @rule(which=WHICH, plan=WHICH)
    def subscribe(self, which: int, plan: int) -> None:
        member = self.pick(Member, which)
        if member is not None:
            Subscription.objects.create(member=member, plan=self.pick(Plan, plan))

    @rule(which=WHICH, whom=WHICH, plan=WHICH)
    def change_subscription(self, which: int, whom: int, plan: int) -> None:
        subscription = self.pick(Subscription, which)
        if subscription is not None:
            subscription.member, subscription.plan = self.pick(Member, whom), self.pick(Plan, plan)
            subscription.save()

    @rule(model=st.sampled_from([Plan, Tag, Team]), which=WHICH, name=st.sampled_from(["gold", "tin"]))
    def rename(self, model: Any, which: int, name: str) -> None:
        row = self.pick(model, which)
        if row is not None:
            setattr(row, "code" if model is Plan else "name", name)
            row.save()

    @rule(model=st.sampled_from([Subscription, Tag, Team, Position, Signup]), which=WHICH)
    def delete(self, model: Any, which: int) -> None:
        row = self.pick(model, which)
        if row is not None:
            row.delete()

    @rule(which=WHICH, whom=WHICH, action=st.sampled_from(LINK_ACTIONS), from_member=st.booleans())
    def tag(self, which: int, whom: int, action: str, from_member: bool) -> None:
        tag, member = self.pick(Tag, which), self.pick(Member, whom)
        if tag is not None and member is not None:
            link(*((member.tags, tag) if from_member else (tag.members, member)), action)

    @rule(which=WHICH, whom=WHICH, action=st.sampled_from(LINK_ACTIONS), from_member=st.booleans())
    def team_up(self, which: int, whom: int, action: str, from_member: bool) -> None:
        team, member = self.pick(Team, which), self.pick(Member, whom)
        if team is not None and member is not None:
            link(*((member.teams, team) if from_member else (team.members, member)), action)

    @rule(which=WHICH, whom=WHICH, position=st.none() | WHICH)
    def place(self, which: int, whom: int, position: int | None) -> None:
        team, member = self.pick(Team, which), self.pick(Member, whom)
        row = Position() if position is None else self.pick(Position, position)
        if team is not None and member is not None and row is not None:
            row.team, row.member = team, member
            row.save()

    # Lists

    @rule(which=WHICH, letter=WHICH, confirmed=st.booleans(), again=st.none() | WHICH)
    def sign_up(self, which: int, letter: int, confirmed: bool, again: int | None) -> None:
        member = self.pick(Member, which)
        signup = Signup() if again is None else self.pick(Signup, again)
        if member is not None and signup is not None:
            signup.member, signup.letter, signup.confirmed = member, self.pick(Letter, letter), confirmed
            signup.save()

    @rule(which=WHICH, number=st.integers(1, 3))
    def renumber_letter(self, which: int, number: int) -> None:
        letter = self.pick(Letter, which)
        letter.list_number = number
        letter.save()

    @rule(confirmed=st.booleans())
    def confirm_all(self, confirmed: bool) -> None:
        Signup.objects.update(confirmed=confirmed)
        services.capture(Signup.objects.all())

    # Keys of two columns, and the other database

    @rule(hall=st.sampled_from(["A", "B"]), number=st.integers(1, 2), holder=st.sampled_from(["", "a@b.co", "c@b.co"]))
    def take_seat(self, hall: str, number: int, holder: str) -> None:
        Seat(hall=hall, number=number, holder=holder).save()

    @rule(which=WHICH)
    def free_seat(self, which: int) -> None:
        seat = self.pick(Seat, which)
        if seat is not None:
            seat.delete()

    @rule(badge=st.sampled_from(["a", "A", "é"]), stamps=st.integers(0, 2), keeps=st.booleans())
    @precondition(lambda self: not self.open)
    def visit(self, badge: str, stamps: int, keeps: bool) -> None:
        with ExitStack() as stack:
            stack.enter_context(transaction.atomic(using="elsewhere"))
            visitor = Visitor(badge=badge, email=f"{stamps}@example.com")
            visitor.save()
            for _ in range(stamps):
                Stamp.objects.create(visitor=visitor)
            if not keeps:
                transaction.set_rollback(True, using="elsewhere")

    @rule(which=WHICH, whom=WHICH)
    @precondition(lambda self: not self.open)
    def move_stamp(self, which: int, whom: int) -> None:
        stamp = self.pick(Stamp, which)
        if stamp is not None:
            stamp.visitor = self.pick(Visitor, whom)
            stamp.save()

    @rule(which=WHICH, model=st.sampled_from([Visitor, Stamp]))
    @precondition(lambda self: not self.open)
    def delete_visit(self, which: int, model: Any) -> None:
        row = self.pick(model, which)
        if row is not None:
            row.delete()

    # What must hold

    @invariant()
    def the_mirror_is_exact(self) -> None:
        customers = {(row.source_type, row.source_id): row for row in Customer.objects.filter(source_id__isnull=False)}
        expected = expected_customers()
        assert customers.keys() == expected.keys()
        for name, wanted in expected.items():
            row = customers[name]
            assert {key: value for key, value in row.payload.items() if key != "customer_id"} == wanted["payload"], name
            assert (row.state == "EXCLUDED") == wanted["excluded"]
        self.customer_ids_are_shared_out(customers, expected)
        self.lists_are_exact(customers)

    def customer_ids_are_shared_out(self, customers: Any, expected: Any) -> None:
        """Each number belongs to one of those who should have it; the others are FAILED, and no one else has any."""
        wanting: dict[str, list[Customer]] = {}
        for name, wanted in expected.items():
            row = customers[name]
            if wanted["excluded"]:
                continue
            if wanted["number"]:
                wanting.setdefault(wanted["number"], []).append(row)
            else:
                assert row.customer_id is None
                assert row.state == ("PENDING" if wanted["payload"].get("email") else "FAILED")
        for number, rows in wanting.items():
            holders = [row for row in rows if row.customer_id == number]
            assert len(holders) == 1, number
            assert holders[0].state == "PENDING"
            others = [row for row in rows if row not in holders]
            assert {(row.state, row.error_code) for row in others} <= {("FAILED", "duplicate_customer_id")}
            assert all(f"The customer ID '{number}' already belongs to " in row.error_message for row in others)

    def lists_are_exact(self, customers: Any) -> None:
        wanted = {
            (signup.letter.list_number, str(signup.member_id))
            for signup in Signup.objects.select_related("letter")
            if signup.confirmed
        }
        members = ListMembership.objects.filter(is_member=True).values_list("customer_list__list_id", "customer_id")
        by_pk = {row.pk: source_id for (_, source_id), row in customers.items()}
        assert {(number, by_pk[pk]) for number, pk in members} == wanted


def expected_customers() -> dict[tuple[str, str], dict[str, Any]]:
    """What the mirror should say, by a reading of its own that shares no code with the sources."""
    expected: dict[tuple[str, str], dict[str, Any]] = {}
    trainers = {trainer.pk: trainer for trainer in Trainer.objects.all()}
    attributes = attributes_by_member()
    for member in Member.objects.all():
        payload: dict[str, Any] = {"email": member.email, "firstname": member.name, **attributes[member.pk]}
        if member.pk in trainers:
            payload["subject"] = trainers[member.pk].subject
        kind = "club.trainer" if member.pk in trainers else "club.member"
        expected[kind, str(member.pk)] = {
            "payload": payload,
            "number": member.number,
            "excluded": not member.is_active,
        }
    for seat in Seat.objects.all():
        payload = {"seat": f"{seat.hall} {seat.number}", **({"email": seat.holder} if seat.holder else {})}
        name = ("club.seat", f'["{seat.hall}", "{seat.number}"]')
        expected[name] = {"payload": payload, "number": "", "excluded": False}
    for visitor in Visitor.objects.all():
        payload = {"email": visitor.email, "stamps": Stamp.objects.filter(visitor=visitor).count()}
        expected["club.visitor", visitor.badge] = {"payload": payload, "number": "", "excluded": False}
    return expected


def attributes_by_member() -> dict[uuid.UUID, dict[str, Any]]:
    names = dict(Member.objects.values_list("pk", "name"))
    sponsors = dict(Member.objects.exclude(sponsor=None).values_list("pk", "sponsor"))
    tags = list(Member.tags.through.objects.values_list("member", "tag__name"))
    teams = list(Position.objects.values_list("member", "team__name"))
    plans = list(Subscription.objects.values_list("member", "plan__code"))
    orders = list(Order.objects.values_list("member", "pk"))
    lines = list(OrderLine.objects.values_list("order__member", "amount"))

    def of(rows: list[tuple[Any, Any]], pk: uuid.UUID) -> list[Any]:
        return [value for member, value in rows if member == pk]

    return {
        pk: {
            **({"sponsor": names[sponsors[pk]]} if pk in sponsors else {}),
            "tags": sorted(of(tags, pk)),
            "teams": sorted(of(teams, pk)),
            "plans": sorted(of(plans, pk)),
            "orders": len(of(orders, pk)),
            "spent": float(sum(of(lines, pk), Decimal(0))),
        }
        for pk in names
    }


def refuse(**kwargs: Any) -> None:
    """A receiver of the site's own that has a deletion undone."""
    raise RolledBack


def link(manager: Any, other: Any, action: str) -> None:
    getattr(manager, action)(*{"set": [[other]], "clear": []}.get(action, [other]))


@pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])
@pytest.mark.usefixtures("visitors_elsewhere")
def test_the_mirror_is_exact_after_every_step(settings_of_site: Callable[..., None]) -> None:
    settings_of_site(ENABLED=False)
    run_state_machine_as_test(
        ClubMachine,
        settings=settings(
            # About twenty seconds on each of them: elsewhere a commit takes longer.
            max_examples=16 if connections["default"].vendor == "sqlite" else 6,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    for alias in ("default", "elsewhere"):
        assert not connections[alias].in_atomic_block
