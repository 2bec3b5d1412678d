"""An address of every page of the admin, with its filters and its search, by a name that stays the same."""

from __future__ import annotations

from django.contrib import admin
from django.test import Client

from .found import VIEWS, Rows, crawl, parameters_of, view_at
from .pages import MODELS, list_url


def addresses(client: Client, rows: Rows) -> dict[str, str]:
    """Of each view, of each list with each of its filters, and of each search."""
    found = {str(view): view.address(rows, client) for view in VIEWS}
    for address in crawl(client):
        view, parameters = view_at(address), parameters_of(address)
        if view in VIEWS and not view.parameters and parameters:
            found.setdefault(f"{view}?{'&'.join(sorted(parameters))}", address)
    for model in MODELS:
        if admin.site.get_model_admin(model).search_fields:
            found[f"blueshift_sync/{model._meta.model_name}?q"] = f"{list_url(model)}?q=c4"
    return found
