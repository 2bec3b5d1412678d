"""`manage.py compare_with_simulator`: does the simulated Blueshift hold exactly what the shop says?"""

from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from project.demo.comparison import differences, read_account


class Command(BaseCommand):
    help = "Compares the simulated Blueshift with the shop, field by field; exit status 1 on any difference."

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        address = settings.BLUESHIFT_SYNC.get("BASE_URL")
        if address is None:
            raise CommandError("This site talks to the real Blueshift, whose account can't be read as a whole.")
        try:
            account = read_account(address)
        except requests.RequestException:
            raise CommandError(f"No simulator answers at {address}. `make demo` starts one.") from None
        found = list(differences(account))
        for sentence in found:
            self.stdout.write(sentence)
        if found:
            raise CommandError(f"{len(found)} differences between the shop and Blueshift.")
        self.stdout.write(f"Exact: {len(account.customers)} customers, {len(account.lists)} lists.")
