"""What is left to subclasses is there in each that is used: with the metaclasses of Django's admin and of django-filter
Python itself doesn't look.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.urls import URLPattern

from blueshift_sync.api.urls import urlpatterns


def used_classes() -> Iterator[type]:
    """The admins that are registered, and the views of the API with their filters."""
    yield from {type(each) for each in admin.site._registry.values()}
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
        assert view is not None, pattern
        yield view
        if filters := getattr(view, "filterset_class", None):
            yield filters


def left_open(used: type) -> list[str]:
    return [name for name in dir(used) if getattr(getattr(used, name, None), "__isabstractmethod__", False)]


def test_nothing_is_left_open_in_what_is_used() -> None:
    classes = set(used_classes())
    assert len(classes) > 20
    assert {used: names for used in classes if (names := left_open(used))} == {}


def test_what_is_left_open_is_found() -> None:
    bases = {base for used in used_classes() for base in used.__mro__}
    assert {name for base in bases for name in left_open(base)} == {
        "conditions",
        "get_queryset",
        "kinds",
        "label_of",
        "permissions_needed",
        "selection",
        "with_results",
    }
