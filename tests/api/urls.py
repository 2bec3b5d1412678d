"""A site that includes the endpoints under a prefix of its own, and once more under another namespace."""

from django.urls import include, path

urlpatterns = [
    path("some/prefix/", include("blueshift_sync.api.urls")),
    path("elsewhere/", include("blueshift_sync.api.urls", namespace="elsewhere")),
]
