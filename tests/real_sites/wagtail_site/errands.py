"""What the people of the site do, by Wagtail's own pages. Prints whom Blueshift should know afterwards."""

import json
import sys

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - only now can models be imported
from django.contrib.auth.models import Group  # noqa: E402
from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

User = get_user_model()


def fields(name, **others):
    return {
        "username": name,
        "email": f"{name}@example.com",
        "first_name": name.title(),
        "last_name": "Lee",
        "country": "Peru",
        "attachment": SimpleUploadedFile("note.txt", b"Hello"),
        **others,
    }


def post(address, data):
    client = Client()
    client.force_login(User.objects.filter(is_superuser=True).first())
    answer = client.post(address, data)
    assert answer.status_code == 302, answer.content.decode()


def add(name):
    secret = "a-long-sentence-2026"
    post(reverse("wagtailusers_users:add"), fields(name, password1=secret, password2=secret))


def change(name, **others):
    post(reverse("wagtailusers_users:edit", args=[User.objects.get(username=name).pk]), fields(name, **others))


def delete(name):
    post(reverse("wagtailusers_users:delete", args=[User.objects.get(username=name).pk]), {})


def begin():
    """Before the package is there."""
    call_command("createcachetable")
    User.objects.create_superuser("root", "root@example.com", "a-long-sentence-2026")
    for name in ("ann", "bob", "carol"):
        add(name)


def go_on():
    """With the package."""
    add("dan")
    editors = Group.objects.get(name="Editors")
    change("ann", first_name="Anna", is_active="on", groups=[editors.pk])
    editors.name = "Writers"
    editors.save()
    delete("bob")


def expected():
    return [
        {
            "customer_id": str(user.pk),
            "email": user.email,
            "firstname": user.first_name,
            "country": user.country,
            "groups": sorted(user.groups.values_list("name", flat=True)),
        }
        for user in User.objects.all()
    ]


{"begin": begin, "go_on": go_on}[sys.argv[1]]()
print(json.dumps({"customers": expected(), "members": {}}))
