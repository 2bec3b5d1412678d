"""Fills an empty shop: plans, newsletters, and customers with all that belongs to them."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import NamedTuple

from django.db import transaction

from blueshift_sync import services

from .models import Customer, Newsletter, NewsletterSignup, Order, Plan, Subscription
from .people import make_customer

SAVED_ONE_BY_ONE = 100
CUSTOMERS_PER_TRANSACTION = 250

PLANS = [("basic", "Basic", "4.90"), ("family", "Family", "9.90"), ("gold", "Gold", "24.50")]


class Letter(NamedTuple):
    """A newsletter: its list in Blueshift, the share of customers who sign up, and who can."""

    name: str
    list_id: int
    share: float
    needs_email: bool


LETTERS = [
    Letter("Weekly letter", 35869, 0.5, needs_email=True),
    Letter("Product news", 35870, 0.3, needs_email=False),
    Letter("Tasting panel", 35871, 0.02, needs_email=False),
    # In the demo's Blueshift the first of these was deleted, and the other one is too old to be changed.
    Letter("Summer sale", 35872, 0.1, needs_email=True),
    Letter("Founders' club", 35873, 0.05, needs_email=False),
]


def fill_shop(customers: int, seed: int = 1, on_progress: Callable[[int], object] = lambda _: None) -> None:
    """Makes that many customers, the same ones for the same seed; says to `on_progress` how many are done.

    The first ones are saved one by one, as a site's own pages do: the mirror of Blueshift follows by itself.
    The others are written in bulk, for which Django sends no signals: `services.capture` tells the mirror.
    """
    random = Random(seed)  # noqa: S311 - nothing here is a secret
    plans, newsletters = _make_plans(), _make_newsletters()
    households = [_make_household(index, random, plans, newsletters) for index in range(customers)]
    for index, household in enumerate(households[:SAVED_ONE_BY_ONE], start=1):
        household.save()
        on_progress(index)
    for start in range(SAVED_ONE_BY_ONE, customers, CUSTOMERS_PER_TRANSACTION):
        batch = households[start : start + CUSTOMERS_PER_TRANSACTION]
        _save_in_bulk(batch)
        on_progress(start + len(batch))


@dataclass
class Household:
    """A customer and what belongs to it, not saved yet."""

    customer: Customer
    subscriptions: list[Subscription]
    orders: list[Order]
    signups: list[NewsletterSignup]

    @transaction.atomic
    def save(self) -> None:
        for row in (self.customer, *self.subscriptions, *self.orders, *self.signups):
            row.save()


@transaction.atomic
def _save_in_bulk(households: list[Household]) -> None:
    customers = Customer.objects.bulk_create(household.customer for household in households)
    Subscription.objects.bulk_create(row for household in households for row in household.subscriptions)
    Order.objects.bulk_create(row for household in households for row in household.orders)
    signups = NewsletterSignup.objects.bulk_create(row for household in households for row in household.signups)
    services.capture(customers)
    services.capture(signups)


def _make_household(index: int, random: Random, plans: list[Plan], newsletters: dict[Letter, Newsletter]) -> Household:
    customer = make_customer(index, random)

    def moment() -> datetime.datetime:
        return customer.created_at + datetime.timedelta(minutes=random.randrange(60 * 24 * 365))

    return Household(
        customer,
        subscriptions=[
            Subscription(customer=customer, plan=random.choice(plans), started_on=moment().date())
            for _ in range(random.random() < 0.6)
        ],
        orders=[
            Order(customer=customer, total=Decimal(random.randrange(500, 60000)) / 100, placed_at=moment())
            for _ in range(max(0, random.randrange(-2, 6)))
        ],
        signups=[
            NewsletterSignup(
                customer=customer,
                newsletter=newsletter,
                confirmed=random.random() < 0.85,
                created_at=moment(),
            )
            for letter, newsletter in newsletters.items()
            if random.random() < letter.share and (customer.email or not letter.needs_email)
        ],
    )


def _make_plans() -> list[Plan]:
    return [
        Plan.objects.get_or_create(code=code, defaults={"name": name, "price": Decimal(price)})[0]
        for code, name, price in PLANS
    ]


def _make_newsletters() -> dict[Letter, Newsletter]:
    return {
        letter: Newsletter.objects.get_or_create(blueshift_list_id=letter.list_id, defaults={"name": letter.name})[0]
        for letter in LETTERS
    }
