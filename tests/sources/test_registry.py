"""Registering sources, and finding each app's `blueshift.py`."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from blueshift_sync.exceptions import SourceError
from blueshift_sync.models import Customer
from blueshift_sync.sources import CustomerSource, MembershipSource, register
from blueshift_sync.sources.registration import unregister
from blueshift_sync.sources.registry import all_sources, customer_source_of, sources_of
from project.shop.models import Customer as Shopper
from project.shop.models import NewsletterSignup
from tests.site.models import Colleague, Person, Worker

from .conftest import Register


class People(CustomerSource):
    email = "email"


class News(MembershipSource):
    customer = "person"
    list_id = 7


def test_each_apps_blueshift_module_is_found_at_start_up() -> None:
    labels = [source.label for source in all_sources()]
    assert {"shop.customer", "shop.newslettersignup"} <= set(labels)


def test_customers_come_before_memberships(registered: Register) -> None:
    registered(Worker)(News)
    registered(Person)(People)
    kinds = [isinstance(source, MembershipSource) for source in all_sources()]
    assert kinds == sorted(kinds)


def test_the_decorator_returns_the_class_and_each_model_has_a_source_of_its_own(registered: Register) -> None:
    assert registered(Person, Worker)(People) is People
    assert [source.model for source in all_sources() if isinstance(source, People)] == [Person, Worker]


def test_a_second_customer_source_for_a_model_is_refused(registered: Register) -> None:
    registered(Person)(People)
    with pytest.raises(SourceError, match=r"site\.Person already has a customer source; Others is a second one"):
        register(Person)(type("Others", (CustomerSource,), {}))


def test_a_second_membership_source_for_a_model_is_fine(registered: Register) -> None:
    registered(Person)(News)
    registered(Person)(type("Others", (MembershipSource,), {}))
    assert len(sources_of(Person)) == 2


def test_an_abstract_model_is_refused() -> None:
    class Abstract(models.Model):
        class Meta:
            abstract = True
            app_label = "site"

    with pytest.raises(SourceError, match="Abstract is abstract; register People for its subclasses"):
        register(Abstract)(People)


def test_a_class_that_is_no_source_is_refused() -> None:
    with pytest.raises(SourceError, match="int is neither a CustomerSource nor a MembershipSource"):
        register(Person)(int)  # type: ignore[type-var]


def test_an_object_concerns_the_sources_of_its_parents_children_and_proxies(registered: Register) -> None:
    registered(Person)(People)
    registered(Colleague)(News)
    for model in (Person, Colleague, Worker):
        assert {type(source) for source in sources_of(model)} == {News, People}
    assert customer_source_of(Colleague) is customer_source_of(Person)


def test_a_model_without_a_source_has_none() -> None:
    assert sources_of(Person) == []
    assert customer_source_of(Person) is None
    assert customer_source_of(NewsletterSignup) is None
    assert customer_source_of(Shopper) is not None


@pytest.mark.django_db
def test_an_unregistered_model_is_not_captured_any_more() -> None:
    register(Person)(type("Watching", (People,), {"watch": {Shopper: "pk"}}))
    unregister(Person)
    Person.objects.create(email="ada@example.com")
    Shopper.objects.create(customer_number="1")
    assert Customer.objects.get().source_type == "shop.customer"


def test_each_source_has_a_label_of_its_models_name(registered: Register) -> None:
    registered(Person, Worker)(People)
    labels: list[Any] = [source.label for source in all_sources() if isinstance(source, People)]
    assert labels == ["site.person", "site.worker"]


def test_without_a_model() -> None:
    class Nobody(CustomerSource):
        email = "email"

    for targets in ((), (Nobody,)):
        with pytest.raises(SourceError, match="register needs a model"):
            register(*targets)
