"""Every command and every snippet of the documentation is run, most of them in a site made by following the pages."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from itertools import groupby
from pathlib import Path

import pytest
import requests
from redis import Redis

from blueshift_sync.testing.process import Simulator
from tests.docs.pages import PAGES, ROOT, Block, blocks, read
from tests.docs.site import SIMULATOR_PORT, SITE_PORT, Site, assert_target

pytestmark = pytest.mark.e2e

INSTALL = "docs/install.md"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


@pytest.fixture(scope="session")
def installed_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site of the install page once somebody was saved, made once for all that begin with it."""
    with Site(tmp_path_factory.mktemp("installed")) as site:
        steps = ("2.", "3.", "4.", "5.", "6.")
        site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
        yield site


@pytest.fixture
def as_installed(site: Site, installed_once: Site) -> None:
    """The test's site is as far as that one."""
    site.go_on_from(installed_once)


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
    site.command("pip install Django")
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


def test_page_tutorial(tmp_path: Path) -> None:
    """In order, with a worker, a timer and a site that run on, as a reader has them."""
    (tmp_path / "clone").mkdir()
    with Site(tmp_path / "clone", workers_stay=True) as site:
        site.follow(blocks("docs/tutorial.md"))

        operator = logged_in(f"http://127.0.0.1:{site.ports[SITE_PORT]}/admin/", "ops", "tutorial")
        customers = operator("blueshift_sync/customer/")
        assert (customers.count(">In step</span>"), customers.count(">Excluded</span>")) == (2, 1)
        assert "is not an e-mail address" in operator("blueshift_sync/failuresbycause/")


def logged_in(admin: str, username: str, password: str) -> Callable[[str], str]:
    """Logs in to the admin at this address. Returns what its pages hold, by their path."""
    session = requests.Session()
    session.trust_env = False

    def page(path: str) -> str:
        answer = session.get(admin + path, timeout=30)
        assert answer.ok, f"{path} answers {answer.status_code}"
        return answer.text

    page("login/")
    token = session.cookies["csrftoken"]
    form = {"username": username, "password": password, "csrfmiddlewaretoken": token}
    assert session.post(f"{admin}login/?next=/admin/", data=form, timeout=30).url == admin
    return page


def test_page_install(site: Site) -> None:
    steps = {heading: list(step) for heading, step in groupby(blocks(INSTALL), lambda block: block.section)}
    removal = steps.pop("Removing it")
    said = {}
    for heading, step in steps.items():
        site.follow(step)
        said[heading] = site.said
    assert [(user["email"], user["firstname"]) for user in site.answer["users"]] == [("ann@example.com", "Ann")]
    assert said["8. The objects that you already have"].startswith("Read 1 objects; 0 records of the mirror")
    remove(site, removal)


def remove(site: Site, removal: list[Block]) -> None:
    """Does what the page says, with what it has no command for. Nothing of this app may be left after each step."""
    undo_migrations, remove_content_types, uninstall = ([block] for block in removal)
    for leftovers in (of_ours_in_the_database(site), of_ours_in_redis(), content_types(site)):
        assert leftovers
    (site.directory / "people/blueshift.py").unlink()
    site.stop()
    site.follow(undo_migrations)
    assert of_ours_in_the_database(site) == []
    assert of_ours_in_redis() == []
    without_the_app(site.directory / "mysite")
    site.follow(remove_content_types)
    assert content_types(site) == []
    site.follow(uninstall)
    site.command("python manage.py check --fail-level WARNING")
    site.command("python manage.py migrate --check")
    assert site.value("from people.models import Person", "Person.objects.create(email='bob@example.com').pk") == 2


def of_ours_in_the_database(site: Site) -> list[str]:
    """Tables, indexes, triggers and counters that bear our name."""
    site.script(OF_OURS)
    return site.said.split()


OF_OURS = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT name FROM sqlite_master UNION SELECT name FROM sqlite_sequence")
    print(*(name for (name,) in cursor.fetchall() if "blueshift" in name or "bsync" in name))
    cursor.execute("SELECT name FROM django_migrations WHERE app = 'blueshift_sync'")
    print(*(name for (name,) in cursor.fetchall()))
"""


def of_ours_in_redis() -> list[str]:
    """Keys that name us, or jobs of ours."""
    with Redis.from_url(os.environ["TEST_REDIS_URL"]) as redis:
        keys = redis.keys()
        jobs = {key: redis.hget(key, "description") or b"" for key in keys if redis.type(key) == b"hash"}
        names = {key: b" ".join(redis.zrange(key, 0, -1)) for key in keys if redis.type(key) == b"zset"}
    return [key.decode() for key in keys if b"blueshift" in key + jobs.get(key, b"") + names.get(key, b"")]


def content_types(site: Site) -> list[str]:
    """Permissions go with their content types."""
    found = "list(ContentType.objects.filter(app_label='blueshift_sync').values_list('model', flat=True))"
    return list(site.value("from django.contrib.contenttypes.models import ContentType", found))


def without_the_app(configuration: Path) -> None:
    """Takes the app out of the settings and the URLs, as one does with an editor."""
    settings, urls = configuration / "settings.py", configuration / "urls.py"
    text = re.sub(r"^BLUESHIFT_SYNC = \{\n.*?^\}\n", "", settings.read_text(), flags=re.M | re.S)
    settings.write_text(text.replace('"blueshift_sync", ', ""))
    urls.write_text(re.sub(r"^urlpatterns \+= .*blueshift.*\n", "", urls.read_text(), flags=re.M))
    assert "blueshift_sync" not in settings.read_text() + urls.read_text()


@pytest.mark.usefixtures("as_installed")
def test_page_backfill(site: Site) -> None:
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


@pytest.mark.usefixtures("as_installed")
def test_page_admin(site: Site) -> None:
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


@pytest.mark.usefixtures("as_installed")
def test_page_audit(site: Site) -> None:
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


def test_page_operations(site: Site) -> None:
    steps = ("2.", "3.", "4.", "5.")
    site.follow(block for block in blocks(INSTALL) if block.section.startswith(steps))
    page = blocks("docs/operations.md")
    [unit] = [block.text for block in page if block.language == "ini"]
    service = ConfigParser(interpolation=None)
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read_string(unit)
    program, *arguments = service["Service"]["ExecStart"].split()
    assert program.endswith("/python")
    site.python_command(arguments)
    site.follow(block for block in page if block.language != "ini")
    site.command("python manage.py check --fail-level WARNING")
    site.command("python manage.py blueshift_sweep")
    settings = "[settings.BLUESHIFT_SYNC['ALERT_EMAILS'], settings.BLUESHIFT_SYNC['SITE_URL']]"
    assert site.value("from django.conf import settings", settings) == [
        ["ops@example.com"],
        "https://shop.example.com",
    ]
    assert site.value("from blueshift_sync.models import Alert", "Alert.objects.count()") == 3


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


@pytest.mark.usefixtures("as_installed")
def test_page_how_to(site: Site) -> None:
    """Its recipes are settings, one after the other; with the first of them nothing is sent."""
    (site.directory / "people" / "blueshift.py").unlink()  # the page has a whole one
    page = blocks("docs/how-to.md")
    site.follow(block for block in page if block.name == "people/blueshift.py")
    said = {}
    for block in page:
        if block.name != "people/blueshift.py":
            site.follow([block])
            said[block.section] = site.said
    assert said["Try it on real data without sending"] == "/api/v1/customers/bulk 1\n"
    assert said["Find out why a customer isn't in Blueshift"].startswith("Waiting   20")
    assert "Run 1 sends 1 customers." in said["Send everything again"]
    settings = "[settings.BLUESHIFT_SYNC[key] for key in ('ENABLED', 'CALLS_PER_SECOND', 'QUEUE', 'API_KEY')]"
    assert site.value("from django.conf import settings", settings) == [False, 3, "blueshift", None]


@pytest.mark.usefixtures("as_installed")
def test_page_models(site: Site) -> None:
    failed = "Customer.objects.update(state='FAILED', due_at=None, error_code='rejected', error_message='No.')"
    site.script(f"from blueshift_sync.models import Customer; {failed}")
    site.follow(blocks("docs/models.md"))
    assert site.said == "1 rejected No.\n"


def test_page_contributing() -> None:
    """What takes minutes isn't run, but what it names is there."""
    for block in blocks("CONTRIBUTING.md"):
        for line in block.text.splitlines():
            assert_can_be_typed(line)


def assert_can_be_typed(line: str) -> None:
    words = shlex.split(line)
    while "=" in words[0]:
        assert re.search(rf'environ\S*"{words.pop(0).partition("=")[0]}"', SUITE), line
    match words:
        case ["make", target, *_]:
            assert_target(target)
        case [".venv/bin/python", "-m", "pytest" | "pip", *arguments]:
            assert all((ROOT / path).exists() for path in arguments if "/" in path), line
        case [".venv/bin/python", script, *_]:
            assert (ROOT / script).is_file(), line
        case _:
            raise AssertionError(f"Nobody knows whether this can be typed: {line}")


#: All that reads the variables of the suite.
SUITE = "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))


def test_every_variable_and_every_folder_of_the_suite_is_in_the_contributors_page() -> None:
    page = read("CONTRIBUTING.md")
    read_here = set(re.findall(r'environ\S*"(TEST_\w+)"', SUITE))
    assert {name for name in read_here if f"`{name}" not in page and f"{name}=" not in page} == BETWEEN_PROCESSES
    folders = {path.parent.name for path in ROOT.glob("tests/*/*.py")}
    assert set(re.findall(r"`tests/(\w+)`", page)) == folders


#: What a test says to the processes that it starts, or CI to a test.
BETWEEN_PROCESSES = {
    *("TEST_DATABASE_NAME", "TEST_BLUESHIFT_SYNC", "TEST_CLOCK_SHIFT"),
    *("TEST_SITE_PYTHON", "TEST_SITE_WHEEL"),
}


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


@pytest.mark.usefixtures("as_installed")
def test_page_api(site: Site) -> None:
    site.script(A_CALL)
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
        ["CUSTOMERS", "API", 1],
        ["LISTS", "API", 0],
    ]
    sent = "[receiver.__name__ for receiver, _ in sending_stopped.send(None, code='forbidden', reason='No.')]"
    assert site.value("from blueshift_sync.signals import sending_stopped", sent) == ["tell_the_admins"]


A_CALL = """
from blueshift_sync.models import ApiCall, Customer, RecordResult
call = ApiCall.objects.create(endpoint="CUSTOMERS_BULK", method="POST", state="FAILED", record_count=1)
RecordResult.objects.create(
    call=call, customer=Customer.objects.get(), position=0, outcome="REJECTED", code="email",
    message="is not an e-mail address",
)
"""


@pytest.mark.usefixtures("as_installed")
def test_page_lists(site: Site) -> None:
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
