"""A user model without user name and with a UUID for a key, and all that may hang off a customer."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class MemberManager(BaseUserManager["Member"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> Member:
        member: Member = self.model(email=email, **fields)
        member.set_password(password)
        member.save(using=self._db)
        return member


class Member(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    number = models.CharField(max_length=20, blank=True)
    name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    sponsor = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="sponsored")
    tags = models.ManyToManyField(Tag, related_name="members", blank=True)

    USERNAME_FIELD = "email"
    objects = MemberManager()

    def __str__(self) -> str:
        return self.email


class Trainer(Member):
    """An inherited customer, with a table of its own."""

    subject = models.CharField(max_length=20, blank=True)


class ActiveMember(Member):
    """A proxy: the same rows under another name."""

    class Meta:
        proxy = True


class Plan(models.Model):
    code = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.code


class Subscription(models.Model):
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="subscriptions")

    def __str__(self) -> str:
        return f"{self.member}: {self.plan}"


class Order(models.Model):
    member = models.ForeignKey(Member, on_delete=models.SET_NULL, null=True, related_name="orders")
    note = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    amount = models.DecimalField(max_digits=8, decimal_places=2, default=1)

    def __str__(self) -> str:
        return f"Line {self.pk}"


class Team(models.Model):
    name = models.CharField(max_length=20)
    members = models.ManyToManyField(Member, through="Position", related_name="teams")

    def __str__(self) -> str:
        return self.name


class Position(models.Model):
    """The rows between teams and members, which the site writes by itself as well."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    member = models.ForeignKey(Member, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"{self.member} in {self.team}"


class Letter(models.Model):
    list_number = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"Letter {self.list_number}"


class Signup(models.Model):
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="signups")
    letter = models.ForeignKey(Letter, on_delete=models.CASCADE)
    confirmed = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"Signup {self.pk}"


class Seat(models.Model):
    """Its key is made of two columns."""

    pk = models.CompositePrimaryKey("hall", "number")
    hall = models.CharField(max_length=20)
    number = models.IntegerField()
    holder = models.EmailField()

    def __str__(self) -> str:
        return f"{self.hall} {self.number}"


class Visitor(models.Model):
    """Kept in the club's other database."""

    badge = models.CharField(max_length=20, primary_key=True)
    email = models.EmailField()

    def __str__(self) -> str:
        return self.badge


class Stamp(models.Model):
    visitor = models.ForeignKey(Visitor, on_delete=models.CASCADE, related_name="stamps")

    def __str__(self) -> str:
        return f"Stamp {self.pk}"
