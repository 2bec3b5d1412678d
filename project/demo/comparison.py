"""Whether Blueshift holds exactly what the shop says.

Worked out from the shop's own rows: neither `blueshift.py` nor any code of `blueshift_sync` has a hand in what is
expected, so a mistake there can't hide itself here.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from blueshift_sync.models import Customer as MirroredCustomer
from blueshift_sync.models import CustomerList, ListMembership
from project.shop.models import Customer, Newsletter

# The e-mail's limit is documented on the bulk customers page, which gives none for the names; the simulator has both.
LONGEST_EMAIL = 64
LONGEST_NAME = 64
# What the account adds to a customer by itself.
OWN_FIELDS = {"uuid", "created_at", "updated_at"}


@dataclass(frozen=True)
class Account:
    """What a simulated Blueshift holds: customers as they were sent, and lists by their number.

    A list has a `source` ("email" or "customer_id") and `members`, each as the source says; a `status` other than
    "active" says that it takes none.
    """

    customers: list[dict[str, Any]]
    lists: Mapping[int, dict[str, Any]]


def read_account(simulator_url: str) -> Account:
    """Asks a running simulator. Raises requests.RequestException if it doesn't answer."""
    answer = requests.get(f"{simulator_url}/_simulator/state", timeout=30)
    answer.raise_for_status()
    state = answer.json()
    customers = [
        {name: value for name, value in customer.items() if name not in OWN_FIELDS and value is not None}
        for customer in state["customers"]
    ]
    return Account(customers, {int(key): found for key, found in state["lists"].items()})


def differences(account: Account) -> Iterator[str]:
    """A sentence for each thing that is not as it should be; none if all is exact."""
    shop = list(Customer.objects.select_related("subscription__plan").prefetch_related("orders"))
    expected = {customer.customer_number: expected_fields(customer) for customer in shop if should_be_held(customer)}
    yield from _customer_differences(expected, account.customers)
    for newsletter in Newsletter.objects.order_by("blueshift_list_id"):
        yield from _list_differences(newsletter, account.lists.get(newsletter.blueshift_list_id))
    yield from _mirror_differences(shop)


def should_be_held(customer: Customer) -> bool:
    return not customer.is_test_account and not must_be_rejected(customer)


def must_be_rejected(customer: Customer) -> bool:
    """Whether a documented limit keeps Blueshift from taking this customer."""
    return (
        len(customer.email or "") > LONGEST_EMAIL
        or len(customer.given_name) > LONGEST_NAME
        or len(customer.family_name) > LONGEST_NAME
        or bool(customer.phone and not customer.phone.startswith("+"))
    )


def expected_fields(customer: Customer) -> dict[str, Any]:
    """The customer as Blueshift should hold it. What the shop doesn't know is not there at all."""
    spent = sum(order.total for order in customer.orders.all())
    subscription = getattr(customer, "subscription", None)
    fields = {
        "customer_id": customer.customer_number,
        "email": customer.email,
        "firstname": customer.given_name,
        "lastname": customer.family_name,
        "phone_number": customer.phone or None,
        "joined_at": customer.created_at.astimezone(datetime.UTC).isoformat(),
        "birth_date": customer.birth_date.isoformat() if customer.birth_date else None,
        "language": customer.language,
        "plan": subscription.plan.code if subscription else None,
        "orders": len(customer.orders.all()),
        "spent": float(spent),
        "vip": spent >= 1000,
        "shop_id": str(customer.pk),
        "subscription_groups": [{"id": "sg-news", "subscribed": customer.marketing_consent}],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _customer_differences(expected: Mapping[str, dict[str, Any]], held: list[dict[str, Any]]) -> Iterator[str]:
    seen = Counter(str(customer.get("customer_id")) for customer in held)
    for number, times in seen.items():
        if number not in expected:
            yield f"Blueshift holds the customer {number}, whom it should not hold."
        elif times > 1:
            yield f"Blueshift holds the customer {number} {times} times."
    for number in expected.keys() - seen.keys():
        yield f"Blueshift doesn't hold the customer {number}."
    for customer in held:
        number = str(customer.get("customer_id"))
        yield from _field_differences(number, expected.get(number, customer), customer)


def _field_differences(number: str, expected: dict[str, Any], held: dict[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | held.keys()):
        wanted, found = expected.get(name), held.get(name)
        # True is 1 in Python, but not in Blueshift, where an attribute has one type for ever.
        if wanted != found or isinstance(wanted, bool) is not isinstance(found, bool):
            yield f"Customer {number} has {name} = {found!r} in Blueshift; it should be {wanted!r}."


def _list_differences(newsletter: Newsletter, held: dict[str, Any] | None) -> Iterator[str]:
    list_id = newsletter.blueshift_list_id
    if held is None:
        yield f"Blueshift has no list {list_id} ({newsletter.name})."
        return
    if held.get("status", "active") != "active":
        yield from _stopped_list_differences(newsletter, held["members"])
        return
    signups = newsletter.signups.filter(confirmed=True).select_related("customer")
    members = [signup.customer for signup in signups if should_be_held(signup.customer)]
    identifiers = [customer.email if held["source"] == "email" else customer.customer_number for customer in members]
    # Who has no e-mail address can't be on a list that goes by it.
    expected: Counter[str] = Counter(identifier for identifier in identifiers if identifier)
    found: Counter[str] = Counter(held["members"])
    for identifier in (expected - found).elements():
        yield f"{identifier} is not on the list {list_id} ({newsletter.name})."
    for identifier in (found - expected).elements():
        yield f"{identifier} is on the list {list_id} ({newsletter.name}) and should not be."


def _stopped_list_differences(newsletter: Newsletter, members: list[str]) -> Iterator[str]:
    """Of a list that takes no members the mirror must say so, and everybody who should be on it waits."""
    list_id = newsletter.blueshift_list_id
    for identifier in members:
        yield f"{identifier} is on the list {list_id} ({newsletter.name}), which takes no members."
    row = CustomerList.objects.filter(list_id=list_id).first()
    if row is None or not row.has_stopped or not row.error_message:
        yield f"The list {list_id} ({newsletter.name}) takes no members, but the mirror doesn't say so."
        return
    wanted = newsletter.signups.filter(confirmed=True).count()
    waiting = row.memberships.filter(state=ListMembership.State.PENDING, is_member=True, due_at=None).count()
    if waiting != wanted:
        yield f"{waiting} memberships wait for the list {list_id} ({newsletter.name}); it should be {wanted}."


def _mirror_differences(shop: list[Customer]) -> Iterator[str]:
    """The mirror must own up to whom Blueshift rejected, and to nobody else."""
    rejected = {
        customer.customer_number for customer in shop if must_be_rejected(customer) and not customer.is_test_account
    }
    rows = MirroredCustomer.objects.filter(state=MirroredCustomer.State.FAILED)
    failed = {row.identifier: row.error_message for row in rows}
    for number in sorted(rejected - failed.keys()):
        yield f"Customer {number} breaks a documented limit, but the mirror doesn't show it as FAILED."
    for number, message in failed.items():
        if number not in rejected:
            yield f"Customer {number} is FAILED in the mirror, though it keeps to the limits: {message}"
        elif not message:
            yield f"Customer {number} is FAILED in the mirror without a reason."
