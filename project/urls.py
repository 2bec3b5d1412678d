"""The demo site's addresses."""

from django.contrib import admin
from django.urls import include, path

from project.shop.views import home

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
    path("api/blueshift/", include("blueshift_sync.api.urls")),
    path("django-rq/", include("django_rq.urls")),
]
