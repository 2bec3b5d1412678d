"""A site that includes the endpoints under a prefix of its own, once more under another namespace, and nested."""

from django.urls import include, path

nested = ([path("inner/", include("blueshift_sync.api.urls", namespace="inner"))], "outer")

urlpatterns = [
    path("some/prefix/", include("blueshift_sync.api.urls")),
    path("elsewhere/", include("blueshift_sync.api.urls", namespace="elsewhere")),
    path("<slug:tenant>/", include(nested)),
]
