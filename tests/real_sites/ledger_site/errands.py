"""What bookkeepers do, by django-ledger's own pages. Prints whom Blueshift should know afterwards."""

import json
import sys

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - only now can models be imported
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django_ledger.models import CustomerModel, EntityModel  # noqa: E402


def fields(name, **others):
    unused = dict.fromkeys(("address_1", "address_2", "phone", "website"), "")
    place = {"city": "Leeds", "state": "YKS", "zip_code": "LS1 1AA", "country": "GB"}
    return {
        **unused,
        **place,
        "customer_name": name.title(),
        "customer_code": name,
        "email": f"{name}@example.com",
        "sales_tax_rate": "0.0",
        "active": "on",
        **others,
    }


def post(page, data, **arguments):
    client = Client()
    client.force_login(User.objects.get(username="root"))
    answer = client.post(reverse(f"django_ledger:{page}", kwargs={"entity_slug": books().slug, **arguments}), data)
    assert answer.status_code == 302, answer.content.decode()


def books():
    return EntityModel.objects.get()


def buyer(code):
    return CustomerModel.objects.get(customer_code=code)


def begin():
    """Before the package is there."""
    root = User.objects.create_superuser("root", "root@example.com", "a-long-sentence-2026")
    EntityModel.create_entity(name="Tea Ltd", use_accrual_method=False, fy_start_month=1, admin=root)
    for name in ("ann", "bob", "carol"):
        post("customer-create", fields(name))


def go_on():
    """With the package."""
    post("customer-create", fields("dan"))
    post("customer-update", fields("ann", customer_name="Anna", city="York"), customer_pk=buyer("ann").pk)
    entity = books()
    entity.name = "Tea and Coffee Ltd"
    entity.save()


def expected():
    buyers = [
        {
            "customer_id": str(buyer.pk),
            "email": buyer.email,
            "name": buyer.customer_name,
            "city": buyer.city,
            "seller": buyer.entity_model.name,
        }
        for buyer in CustomerModel.objects.all()
    ]
    keepers = [
        {"customer_id": user.username, "email": user.email, "books": [books().name]} for user in User.objects.all()
    ]
    return {"customers": buyers + keepers, "members": {}}


{"begin": begin, "go_on": go_on}[sys.argv[1]]()
print(json.dumps(expected()))
