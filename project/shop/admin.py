"""The shop's own admin pages: save something here and see it go to Blueshift."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from blueshift_sync.admin import BlueshiftAdminMixin

from .models import Customer, Newsletter, NewsletterSignup, Order, Plan, Subscription

if TYPE_CHECKING:  # django-stubs makes them generic; Django itself doesn't
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Any, Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, StackedInline, TabularInline = admin.ModelAdmin, admin.StackedInline, admin.TabularInline


class SubscriptionInline(StackedInline):
    model = Subscription
    extra = 0


class OrderInline(TabularInline):
    model = Order
    extra = 0


class SignupInline(TabularInline):
    model = NewsletterSignup
    extra = 0


@admin.register(Customer)
class CustomerAdmin(BlueshiftAdminMixin, ModelAdmin):
    list_display = ["customer_number", "__str__", "blueshift_state", "email", "language", "marketing_consent"]
    list_filter = ["marketing_consent", "is_test_account", "language"]
    search_fields = ["customer_number", "email", "given_name", "family_name"]
    ordering = ["customer_number"]
    inlines = [SubscriptionInline, OrderInline, SignupInline]


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    list_display = ["code", "name", "price"]


@admin.register(Newsletter)
class NewsletterAdmin(ModelAdmin):
    list_display = ["name", "blueshift_list_id"]


@admin.register(NewsletterSignup)
class NewsletterSignupAdmin(BlueshiftAdminMixin, ModelAdmin):
    list_display = ["customer", "newsletter", "confirmed", "created_at"]
    list_filter = ["newsletter", "confirmed"]
    list_select_related = ["customer", "newsletter"]
    raw_id_fields = ["customer"]
