"""Models that the shop has no use for: parents and children, odd keys, one-to-one relations."""

from __future__ import annotations

import uuid

from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=400, blank=True)
    email = models.CharField(max_length=400, blank=True)
    number = models.CharField(max_length=400, null=True, blank=True)  # noqa: DJ001 - None and "" differ here
    active = models.BooleanField(default=True)
    newsletter = models.BooleanField(null=True)
    manager = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="reports")
    data = models.JSONField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    def shout(self) -> str:
        return self.name.upper()


class Worker(Person):
    """A child with a table of its own; its key is the parent's."""

    desk = models.CharField(max_length=20, blank=True)


class Colleague(Person):
    """The same table under another name."""

    class Meta:
        proxy = True


class Contact(models.Model):
    contact_key = models.AutoField(primary_key=True)
    address = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"Contact {self.pk}"


class Partner(Person, Contact):
    """A child of two parents: it has a key of each, and they differ."""


class Badge(models.Model):
    person = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="badge")
    colour = models.CharField(max_length=20)
    photo = models.FileField(blank=True)

    def __str__(self) -> str:
        return f"Badge {self.pk}"


class Visit(models.Model):
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="visits")

    def __str__(self) -> str:
        return f"Visit {self.pk}"


class Signup(models.Model):
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="signups")
    news = models.CharField(max_length=40, blank=True)
    offers = models.IntegerField(null=True)
    confirmed = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"Signup {self.pk}"


class Device(models.Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"Device {self.pk}"


class Account(models.Model):
    """Its key is a text, and a person's at that."""

    login = models.CharField(primary_key=True, max_length=100)
    email = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"Account {self.pk}"


class Profile(models.Model):
    """Its key is another model's."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, primary_key=True)
    email = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"Profile {self.pk}"


class KeptManager(models.Manager["Subscriber"]):
    def get_queryset(self) -> models.QuerySet[Subscriber]:
        return super().get_queryset().filter(deleted=False)


class Subscriber(models.Model):
    """Deleted softly: the row stays, and its manager hides it."""

    email = models.CharField(max_length=100)
    deleted = models.BooleanField(default=False)

    objects = KeptManager()

    def __str__(self) -> str:
        return f"Subscriber {self.pk}"
