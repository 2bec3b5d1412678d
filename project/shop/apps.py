"""A small shop, as a site of its own that `blueshift_sync` is installed into."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "project.shop"
    default_auto_field = "django.db.models.BigAutoField"
