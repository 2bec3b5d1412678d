"""A shop whose customers never rest: every kind of change, in transactions of every size."""

from __future__ import annotations

import time
from random import Random

from django.db import transaction

from blueshift_sync import services
from blueshift_sync.models import Customer as MirroredCustomer
from blueshift_sync.models import ListMembership
from project.shop.models import Customer, Newsletter, NewsletterSignup, Order


class BusyShop:
    """Customers and their signups to two newsletters, by numbers from 0."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.slowest = 0.0
        self.transactions = 0
        self.pks: list[object] = []

    def open(self, customers: int) -> None:
        letters = [
            Newsletter.objects.create(name=name, blueshift_list_id=number)
            for name, number in [("News", 7), ("Offers", 8)]
        ]
        with transaction.atomic():
            rows = Customer.objects.bulk_create(
                Customer(customer_number=f"c{number}", email=f"c{number}@example.com", given_name=f"Name {number}")
                for number in range(customers)
            )
            services.capture(rows)
            signups = NewsletterSignup.objects.bulk_create(
                NewsletterSignup(customer=row, newsletter=letter, confirmed=self.rng.random() < 0.7)
                for row in rows
                for letter in letters
                if self.rng.random() < 0.4
            )
            services.capture(signups)
        self.pks = [row.pk for row in rows]

    def trade(self, transactions: int) -> None:
        """That many transactions of one to ten changes each."""
        for _ in range(transactions):
            began = time.monotonic()
            with transaction.atomic():
                for pk in self.rng.sample(self.pks, self.rng.randint(1, 10)):
                    self._change(pk)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.transactions += 1

    def _change(self, pk: object) -> None:
        customer = Customer.objects.get(pk=pk)
        match self.rng.randrange(6):
            case 0:
                number = customer.customer_number
                customer.email = f"{number}-{self.rng.randrange(1000)}@example.com"
            case 1:
                Order.objects.create(customer=customer, total=self.rng.randrange(1, 500))
                return
            case 2:
                self._change_signups(customer)
                return
            case 3:
                customer.is_test_account = not customer.is_test_account
            case _:
                customer.given_name = f"Name {self.rng.randrange(1000)}"
        customer.save()

    def _change_signups(self, customer: Customer) -> None:
        for signup in NewsletterSignup.objects.filter(customer=customer):
            signup.confirmed = not signup.confirmed
            signup.save()

    def nobody_is_a_test_account(self) -> None:
        """At the end, so that what Blueshift holds can be compared with all of the shop."""
        for customer in Customer.objects.filter(is_test_account=True):
            customer.is_test_account = False
            customer.save()

    def push_some(self) -> None:
        """An operator sends a few again."""
        pks = list(MirroredCustomer.objects.values_list("pk", flat=True))
        services.push(MirroredCustomer.objects.filter(pk__in=self.rng.sample(pks, min(50, len(pks)))))


def push_failed() -> tuple[int, int]:
    """The operator's last action: whoever is FAILED is sent again. Returns how many customers and memberships."""
    counts = []
    for model in (MirroredCustomer, ListMembership):
        failed = model.objects.filter(state="FAILED")
        counts.append(failed.count())
        if counts[-1]:
            services.push(failed)
    return counts[0], counts[1]
