"""Actions as Django 6.1 has them, beside classes of a site that were written for Django before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory

from blueshift_sync.admin import BlueshiftAdminMixin
from blueshift_sync.admin.django_actions import label_of
from project.shop.models import Customer

pytestmark = pytest.mark.django_db

LIST, PAGE = SimpleNamespace(name="CHANGE_LIST"), SimpleNamespace(name="CHANGE_FORM")


class OldAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def get_actions(self, request: HttpRequest) -> Any:  # type: ignore[override]
        return super().get_actions(request)


class OfASite(BlueshiftAdminMixin, OldAdmin):  # type: ignore[misc]
    pass


def actions(location: Any) -> set[str]:
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    return set(OfASite(Customer, admin.site).get_actions(request, action_location=location))


@pytest.mark.parametrize("location", [None, LIST])
def test_a_list_has_the_sites_own_actions_and_ours(location: Any) -> None:
    assert actions(location) > {"delete_selected", "blueshift_push"}


def test_an_objects_page_has_none_of_those_for_lists() -> None:
    assert actions(PAGE) == set()


def test_the_label_of_an_action() -> None:
    assert label_of((print, "push", "Send")) == "Send"
    assert label_of(SimpleNamespace(func=print, name="push", description="Send")) == "Send"
