"""The shop's front page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .models import Customer, NewsletterSignup, Order


def home(request: HttpRequest) -> HttpResponse:
    """What this site is, how much is in the shop, and where to go from here."""
    context = {
        "customers": Customer.objects.count(),
        "orders": Order.objects.count(),
        "signups": NewsletterSignup.objects.count(),
        "simulator": settings.BLUESHIFT_SYNC.get("BASE_URL"),
    }
    return render(request, "shop/home.html", context)
