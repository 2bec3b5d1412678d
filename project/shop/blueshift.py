"""What Blueshift should know about the shop. Found at start-up, as admin.py is; the models need no change."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from blueshift_sync.sources import CustomerSource, MembershipSource, register

from .models import Customer, NewsletterSignup, Order, Subscription


@register(Customer)
class ShopCustomerSource(CustomerSource):
    customer_id = "customer_number"
    email = "email"
    firstname = "given_name"
    lastname = "family_name"
    attributes = {
        "phone_number": lambda customer: customer.phone or None,  # None: there is nothing to tell
        "joined_at": "created_at",
        "birth_date": "birth_date",
        "language": "language",
        "plan": "subscription__plan__code",  # a path through relations; no subscription, no plan
        "orders": "get_order_count",
        "spent": "get_spent",
        "vip": lambda customer: sum(order.total for order in customer.orders.all()) >= 1000,
        "shop_id": "pk",
    }
    # Saving or deleting one of these changes what is known of its customer.
    watch = {Order: "customer", Subscription: "customer"}

    def get_order_count(self, customer: Customer) -> int:
        return len(customer.orders.all())

    def get_spent(self, customer: Customer) -> Decimal:
        return sum((order.total for order in customer.orders.all()), Decimal(0))

    def get_subscription_groups(self, customer: Customer) -> dict[str, bool]:
        return {"sg-news": customer.marketing_consent}

    def get_queryset(self) -> QuerySet[Customer]:
        return Customer.objects.select_related("subscription__plan").prefetch_related("orders")

    def include(self, customer: Any) -> bool:
        return not customer.is_test_account


@register(NewsletterSignup)
class NewsletterSource(MembershipSource):
    customer = "customer"
    list_id = "newsletter__blueshift_list_id"

    def get_queryset(self) -> QuerySet[NewsletterSignup]:
        return NewsletterSignup.objects.select_related("newsletter", "customer")

    def include(self, signup: Any) -> bool:
        return bool(signup.confirmed)  # double opt-in: on the list only once confirmed
