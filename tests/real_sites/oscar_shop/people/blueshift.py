from django.db.models import Sum
from oscar.core.loading import get_model

from blueshift_sync.sources import CustomerSource, MembershipSource, register
from people.models import User

Order = get_model("order", "Order")
ProductAlert = get_model("customer", "ProductAlert")


@register(User)
class Customers(CustomerSource):
    customer_id = "pk"
    email = "email"
    firstname = "first_name"
    lastname = "last_name"
    attributes = {"likes_tea": "likes_tea", "orders": "get_orders", "spent": "get_spent"}
    watch = {Order: "user"}

    def get_orders(self, user):
        return user.orders.count()

    def get_spent(self, user):
        return user.orders.aggregate(spent=Sum("total_incl_tax"))["spent"] or 0


@register(ProductAlert)
class WaitingForAProduct(MembershipSource):
    customer = "user"
    list_id = 7

    def include(self, alert):
        return alert.status == ProductAlert.ACTIVE
