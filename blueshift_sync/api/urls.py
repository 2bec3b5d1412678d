"""To be included under any prefix: `path("api/blueshift/", include("blueshift_sync.api.urls"))`."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from . import monitoring, schema, views

app_name = "blueshift_sync"

# Not DefaultRouter: its index of endpoints has the permissions of the site's settings, not ours.
router = SimpleRouter(use_regex_path=False)
router.register("customers", views.CustomerViewSet, basename="customers")
router.register("lists", views.ListViewSet, basename="lists")
router.register("memberships", views.MembershipViewSet, basename="memberships")
router.register("runs", views.RunViewSet, basename="runs")
router.register("calls", views.CallViewSet, basename="calls")
router.register("results", views.ResultViewSet, basename="results")

_ours = "|".join([*(prefix for prefix, _view, _name in router.registry), "status", "metrics", "schema"])

urlpatterns = [
    *router.urls,
    path("status/", monitoring.StatusView.as_view(), name="status"),
    path("metrics/", monitoring.MetricsView.as_view(), name="metrics"),
    path("schema/", schema.SchemaView.as_view(), name="schema"),
    re_path(rf"^(?:{_ours})(?P<rest>|/(?s:.+))\Z", views.NothingHere.as_view(), name="nothing-here"),
]
