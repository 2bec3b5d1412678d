"""To be included under any prefix: `path("api/blueshift/", include("blueshift_sync.api.urls"))`."""

from rest_framework.routers import SimpleRouter

from . import views

app_name = "blueshift_sync"

# Not DefaultRouter: its index of endpoints has the permissions of the site's settings, not ours.
router = SimpleRouter(use_regex_path=False)
router.register("customers", views.CustomerViewSet, basename="customers")
router.register("lists", views.ListViewSet, basename="lists")
router.register("memberships", views.MembershipViewSet, basename="memberships")
router.register("runs", views.RunViewSet, basename="runs")
router.register("calls", views.CallViewSet, basename="calls")
router.register("results", views.ResultViewSet, basename="results")

urlpatterns = router.urls
