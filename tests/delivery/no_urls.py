"""A site without an admin."""

urlpatterns: list[object] = []
