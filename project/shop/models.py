"""The shop's own models. They know nothing of Blueshift."""

import uuid

from django.db import models
from django.utils import timezone


class Plan(models.Model):
    code = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2, help_text="Per month.")

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer_number = models.CharField(max_length=20, unique=True)
    email = models.EmailField(unique=True, null=True, blank=True)
    given_name = models.CharField(max_length=150, blank=True)
    family_name = models.CharField(max_length=150, blank=True)
    phone = models.CharField(max_length=30, blank=True, help_text="With the country code: +44 …")
    birth_date = models.DateField(null=True, blank=True)
    language = models.CharField(max_length=10, blank=True)
    marketing_consent = models.BooleanField(default=False)
    is_test_account = models.BooleanField(default=False, help_text="Opened by the shop's own staff.")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.given_name} {self.family_name}".strip() or self.customer_number


class Subscription(models.Model):
    customer = models.OneToOneField(Customer, on_delete=models.CASCADE, related_name="subscription")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    started_on = models.DateField(default=timezone.localdate)

    def __str__(self) -> str:
        return f"{self.customer}: {self.plan}"


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=10, decimal_places=2)
    placed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Newsletter(models.Model):
    name = models.CharField(max_length=100)
    blueshift_list_id = models.PositiveIntegerField(
        "Blueshift list", unique=True, help_text="The number in the address of the list's page in Blueshift."
    )

    def __str__(self) -> str:
        return self.name


class NewsletterSignup(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="signups")
    newsletter = models.ForeignKey(Newsletter, on_delete=models.CASCADE, related_name="signups")
    confirmed = models.BooleanField(default=False, help_text="Whether the link in the e-mail was followed.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "newsletter"], name="one_signup_per_newsletter"),
        ]

    def __str__(self) -> str:
        return f"{self.customer}: {self.newsletter}"
