"""The customers that are sent, the same for every side. Knows no Django, for some sides have none."""

from typing import Any

PLANS = ("free", "basic", "plus", "business")


def payload(number: int) -> dict[str, Any]:
    """The customer object number `number`: identifiers, names and eight attributes, some 300 bytes of JSON."""
    return {
        "customer_id": f"C-{number:08}",
        "email": email(number),
        "firstname": "Ada",
        "lastname": f"Lovelace-{number % 997}",
        **attributes(number),
    }


def email(number: int) -> str:
    """The e-mail address of that customer."""
    return f"customer.{number}@example.com"


def attributes(number: int) -> dict[str, Any]:
    """The attributes of that customer, each of one JSON type."""
    return {
        "language": "en",
        "plan": PLANS[number % 4],
        "orders": number % 30,
        "spent": number % 5000 + 0.25,
        "vip": number % 50 == 0,
        "joined_at": f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}T08:30:00+00:00",
        "phone_number": f"+440000{number % 100000:05}",
        "interests": ["sport", "travel"],
    }
