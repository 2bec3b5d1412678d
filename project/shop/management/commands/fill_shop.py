"""`manage.py fill_shop`: a shop full of customers, orders and newsletter sign-ups."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...filling import fill_shop
from ...models import Customer


class Command(BaseCommand):
    help = "Fills the empty shop with customers, orders and newsletter sign-ups; the same for the same seed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--customers", type=int, default=2000, help="How many (default: %(default)s).")
        parser.add_argument("--seed", type=int, default=1, help="Another one makes other people.")

    def handle(self, *_arguments: Any, customers: int, seed: int, **_options: Any) -> None:
        if customers < 1:
            raise CommandError("--customers must be 1 or more.")
        if Customer.objects.exists():
            raise CommandError("There are customers in the shop already; fill_shop is for an empty one.")
        fill_shop(customers, seed)
        self.stdout.write(f"The shop has {customers} customers now.")
