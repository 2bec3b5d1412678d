"""What customers do in the shop, by its own pages. Prints whom Blueshift should know afterwards."""

import json
import sys

import django

django.setup()

from django.db.models import Sum  # noqa: E402 - only now can models be imported
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from oscar.core.loading import get_model  # noqa: E402
from oscar.test.factories import create_product, create_stockrecord  # noqa: E402
from people.models import User  # noqa: E402

Country, Order, Product = (
    get_model("address", "Country"),
    get_model("order", "Order"),
    get_model("catalogue", "Product"),
)
ProductAlert = get_model("customer", "ProductAlert")
SECRET = "a-long-sentence-2026"


def posted(client, address, data, status=302):
    answer = client.post(address, data)
    assert answer.status_code == status, (address, answer.status_code, answer.content.decode()[-3000:])
    return answer


def sign_up(name):
    data = {"email": f"{name}@example.com", "password1": SECRET, "password2": SECRET}
    posted(Client(), reverse("customer:register"), data)


def logged_in(name):
    client = Client()
    client.force_login(User.objects.get(email=f"{name}@example.com"), "oscar.apps.customer.auth_backends.EmailBackend")
    return client


def buy(name):
    client, product = logged_in(name), Product.objects.get(title="Tea")
    posted(client, reverse("basket:add", args=[product.pk]), {"quantity": 2})
    address = {
        "first_name": name,
        "last_name": "Lee",
        "line1": "1 High Street",
        "line4": "Leeds",
        "postcode": "LS1 1AA",
    }
    posted(client, reverse("checkout:shipping-address"), address)
    for step in ("shipping-method", "payment-method", "payment-details"):
        assert client.get(reverse(f"checkout:{step}")).status_code in (200, 302)
    answer = posted(client, reverse("checkout:preview"), {"action": "place_order"})
    assert answer["Location"] == reverse("checkout:thank-you")
    assert client.get(answer["Location"]).status_code == 200


def wait_for_a_product(name):
    client, product = logged_in(name), Product.objects.get(title="Coffee")
    posted(client, reverse("customer:alert-create", args=[product.pk]), {"email": f"{name}@example.com"})


def begin():
    """Before the package is there."""
    Country.objects.create(iso_3166_1_a2="GB", name="Great Britain", printable_name="GB", is_shipping_country=True)
    create_stockrecord(create_product(title="Tea"), num_in_stock=100)
    create_stockrecord(create_product(title="Coffee"), num_in_stock=0)
    User.objects.create_superuser("root@example.com", SECRET)
    for name in ("ann", "bob", "carol"):
        sign_up(name)
    buy("ann")
    wait_for_a_product("bob")


def go_on():
    """With the package."""
    sign_up("dan")
    buy("dan")
    buy("ann")
    wait_for_a_product("ann")
    posted(logged_in("carol"), reverse("customer:profile-delete"), {"password": SECRET})
    data = {"first_name": "Robert", "last_name": "Lee", "email": "bob@example.com", "likes_tea": "on"}
    posted(logged_in("bob"), reverse("customer:profile-update"), data)
    alert = ProductAlert.objects.get(user__email="bob@example.com")
    posted(logged_in("bob"), reverse("customer:alerts-cancel-by-pk", args=[alert.pk]), {})


def expected():
    customers = [
        {
            "customer_id": str(user.pk),
            "email": user.email,
            "firstname": user.first_name,
            "likes_tea": user.likes_tea,
            "orders": user.orders.count(),
            "spent": float(Order.objects.filter(user=user).aggregate(spent=Sum("total_incl_tax"))["spent"] or 0),
        }
        for user in User.objects.all()
    ]
    waiting = ProductAlert.objects.filter(status=ProductAlert.ACTIVE).values_list("user__email", flat=True)
    return {"customers": customers, "members": {"7": sorted(waiting)}}


{"begin": begin, "go_on": go_on}[sys.argv[1]]()
print(json.dumps(expected()))
