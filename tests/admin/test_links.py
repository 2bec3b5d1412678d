"""No page leads somebody to where he may not go."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from blueshift_sync.models import RecordResult

from .found import crawl, parameters_of, view_at
from .rows import make_many_more, make_one_of_each

#: Those that show something; each by itself is somebody who may see one kind of rows, and none that these lead to.
PERMISSIONS = sorted(
    f"view_{name}"
    for name in (
        *("customer", "customerlist", "listmembership", "customerremoval"),
        *("syncrun", "apicall", "recordresult", "attributetype"),
    )
)


def client_with(*codenames: str, shop: bool) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    permissions = Permission.objects.filter(content_type__app_label="blueshift_sync", codename__in=codenames)
    assert len(permissions) == len(codenames)
    user.user_permissions.set(permissions)
    if shop:
        user.user_permissions.add(*Permission.objects.filter(content_type__app_label="shop"))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("shop", [False, True], ids=["the app", "with the shop"])
@pytest.mark.parametrize("permission", PERMISSIONS)
def test_every_link_leads_somewhere(permission: str, shop: bool) -> None:
    rows = make_one_of_each()
    make_many_more(rows, 1)
    assert RecordResult.objects.exists()
    client = client_with(permission, shop=shop)
    pages = crawl(client)
    assert pages
    tried: set[Any] = set()
    for page in pages.values():
        for link in page.links:
            view = view_at(link)
            kind = (view, parameters_of(link))
            if view is None or kind in tried or link.endswith("#"):
                continue
            tried.add(kind)
            status = client.get(link, follow=True).status_code
            assert status == 200, f"{page.address} leads to {link}, which answers {status}"
