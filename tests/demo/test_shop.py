"""The shop's customers: believable, the same for the same seed, and some of them trouble."""

import unicodedata
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from blueshift_sync.models import Customer as MirroredCustomer
from blueshift_sync.models import ListMembership
from project.demo.comparison import must_be_rejected
from project.shop.filling import LETTERS, SAVED_ONE_BY_ONE, fill_shop
from project.shop.models import Customer, NewsletterSignup, Order, Subscription

pytestmark = pytest.mark.django_db

SCRIPTS = "LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI THAI CJK HIRAGANA KATAKANA HANGUL GEORGIAN ARMENIAN ETHIOPIC"


def shop_contents() -> list[list[dict[str, Any]]]:
    """Every row of the shop, without the keys that the database counts up."""
    return [
        list(Customer.objects.order_by("customer_number").values()),
        list(Order.objects.order_by("customer_id", "placed_at", "total").values("customer_id", "placed_at", "total")),
        list(Subscription.objects.order_by("customer_id").values("customer_id", "plan__code", "started_on")),
        list(
            NewsletterSignup.objects.order_by("customer_id", "newsletter__name").values(
                "customer_id", "newsletter__name", "confirmed", "created_at"
            )
        ),
    ]


def test_the_same_seed_makes_the_same_shop_and_another_seed_another() -> None:
    def filled(seed: int) -> list[list[dict[str, Any]]]:
        Customer.objects.all().delete()
        fill_shop(60, seed)
        return shop_contents()

    first = filled(seed=1)
    assert filled(seed=1) == first
    assert filled(seed=2) != first


def test_customers_are_of_all_kinds() -> None:
    fill_shop(400)
    customers = list(Customer.objects.all())
    names = "".join(customer.given_name + customer.family_name for customer in customers)
    found = {unicodedata.name(letter, "?").split()[0] for letter in names}
    assert set(SCRIPTS.split()) <= found
    assert "👩🏽‍🚀" in names
    assert "'" in names
    assert any("-" in customer.family_name for customer in customers)
    assert any(not customer.given_name and customer.family_name for customer in customers)
    assert any(not customer.phone for customer in customers)
    assert any(customer.is_test_account for customer in customers)
    assert sum(customer.email is None for customer in customers) == 40
    for letter in LETTERS[:2]:
        signups = NewsletterSignup.objects.filter(newsletter__blueshift_list_id=letter.list_id)
        assert {signup.confirmed for signup in signups} == {True, False}
    assert not NewsletterSignup.objects.filter(newsletter__name="Weekly letter", customer__email=None).exists()


def test_one_customer_in_a_hundred_breaks_a_limit_each_in_another_way() -> None:
    fill_shop(300)
    rejected = [customer for customer in Customer.objects.order_by("customer_number") if must_be_rejected(customer)]
    assert [customer.customer_number for customer in rejected] == ["C-000037", "C-000137", "C-000237"]
    long_email, long_name, local_phone = rejected
    assert len(long_email.email or "") > 64
    assert len(long_name.given_name) > 64
    assert not local_phone.phone.startswith("+")


def test_customers_saved_one_by_one_and_in_bulk_are_both_mirrored() -> None:
    fill_shop(SAVED_ONE_BY_ONE + 20)
    assert MirroredCustomer.objects.count() == SAVED_ONE_BY_ONE + 20
    assert ListMembership.objects.filter(is_member=True).count() == (
        NewsletterSignup.objects.filter(confirmed=True).count()
    )


def test_the_command_fills_an_empty_shop_only() -> None:
    said = StringIO()
    call_command("fill_shop", customers=3, stdout=said)
    assert Customer.objects.count() == 3
    assert "3 customers" in said.getvalue()
    with pytest.raises(CommandError, match="customers in the shop already"):
        call_command("fill_shop", customers=3, stdout=said)
