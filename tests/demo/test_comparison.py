"""The comparison finds every kind of difference between the shop and the simulated Blueshift."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.utils import timezone

from blueshift_sync.models import Customer as MirroredCustomer
from blueshift_sync.models import CustomerList, ListMembership
from project.demo.comparison import Account, differences, expected_fields
from project.shop.models import Customer, Newsletter, NewsletterSignup, Order, Plan, Subscription

pytestmark = pytest.mark.django_db

ADA_HELD = {
    "customer_id": "C-1",
    "email": "ada@example.com",
    "firstname": "Ada",
    "lastname": "",
    "phone_number": "+440000012345",
    "joined_at": "2024-02-03T04:05:06+00:00",
    "birth_date": "1990-12-10",
    "language": "en",
    "plan": "gold",
    "orders": 2,
    "spent": 1000.5,
    "vip": True,
    "shop_id": "00000000-0000-4000-8000-000000000001",
    "subscription_groups": [{"id": "sg-news", "subscribed": True}],
}


@pytest.fixture
def ada() -> Customer:
    """A customer with everything that the shop can know but a family name, and confirmed for list 7."""
    ada = Customer.objects.create(
        pk=uuid.UUID("00000000-0000-4000-8000-000000000001"),
        customer_number="C-1",
        email="ada@example.com",
        given_name="Ada",
        phone="+440000012345",
        birth_date=datetime.date(1990, 12, 10),
        language="en",
        marketing_consent=True,
        created_at=datetime.datetime(2024, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    )
    plan = Plan.objects.create(code="gold", name="Gold", price=Decimal("24.50"))
    Subscription.objects.create(customer=ada, plan=plan)
    Order.objects.create(customer=ada, total=Decimal(1000))
    Order.objects.create(customer=ada, total=Decimal("0.50"))
    letter = Newsletter.objects.create(name="Letter", blueshift_list_id=7)
    NewsletterSignup.objects.create(customer=ada, newsletter=letter, confirmed=True)
    return ada


def account(*customers: dict[str, object], members: tuple[str, ...] = ("ada@example.com",)) -> Account:
    return Account(list(customers), {7: {"source": "email", "members": list(members)}})


def test_an_account_that_holds_exactly_the_shop_has_no_differences(ada: Customer) -> None:
    assert expected_fields(ada) == ADA_HELD
    assert list(differences(account(ADA_HELD))) == []


@pytest.mark.parametrize(
    ("members", "stopped", "waiting", "complaint"),
    [
        ((), True, True, None),
        ((), False, True, "but the mirror doesn't say so"),
        ((), True, False, "0 memberships wait for the list 7 (Letter); it should be 1"),
        (("ada@example.com",), True, True, "ada@example.com is on the list 7 (Letter), which takes no members"),
    ],
)
def test_of_a_list_that_takes_no_members_everybody_waits(
    ada: Customer, members: tuple[str, ...], stopped: bool, waiting: bool, complaint: str | None
) -> None:
    rows = ListMembership.objects.filter(customer_list__list_id=7)
    rows.update(due_at=None if waiting else timezone.now())
    if stopped:
        CustomerList.objects.filter(list_id=7).update(stopped_at=timezone.now(), error_message="Gone.")
    held = Account([ADA_HELD], {7: {"source": "email", "status": "deleted", "members": list(members)}})
    found = list(differences(held))
    assert len(found) == (complaint is not None), found
    assert not complaint or complaint in found[0]


def test_a_wrong_field_is_named(ada: Customer) -> None:
    assert list(differences(account({**ADA_HELD, "orders": 3}))) == [
        "Customer C-1 has orders = 3 in Blueshift; it should be 2."
    ]


def test_a_missing_field_and_one_too_many_are_named(ada: Customer) -> None:
    held = {**ADA_HELD, "nickname": "Countess"}
    del held["plan"]
    assert list(differences(account(held))) == [
        "Customer C-1 has nickname = 'Countess' in Blueshift; it should be None.",
        "Customer C-1 has plan = None in Blueshift; it should be 'gold'.",
    ]


def test_a_number_in_place_of_true_is_a_difference(ada: Customer) -> None:
    assert list(differences(account({**ADA_HELD, "vip": 1}))) == [
        "Customer C-1 has vip = 1 in Blueshift; it should be True."
    ]


def test_a_customer_who_is_missing_is_named(ada: Customer) -> None:
    assert list(differences(account())) == ["Blueshift doesn't hold the customer C-1."]


def test_a_customer_who_is_there_twice_is_named(ada: Customer) -> None:
    assert list(differences(account(ADA_HELD, ADA_HELD))) == ["Blueshift holds the customer C-1 2 times."]


def test_a_test_account_that_was_sent_is_named(ada: Customer) -> None:
    Customer.objects.create(customer_number="C-2", is_test_account=True)
    assert list(differences(account(ADA_HELD, {"customer_id": "C-2"}))) == [
        "Blueshift holds the customer C-2, whom it should not hold."
    ]


def test_members_who_are_missing_or_too_many_are_named(ada: Customer) -> None:
    assert list(differences(account(ADA_HELD, members=("eve@example.com",)))) == [
        "ada@example.com is not on the list 7 (Letter).",
        "eve@example.com is on the list 7 (Letter) and should not be.",
    ]


def test_an_unconfirmed_sign_up_must_not_be_on_the_list(ada: Customer) -> None:
    ada.signups.update(confirmed=False)
    assert list(differences(account(ADA_HELD))) == ["ada@example.com is on the list 7 (Letter) and should not be."]


def test_a_list_that_is_not_there_is_named(ada: Customer) -> None:
    assert list(differences(Account([ADA_HELD], {}))) == ["Blueshift has no list 7 (Letter)."]


def test_a_customer_beyond_the_limits_must_be_failed_with_a_reason(ada: Customer) -> None:
    broken = Customer.objects.create(customer_number="C-2", phone="0800 1")
    assert list(differences(account(ADA_HELD))) == [
        "Customer C-2 breaks a documented limit, but the mirror doesn't show it as FAILED."
    ]
    mirrored = MirroredCustomer.objects.filter(customer_id=broken.customer_number)
    mirrored.update(state=MirroredCustomer.State.FAILED)
    assert list(differences(account(ADA_HELD))) == ["Customer C-2 is FAILED in the mirror without a reason."]
    mirrored.update(error_message="phone_number must start with +")
    assert list(differences(account(ADA_HELD))) == []


def test_a_customer_who_failed_without_need_is_named(ada: Customer) -> None:
    MirroredCustomer.objects.update(state=MirroredCustomer.State.FAILED, error_message="no luck")
    assert list(differences(account(ADA_HELD))) == [
        "Customer C-1 is FAILED in the mirror, though it keeps to the limits: no luck"
    ]
