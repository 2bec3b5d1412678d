"""What capturing costs the site: one save in its own transaction, with and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count, cycle
from statistics import median
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from blueshift_sync import services
from blueshift_sync.models import CustomerList
from blueshift_sync.sources import CustomerSource, MembershipSource, register
from project.shop.models import Customer as ShopCustomer
from project.shop.models import Newsletter, NewsletterSignup, Order, Plan

from .harness import Row, alternate, empty, median_ratio
from .statements import short

OBJECTS = 5_000
SAVES = 100
ROUNDS = 9
TARGET = 2.0

_number: Iterator[int] = count()


@register(User)
class UserSource(CustomerSource):
    """A model of the plainest kind: its own columns, no relation."""

    customer_id = "pk"
    email = "email"
    firstname = "first_name"
    lastname = "last_name"
    attributes = {"joined_at": "date_joined", "staff": "is_staff"}


def run() -> list[Row]:
    empty()
    users = _rotation(User, [User(username=f"u{n}", email=f"u{n}@example.com") for n in range(OBJECTS)])
    customers = [ShopCustomer(customer_number=f"C{n}") for n in range(OBJECTS)]
    shoppers = _rotation(ShopCustomer, customers)
    signups = _signups(customers)
    orders = _rotation(Order, [Order(customer=customer, total=1) for customer in customers])
    plans = _rotation(Plan, [Plan(code=f"p{n}", price=1) for n in range(OBJECTS)])
    rows = [
        _compare("a user whose name changes", lambda: _rename(next(users), "first_name"), target=TARGET),
        _compare("a user in whom nothing changes", lambda: next(users).save(), target=TARGET),
        _compare("a new user", _make_user, target=TARGET),
        _compare("the shop's customer, whose source reads relations", lambda: _rename(next(shoppers), "given_name")),
        _compare("a signup that puts its customer on a list, or takes it off", lambda: _turn(next(signups))),
        _compare("a plan, which no source watches", lambda: _raise(next(plans), "price")),
        _compare("an order, which one source watches", lambda: _raise(next(orders), "total")),
    ]
    register(ShopCustomer)(Buyers)
    register(ShopCustomer)(Spenders)
    services.capture(ShopCustomer.objects.all())
    return [*rows, _compare("an order, which three sources watch", lambda: _raise(next(orders), "total"))]


class Buyers(MembershipSource):
    """Who has ordered is on a list."""

    customer = lambda customer: customer  # noqa: E731
    list_id = 2
    watch = {Order: "customer"}

    def include(self, customer: Any) -> bool:
        return bool(customer.orders.exists())


class Spenders(Buyers):
    list_id = 3

    def include(self, customer: Any) -> bool:
        return bool(customer.orders.filter(total__gte=100).exists())


def _signups(customers: list[ShopCustomer]) -> Iterator[NewsletterSignup]:
    newsletter = Newsletter.objects.create(name="News", blueshift_list_id=1)
    CustomerList.objects.create(list_id=1)
    return _rotation(NewsletterSignup, [NewsletterSignup(customer=each, newsletter=newsletter) for each in customers])


def _rotation(model: type[Any], objects: list[Any]) -> Iterator[Any]:
    """Mirrors new objects and gives them out by turns: one saved again and again would leave dead rows to be read."""
    services.capture(model.objects.bulk_create(objects))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return cycle(objects)


def _rename(obj: Any, field: str) -> None:
    setattr(obj, field, f"Ada {next(_number)}")
    obj.save()


def _raise(obj: Any, field: str) -> None:
    setattr(obj, field, next(_number) % 1000)
    obj.save()


def _turn(signup: NewsletterSignup) -> None:
    signup.confirmed = not signup.confirmed
    signup.save()


def _make_user() -> None:
    number = next(_number)
    User.objects.create(username=f"user-{number}", email=f"user-{number}@example.com", first_name="Ada")


def _compare(what: str, save: Callable[[], None], target: float | None = None) -> Row:
    _microseconds(save, services.disabled)  # warms up
    _microseconds(save, nullcontext)
    measured = alternate(
        ROUNDS,
        captured=lambda: _microseconds(save, nullcontext),
        plain=lambda: _microseconds(save, services.disabled),
    )
    queries = {"captured": _queries(save, nullcontext), "plain": _queries(save, services.disabled)}
    return Row(
        f"one save() with capture, against without: {what}",
        median_ratio(measured["captured"], measured["plain"]),
        target=target,
        at_most=True,
        note=(
            f"{median(measured['captured']):,.0f} µs against {median(measured['plain']):,.0f} µs; "
            f"{len(queries['captured'])} statements against {len(queries['plain'])}"
        ),
        details={"statements": queries},
    )


def _microseconds(save: Callable[[], None], block: Callable[[], AbstractContextManager[None]]) -> float:
    """The mean of one round, commit and everything on commit included."""
    with block():
        started = time.perf_counter()
        for _ in range(SAVES):
            with transaction.atomic():
                save()
    return (time.perf_counter() - started) / SAVES * 1e6


def _queries(save: Callable[[], None], block: Callable[[], AbstractContextManager[None]]) -> list[str]:
    """The statements of one save, cut short."""
    with block(), CaptureQueriesContext(connection) as captured, transaction.atomic():
        save()
    return [short(query["sql"]) for query in captured.captured_queries]
