"""The management commands."""

from __future__ import annotations

from io import StringIO
from typing import Any

import django_rq
import pytest
from django.core.management import CommandError, call_command

from blueshift_sync import services
from blueshift_sync.delivery.workers import workers
from blueshift_sync.models import ApiCall, Customer, ListMembership
from project.shop import models as shop
from tests.factories import make_customer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def test_ping_tells_that_the_key_is_taken(blueshift: Any) -> None:
    out = StringIO()
    call_command("blueshift_ping", stdout=out)
    assert out.getvalue().startswith("Blueshift takes the key.")
    assert [(call.endpoint, call.state) for call in ApiCall.objects.all()] == [("CUSTOMER_FIND", "SUCCEEDED")]


def test_ping_tells_that_the_key_is_refused(blueshift: Any, settings: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "API_KEY": "a-wrong-key"}
    with pytest.raises(CommandError, match="Not authorized") as error:
        call_command("blueshift_ping")
    assert "a-wrong-key" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("ENABLED", False), ("API_KEY", "")])
def test_ping_names_the_setting_that_forbids_it(settings: Any, key: str, value: Any) -> None:
    settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, key: value}
    with pytest.raises(CommandError, match=key):
        call_command("blueshift_ping")


def test_ping_tells_that_nobody_answers(settings: Any) -> None:
    with pytest.raises(CommandError, match=r"Nothing was sent\."):
        call_command("blueshift_ping")


class TestPush:
    def push(self, *options: str) -> str:
        out = StringIO()
        call_command("blueshift_push", *options, stdout=out)
        return out.getvalue()

    def sent(self) -> set[int]:
        return set(Customer.objects.filter(run__trigger__in=["COMMAND", "RETRY"]).values_list("pk", flat=True))

    @pytest.fixture
    def customers(self) -> dict[str, Customer]:
        failed = {"state": "FAILED", "error_code": "email", "due_at": None, "waiting_since": None}
        done = {"due_at": None, "waiting_since": None}
        return {
            "waiting": make_customer(),
            "failed": make_customer(**failed),
            "in step": make_customer(state="SYNCED", **done),
            "excluded": make_customer(state="EXCLUDED", error_code="excluded", **done),
        }

    @pytest.mark.parametrize(
        ("options", "names"),
        [([], {"waiting", "failed"}), (["--failed"], {"failed"}), (["--all"], {"waiting", "failed", "in step"})],
    )
    def test_it_sends_what_it_is_asked_for(
        self, customers: dict[str, Customer], options: list[str], names: set[str]
    ) -> None:
        said = self.push(*options)
        assert self.sent() == {customers[name].pk for name in names}
        assert f"sends {len(names)} customers." in said
        assert "sends 0 list memberships." in said
        assert len(django_rq.get_queue("default")) == 1

    def test_failed_and_all_exclude_each_other(self) -> None:
        with pytest.raises(CommandError, match="not allowed with"):
            self.push("--failed", "--all")

    def test_it_waits_for_nothing_where_nobody_sends(self, customers: dict[str, Customer], settings: Any) -> None:
        with pytest.raises(CommandError, match="No worker is running for the queue 'default'"):
            self.push("--wait")
        settings.BLUESHIFT_SYNC = {**settings.BLUESHIFT_SYNC, "ENABLED": False}
        with pytest.raises(CommandError, match="ENABLED"):
            self.push("--wait")
        assert not self.sent()


@pytest.mark.django_db(transaction=True)
def test_push_waits_for_a_real_worker_and_says_what_became_of_it(simulator: Any, start_worker: Any) -> None:
    good = make_customer()
    start_worker()
    wait_until(lambda: workers().alive == 1)
    out = StringIO()
    call_command("blueshift_push", "--all", "--wait", stdout=out)
    assert "succeeded: 1 of 1 customers accepted." in out.getvalue()
    good.refresh_from_db()
    assert good.state == "SYNCED"
    make_customer(email="ada@" + "x" * 200 + ".example.com")
    with pytest.raises(CommandError, match="Not all were sent"):
        call_command("blueshift_push", "--wait", stdout=out)


def test_the_sweep_wakes_a_worker() -> None:
    make_customer()
    call_command("blueshift_sweep")
    assert len(django_rq.get_queue("default")) == 1


def test_backfill_mirrors_what_no_signal_told_of_and_the_second_time_finds_nothing() -> None:
    shop.Customer.objects.bulk_create(shop.Customer(customer_number=f"c{number}") for number in range(3))
    letter = shop.Newsletter.objects.create(name="News", blueshift_list_id=7)
    shop.NewsletterSignup.objects.bulk_create(
        shop.NewsletterSignup(customer=customer, newsletter=letter, confirmed=True)
        for customer in shop.Customer.objects.all()
    )
    out = StringIO()
    call_command("blueshift_backfill", stdout=out)
    assert out.getvalue() == "Read 6 objects; 6 records of the mirror were changed.\n"
    assert set(Customer.objects.values_list("customer_id", flat=True)) == {"c0", "c1", "c2"}
    assert ListMembership.objects.filter(is_member=True).count() == 3
    out = StringIO()
    call_command("blueshift_backfill", stdout=out)
    assert out.getvalue() == "Read 6 objects; 0 records of the mirror were changed.\n"


def test_backfill_repairs_drift_and_lets_go_of_what_is_gone() -> None:
    letter = shop.Newsletter.objects.create(name="News", blueshift_list_id=7)
    for number in range(3):
        customer = shop.Customer.objects.create(customer_number=f"c{number}")
        shop.NewsletterSignup.objects.create(customer=customer, newsletter=letter, confirmed=True)
    shop.Customer.objects.filter(customer_number="c0").update(given_name="Ada")
    with services.disabled():
        shop.NewsletterSignup.objects.filter(customer__customer_number="c1").delete()
        shop.Customer.objects.get(customer_number="c2").delete()
    call_command("blueshift_backfill", stdout=StringIO())
    assert Customer.objects.get(customer_id="c0").firstname == "Ada"
    assert not ListMembership.objects.get(customer__customer_id="c1").is_member
    assert Customer.objects.get(customer_id="c2").error_code == "source_deleted"
    assert not ListMembership.objects.get(customer__customer_id="c2").is_member


def test_backfill_of_one_model_leaves_the_others_alone() -> None:
    shop.Customer.objects.bulk_create([shop.Customer(customer_number="c0")])
    call_command("blueshift_backfill", "shop.NewsletterSignup", stdout=StringIO())
    assert not Customer.objects.exists()
    call_command("blueshift_backfill", "shop.Customer", stdout=StringIO())
    assert Customer.objects.count() == 1


def test_backfill_says_which_models_have_a_source() -> None:
    with pytest.raises(CommandError, match=r"shop\.Plan has no source\. There are sources for: .*shop\.customer"):
        call_command("blueshift_backfill", "shop.Plan")
