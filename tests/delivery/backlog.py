"""Customers that are due, and how they stand."""

from __future__ import annotations

from typing import Any

from blueshift_sync.models import Customer


def make_customers(count: int, **fields: Any) -> None:
    Customer.objects.bulk_create(
        Customer(customer_id=f"c{number}", email=f"c{number}@example.com", **fields) for number in range(count)
    )


def states() -> dict[str, int]:
    found = Customer.objects.values_list("state", flat=True)
    return {state: list(found).count(state) for state in sorted(set(found))}
