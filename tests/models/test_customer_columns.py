"""Texts that are compared exactly, the e-mail's key, the payload and its fingerprint."""

from __future__ import annotations

from typing import Any

import pytest

from blueshift_sync.models import Customer
from blueshift_sync.models.fields import EmailKeyField
from blueshift_sync.models.fingerprints import fingerprint_of
from tests.factories import make_customer, make_list, make_membership

pytestmark = pytest.mark.django_db

ALIKE = ["a1", "A1", "á1", "a1 ", " a1", "ａ1", "ß", "ss"]


def test_texts_that_look_alike_are_different_customer_ids() -> None:
    for text in ALIKE:
        make_customer(customer_id=text)
    for text in ALIKE:
        assert Customer.objects.get(customer_id=text).customer_id == text
    assert Customer.objects.filter(customer_id__in=ALIKE).count() == len(ALIKE)


def test_texts_that_look_alike_are_different_source_keys() -> None:
    for text in ALIKE:
        make_customer(source_type="site.account", source_id=text)
    assert [Customer.objects.get(source_id=text).source_id for text in ALIKE] == ALIKE


def test_the_emails_key_is_found_whatever_the_case() -> None:
    row = make_customer(email=" Ada@Example.COM ")
    assert Customer.objects.get(email_key="ada@example.com") == row
    assert row.email == " Ada@Example.COM "


def test_the_emails_key_follows_the_email() -> None:
    row = make_customer(email="a@example.com")
    row.email = "B@example.com"
    row.save()
    row.refresh_from_db()
    assert row.email_key == "b@example.com"


def test_the_emails_key_fits_its_column() -> None:
    column = Customer._meta.get_field("email_key")
    assert len(EmailKeyField.key_of("İ" * 320)) <= (column.max_length or 0)


@pytest.mark.parametrize(
    ("columns", "identifier"),
    [({"customer_id": "1"}, "1"), ({"customer_id": None}, "ada@example.com"), ({"customer_id": None, "email": ""}, "")],
)
def test_the_customer_id_identifies_a_customer_else_the_email(columns: dict[str, Any], identifier: str) -> None:
    row = make_customer(**{"email": "ada@example.com", **columns})
    assert row.identifier == identifier
    assert str(row) == (identifier or f"#{row.pk}")


def test_the_payload_is_flat_and_leaves_out_what_is_not_known() -> None:
    row = Customer(email="ada@example.com", firstname="", attributes={"plan": None, "orders": 0, "note": ""})
    assert row.payload == {"email": "ada@example.com", "firstname": "", "plan": None, "orders": 0, "note": ""}


def test_a_standard_field_wins_over_an_attribute_of_its_name() -> None:
    assert Customer(email="a@example.com", attributes={"email": "b@example.com"}).payload == {"email": "a@example.com"}


def test_the_fingerprint_tells_what_blueshift_should_hold_apart_and_nothing_else() -> None:
    def of(**columns: Any) -> str:
        return Customer(**{"customer_id": "1", **columns}).fingerprint_of_payload()

    assert of(attributes={"a": 1, "b": 2}) == of(attributes={"b": 2, "a": 1})
    assert of(pk=1, version=2, source_id="1", state="FAILED") == of()
    different = [
        of(),
        of(email="ada@example.com"),
        of(firstname=""),
        of(attributes={"a": 1}),
        of(attributes={"a": "1"}),
        of(attributes={"a": None}),
        of(attributes={"a": True}),
        of(subscription_groups=[{"id": "a", "subscribed": True}]),
        of(subscription_groups=[{"id": "a", "subscribed": False}]),
    ]
    assert len(set(different)) == len(different)


def test_a_fingerprint_is_short_and_stays_the_same_so_that_no_update_makes_everything_look_changed() -> None:
    assert fingerprint_of({"a": "ä"}) == "d7228d720735f0441a3fadabd7f4668e"


@pytest.mark.parametrize(("key", "identifier"), [("email", "ada@example.com"), ("customer_id", "1"), ("", None)])
def test_a_list_knows_its_members_by_its_own_identifier(key: str, identifier: str | None) -> None:
    customer = make_customer(customer_id="1", email="ada@example.com")
    row = make_membership(customer=customer, customer_list=make_list(identifier_key=key))
    assert row.identifier == (identifier or "ada@example.com")


def test_a_member_without_the_lists_identifier_has_none() -> None:
    customer = make_customer(customer_id=None)
    assert make_membership(customer=customer, customer_list=make_list(identifier_key="customer_id")).identifier == ""
