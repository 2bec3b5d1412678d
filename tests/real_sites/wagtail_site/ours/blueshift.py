from django.contrib.auth import get_user_model

from blueshift_sync.sources import CustomerSource, register

User = get_user_model()


@register(User)
class Editors(CustomerSource):
    customer_id = "pk"  # of a field class that Wagtail's test project wrote itself
    email = "email"
    firstname = "first_name"
    lastname = "last_name"
    attributes = {"country": "country", "groups": "get_groups"}
    watch = {"auth.Group": "customuser"}

    def get_groups(self, user):
        return sorted(user.groups.values_list("name", flat=True))
