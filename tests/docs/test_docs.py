"""Every command and every snippet of the documentation is run, most of them in a site made by following the pages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from blueshift_sync.testing.process import Simulator
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.site import SIMULATOR_PORT, Site

pytestmark = pytest.mark.e2e

INSTALL = "docs/install.md"
TABLES = "from django.db import connection as c"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


@pytest.fixture
def bare_site(site: Site) -> Site:
    """A new site with an app, and the settings of the install page."""
    site.command("django-admin startproject mysite")
    site.command("cd mysite")
    site.command("python manage.py startapp people")
    site.follow(block for block in blocks(INSTALL) if block.name.startswith("mysite/"))
    site.environment["BLUESHIFT_API_KEY"] = "simulator-key"
    return site


def make_tables(site: Site) -> None:
    site.command("python manage.py makemigrations people")
    site.command("python manage.py migrate")
    site.command("python manage.py check --fail-level WARNING")


@pytest.mark.parametrize("path", [str(page.relative_to(ROOT)) for page in PAGES if blocks(str(page))])
def test_every_page_with_a_snippet_has_a_test_of_its_own(path: str) -> None:
    name = re.sub(r"\W", "_", path.lower().removeprefix("docs/").removesuffix(".md"))
    assert hasattr(sys.modules[__name__], f"test_page_{name}")


def test_page_readme(site: Site) -> None:
    site.command("django-admin startproject mysite")
    site.command("cd mysite")
    site.command("python manage.py startapp people")
    site.append("mysite/settings.py", 'INSTALLED_APPS += ["people"]')
    site.environment["BLUESHIFT_API_KEY"] = "simulator-key"
    site.follow(blocks("README.md"))

    site.command("python manage.py check --fail-level WARNING")
    with Simulator(port=int(site.ports[SIMULATOR_PORT])) as blueshift:
        site.script(
            "from django.contrib.auth.models import User\n"
            "User.objects.create_user('ann', 'ann@example.com', first_name='Ann')\n"
            "User.objects.create_user('bob', 'bob@example.com', is_active=False)"
        )
        site.command("python manage.py rqworker default")
        held = [(customer["email"], customer["firstname"], customer["is_staff"]) for customer in blueshift.customers]
    assert held == [("ann@example.com", "Ann", False)]
    mirror = "list(Customer.objects.order_by('email').values_list('email', 'state'))"
    states = site.value("from blueshift_sync.models import Customer", mirror)
    assert states == [["ann@example.com", "SYNCED"], ["bob@example.com", "EXCLUDED"]]


def test_page_install(site: Site) -> None:
    steps = {heading: list(step) for heading, step in groupby(blocks(INSTALL), lambda block: block.section)}
    removal = steps.pop("Removing it")
    said = {}
    for heading, step in steps.items():
        site.follow(step)
        said[heading] = site.said
    assert [(user["email"], user["firstname"]) for user in site.answer["users"]] == [("ann@example.com", "Ann")]
    assert said["8. The objects that you already have"].startswith("Read 1 objects; 0 records of the mirror")

    tables = "[name for name in c.introspection.table_names() if name.startswith('blueshift')]"
    assert site.value(TABLES, tables)
    site.follow(removal)
    assert site.value(TABLES, tables) == []


def test_page_backfill(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.", "6.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    said = []
    for block in blocks("docs/backfill.md"):
        site.follow([block])
        said.append(site.said)
    assert said == [
        "Read 1 objects; 0 records of the mirror were changed.\n",
        "people.Person (customers): 0 new, 0 changed, 0 gone\nNothing was written.\n",
        "1 read, 1 changed, 0 failed\n",
    ]


LIST_OF_USERS = """
from django.contrib.auth.models import User
from django.test import Client
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("root"))
page = client.get("/admin/auth/user/").content.decode()
assert page.index("column-username") < page.index("column-blueshift_state") < page.index("column-email")
bob = User.objects.get(username="bob")
assert "blueshift_panel" in client.get(f"/admin/auth/user/{bob.pk}/change/").content.decode()
"""


def test_page_admin(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    site.append("people/blueshift.py", USERS)
    site.follow(blocks("docs/admin.md"))
    addresses = "list(Customer.objects.filter(source_type='auth.user').values_list('email', flat=True))"
    assert site.value("from blueshift_sync.models import Customer", addresses) == ["bob@example.com"]
    site.script(LIST_OF_USERS)


USERS = """
from blueshift_sync.sources import CustomerSource, register

@register("auth.User")
class Users(CustomerSource):
    email = "email"
"""


def test_page_audit(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.", "6.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    said = []
    for block in blocks("docs/audit.md"):
        site.follow([block])
        said.append(site.said)
    assert said == [
        "0 bodies emptied.\n0 parts of files deleted.\n0 calls deleted.\n0 files deleted.\n0 runs deleted.\n",
        "0 results in 0 calls; the customer's own record: False\n",
    ]


def test_page_settings(bare_site: Site) -> None:
    bare_site.follow(blocks("docs/settings.md"))
    bare_site.command("python manage.py check --fail-level WARNING")
    settings = "settings.BLUESHIFT_SYNC['REDACT']"
    assert bare_site.value("from django.conf import settings", settings) == ["phone_number", "birth_date"]


def test_page_checks(bare_site: Site) -> None:
    bare_site.follow(blocks("docs/checks.md"))
    bare_site.command("python manage.py check --fail-level INFO")  # it has no source


def test_page_how_it_works(bare_site: Site) -> None:
    make_tables(bare_site)
    bare_site.follow(blocks("docs/how-it-works.md"))
    count = "User.objects.filter(email='ann@example.com').count()"
    assert bare_site.value("from django.contrib.auth.models import User", count) == 1


PEOPLE = """
from django.contrib.auth.models import User
from people.models import *
ann = User.objects.create_user("ann", " ann@old.example.com", first_name="Ann")
Subscription.objects.create(user=ann, plan=Plan.objects.create(code="gold"))
Order.objects.create(user=ann, total=1200)
Tag.objects.create(name="tea").users.add(ann)
NewsletterSignup.objects.create(user=ann, confirmed=True)
Interest.objects.create(user=ann, topic="tea")
Interest.objects.create(user=ann, topic="water")
User.objects.create_user("staff", "staff@example.com", is_staff=True)
Guest.objects.create(email="guest@example.com")
WalkIn.objects.create(email="walk-in@example.com", shop="Leeds")
"""
MIRROR = "from blueshift_sync.models import Customer, ListMembership; from people.blueshift import Money, to_json"


def test_page_sources(bare_site: Site) -> None:
    page = blocks("docs/sources.md")
    bare_site.follow(block for block in page if block.name)
    make_tables(bare_site)
    bare_site.script(PEOPLE)
    before = customers(bare_site)
    bare_site.follow(block for block in page if not block.name)
    after = customers(bare_site)

    assert set(before) == {"ann@old.example.com", "staff@example.com", "guest@example.com", "walk-in@example.com"}
    ann = before["ann@old.example.com"]
    assert ann["attributes"] | {"joined_at": ""} == {
        "joined_at": "",
        "plan": "gold",
        "orders": 1,
        "tags": ["tea"],
        "vip": True,
    }
    assert ann["subscription_groups"] == [{"id": "sg-news", "subscribed": True}]
    assert before["staff@example.com"]["state"] == "EXCLUDED"
    members = "sorted(ListMembership.objects.values_list('customer_list__list_id', 'customer__email', 'is_member'))"
    assert bare_site.value(MIRROR, members) == [
        [35869, "ann@old.example.com", True],
        [35870, "ann@old.example.com", True],
    ]
    assert bare_site.value(MIRROR, "to_json(Money(250))") == 2.5
    # What the page's own scripts have done: an update, and an import that nobody noticed until its end.
    assert after["ann@old.example.com"]["subscription_groups"] == [{"id": "sg-news", "subscribed": False}]
    assert set(after) - set(before) == {f"user-{number}@example.com" for number in range(3)}


def customers(site: Site) -> dict[str, dict[str, object]]:
    rows = "list(Customer.objects.values('email', 'state', 'attributes', 'subscription_groups'))"
    return {row["email"]: row for row in site.value(MIRROR, rows)}


def test_page_api(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.", "6.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    site.follow(blocks("docs/api.md"))
    assert site.answer["openapi"].startswith("3.1")
    runs = "list(SyncRun.objects.order_by('pk').values_list('kind', 'trigger', 'total'))"
    assert site.value("from blueshift_sync.models import SyncRun", runs) == [
        ["LISTS", "COMMAND", 1],
        ["CUSTOMERS", "COMMAND", 0],
        ["CUSTOMERS", "RETRY", 0],
        ["CUSTOMERS", "COMMAND", 1],
        ["CUSTOMERS", "API", 1],
        ["CUSTOMERS", "RETRY", 0],
        ["LISTS", "API", 1],
        ["LISTS", "API", 1],
    ]
    sent = "[receiver.__name__ for receiver, _ in sending_stopped.send(None, code='forbidden', reason='No.')]"
    assert site.value("from blueshift_sync.signals import sending_stopped", sent) == ["tell_the_admins"]


def test_page_lists(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.", "6.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    first, try_again, send = blocks("docs/lists.md")
    site.follow([first])
    model = "from blueshift_sync.models import CustomerList"
    lists = "list(CustomerList.objects.order_by('pk').values_list('name', 'list_id', 'identifier_key', 'stopped_at'))"
    assert site.value(model, lists) == [["VIPs", None, "customer_id", None], ["", 35869, "", None]]
    site.script(f"{model}\nCustomerList.objects.update(stopped_at='2026-01-01T00:00Z', is_ready=False)")
    site.follow([try_again])
    assert [row[3] for row in site.value(model, lists)] == [None, None]
    site.script(f"{model}\nCustomerList.objects.update(is_ready=True)")
    site.follow([send])
    assert site.value("from blueshift_sync.models import SyncRun", "SyncRun.objects.count()") == 3


def test_page_testing(site: Site) -> None:
    """Its named examples run in tests/testing/test_testing_docs.py; here, what is typed into a terminal."""
    page = blocks("docs/testing.md")
    examples = [block for block in page if block.language == "python"]
    assert all(re.fullmatch(r"(site/)?test_\w+\.py|script\.py", block.name) for block in examples)
    files = [block for block in page if block.name and block not in examples]
    assert [block.name for block in files] == ["scenario.json"]
    site.follow(files)
    site.follow(block for block in page if not block.name)
