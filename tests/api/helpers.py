"""The endpoints as the router knows them, with what a test needs to call each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.urls import reverse
from rest_framework.test import APIClient

from blueshift_sync.api.urls import router, urlpatterns
from blueshift_sync.api.views import SyncViewSet
from blueshift_sync.models import ApiCall, Customer, CustomerList, ListMembership, RecordResult, SyncRun
from tests import factories

MAKERS: dict[type[Model], Callable[..., Any]] = {
    Customer: factories.make_customer,
    CustomerList: factories.make_list,
    ListMembership: factories.make_membership,
    SyncRun: factories.make_run,
    ApiCall: factories.make_call,
    RecordResult: factories.make_result,
}


class Endpoint(NamedTuple):
    name: str
    view: type[SyncViewSet[Any]]
    model: type[Model]

    @property
    def list_url(self) -> str:
        return reverse(f"blueshift_sync:{self.name}-list")

    def detail_url(self, pk: int) -> str:
        return reverse(f"blueshift_sync:{self.name}-detail", args=[pk])

    @property
    def view_permission(self) -> str:
        return f"view_{self.model._meta.model_name}"

    def make(self, **fields: Any) -> Any:
        return MAKERS[self.model](**fields)


ENDPOINTS = [Endpoint(name, view, view.queryset.model) for _prefix, view, name in router.registry]
ENDPOINT = {endpoint.name: endpoint for endpoint in ENDPOINTS}


class GrantsEverything(BaseBackend):
    """A site's authentication backend that doesn't ask whether a user is active."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return True


def make_user(*codenames: str, **fields: Any) -> User:
    user = User.objects.create(username=f"user-{User.objects.count()}", **fields)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="blueshift_sync", codename__in=codenames)
    )
    return user


def client_of(user: User | None) -> APIClient:
    client = APIClient(raise_request_exception=False)
    if user is not None:
        client.force_authenticate(user)
    return client


def ids(response: Any) -> list[int]:
    """The primary keys on a page, in its order."""
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


class Address(NamedTuple):
    """One address of the API, as its URL patterns have it: its name, what it takes in its path, and its methods."""

    name: str
    takes: tuple[str, ...]
    view: type[Any]
    methods: frozenset[str]

    def url(self, pk: int) -> str:
        if "rest" in self.takes:
            return reverse("blueshift_sync:customers-list") + "x/y/"
        return reverse(f"blueshift_sync:{self.name}", kwargs=dict.fromkeys(self.takes, pk))


def _methods(pattern: Any) -> frozenset[str]:
    if actions := getattr(pattern.callback, "actions", None):
        return frozenset(actions)
    return frozenset(name for name in pattern.callback.cls.http_method_names if hasattr(pattern.callback.cls, name))


#: Every address that there is.
ADDRESSES = [
    Address(pattern.name, tuple(pattern.pattern.regex.groupindex), pattern.callback.cls, _methods(pattern))
    for pattern in urlpatterns
]
