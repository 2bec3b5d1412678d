"""The users of the backfill benchmark, the source that mirrors them, and a plain loop over the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.db.models import QuerySet, Value
from django.db.models.functions import Concat

from blueshift_sync import services
from blueshift_sync.sources import CustomerSource, register
from blueshift_sync.sources.backfill import backfill, parts_of
from blueshift_sync.sources.registration import unregister
from blueshift_sync.sources.registry import sources_of
from project.shop.models import Customer

#: What is made in the database itself: with the ORM it would take longer than what is measured.
USERS = """
INSERT INTO shop_plan (code, name, price) SELECT 'plan-' || n, 'Plan', n + 0.5 FROM generate_series(1, 4) n;
INSERT INTO shop_customer (id, customer_number, email, given_name, family_name, phone, language, marketing_consent,
                           is_test_account, created_at)
    SELECT gen_random_uuid(), 'C-' || n, 'customer.' || n || '@example.com', 'Ada', 'Lovelace-' || n %% 997, '', 'en',
           false, false, now() FROM generate_series(1, %(count)s) n;
INSERT INTO shop_subscription (customer_id, plan_id, started_on)
    SELECT customer.id, plan.id, now()
    FROM (SELECT id, row_number() OVER () n FROM shop_customer) customer
    JOIN (SELECT id, row_number() OVER () n FROM shop_plan) plan ON plan.n = customer.n %% 4 + 1;
INSERT INTO shop_order (customer_id, total, placed_at) SELECT id, 12.5, now() FROM shop_customer;
VACUUM ANALYZE;
"""


def make_users(count: int) -> None:
    """So many users with a subscription and an order each, in an empty database."""
    with connection.cursor() as cursor:
        for statement in USERS.split(";\n"):
            if statement.strip():
                cursor.execute(statement, {"count": count})


def users() -> QuerySet[Customer]:
    """Both sides read the same rows by the same queries."""
    return Customer.objects.select_related("subscription__plan").prefetch_related("orders")


def register_users() -> None:
    """Mirrors the users with three attributes over relations, in place of the shop's own source."""
    unregister(Customer)

    @register(Customer)
    class Users(CustomerSource):
        customer_id = "customer_number"
        email = "email"
        firstname = "given_name"
        lastname = "family_name"
        attributes = {
            "plan": "subscription__plan__code",
            "price": "subscription__plan__price",
            "orders": lambda customer: len(customer.orders.all()),
        }

        def get_queryset(self) -> QuerySet[Customer]:
            return users()


def backfilling() -> Callable[[], dict[str, int]]:
    """All users, into a mirror as it is."""
    register_users()
    (part,) = parts_of(sources_of(Customer))

    def measured() -> dict[str, int]:
        captured = backfill(part, lambda count: None)
        return {"read": captured.read, "changed": captured.changed}

    return measured


def plain_loop() -> Callable[[], int]:
    """Serialises each user to JSON, and keeps nothing."""

    def measured() -> int:
        size = 0
        for customer in users().order_by("pk").iterator(chunk_size=500):
            size += len(json.dumps(as_payload(customer), cls=DjangoJSONEncoder))
        return size

    return measured


def as_payload(customer: Any) -> dict[str, Any]:
    """What the source makes of the user, by hand."""
    return {
        "customer_id": customer.customer_number,
        "email": customer.email,
        "firstname": customer.given_name,
        "lastname": customer.family_name,
        "plan": customer.subscription.plan.code,
        "price": customer.subscription.plan.price,
        "orders": len(customer.orders.all()),
    }


def capturing(count: int) -> Callable[[], dict[str, int]]:
    """Tells of so many users that an `update()` has just changed."""
    register_users()
    users = Customer.objects.filter(pk__in=Customer.objects.order_by("pk").values("pk")[:count])
    users.update(given_name=Concat("given_name", Value("+")))

    def measured() -> dict[str, int]:
        captured = services.capture(users)
        return {"read": captured.read, "changed": captured.changed}

    return measured
