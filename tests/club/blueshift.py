"""What Blueshift should know about the club."""

from __future__ import annotations

from typing import Any

from blueshift_sync.sources import CustomerSource, MembershipSource, register

from .models import Member, Order, OrderLine, Plan, Seat, Signup, Stamp, Tag, Team, Trainer, Visitor


class MemberSource(CustomerSource):
    customer_id = "number"
    email = "email"
    firstname = "name"
    attributes = {
        "sponsor": "sponsor__name",
        "tags": lambda member: sorted(tag.name for tag in member.tags.all()),
        "teams": lambda member: sorted(team.name for team in member.teams.all()),
        "plans": lambda member: sorted(each.plan.code for each in member.subscriptions.all()),
        "orders": "orders__count",
        "spent": "get_spent",
    }
    watch = {
        Order: "member",
        OrderLine: "order__member",
        Tag: "members",
        Team: "members",
        Plan: "subscriptions__member",
        Member: "sponsored",
    }

    def get_customer_id(self, member: Member) -> str | None:
        return member.number or None

    def get_spent(self, member: Member) -> Any:
        return sum(line.amount for order in member.orders.all() for line in order.lines.all())

    def include(self, member: Member) -> bool:
        return member.is_active


register(Member)(MemberSource)


@register(Trainer)
class TrainerSource(MemberSource):
    """A trainer is a customer of another kind, and no member any more."""

    attributes = {**MemberSource.attributes, "subject": "subject"}


@register(Signup)
class LetterSource(MembershipSource):
    customer = "member"
    list_id = "letter__list_number"
    watch = {"club.Letter": "signup_set"}

    def include(self, signup: Signup) -> bool:
        return signup.confirmed


@register(Seat)
class SeatSource(CustomerSource):
    email = "holder"
    attributes = {"seat": lambda seat: f"{seat.hall} {seat.number}"}


@register(Visitor)
class VisitorSource(CustomerSource):
    email = "email"
    attributes = {"stamps": lambda visitor: visitor.stamps.count()}
    watch = {Stamp: "visitor"}
