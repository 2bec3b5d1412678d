from django.contrib.auth.models import User
from django_ledger.models import CustomerModel, EntityModel

from blueshift_sync.sources import CustomerSource, register


@register(CustomerModel)
class Buyers(CustomerSource):
    customer_id = "pk"  # a UUID
    email = "email"
    attributes = {"name": "customer_name", "city": "city", "seller": "entity_model__name"}
    watch = {EntityModel: "customermodel"}

    def include(self, buyer):
        return buyer.active


@register(User)
class Bookkeepers(CustomerSource):
    customer_id = "username"
    email = "email"
    attributes = {"books": "get_books"}
    watch = {EntityModel: "admin"}

    def get_books(self, user):
        return sorted(user.admin_of.values_list("name", flat=True))
