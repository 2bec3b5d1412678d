"""Every view, button and action of the app's admin, found by themselves: a new one is tried without being named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve

from blueshift_sync.admin import BlueshiftAdminMixin

from .pages import action, list_url

PACKAGE = "blueshift_sync"
Rows = Mapping[type[Model], Model]


@dataclass(frozen=True)
class View:
    """A view of the admin that is the app's: its address with the parameters in it, as `path()` writes them."""

    route: str
    callback: Callable[..., Any] = field(compare=False)

    def __str__(self) -> str:
        return self.route.removeprefix("/admin/").strip("/")

    @property
    def parameters(self) -> set[str]:
        return set(_PARAMETER.findall(self.route))

    @property
    def model(self) -> type[Model]:
        """The model whose admin has this view."""
        app_label, model_name = self.route.split("/")[2:4]
        return apps.get_model(app_label, model_name)

    @property
    def only_leads_on(self) -> bool:
        """Whether it is Django's own redirect from a row's bare address."""
        return hasattr(self.callback, "view_class")

    def address(self, rows: Rows, client: Client) -> str:
        """An address of this view. Parameters that name no row are taken from a link that `client` is shown."""
        return self.address_on(() if self.names_a_row else crawl(client).values(), rows)

    def address_on(self, pages: Iterable[Page], rows: Rows) -> str:
        """As `address`, by links on these pages."""
        if self.names_a_row:
            return self._address_of(rows.get(self.model))
        return next((link for page in pages for link in page.links if view_at(link) == self), "")

    @property
    def names_a_row(self) -> bool:
        """Whether its address has no other parameter than a row, or none at all."""
        return self.parameters <= {"object_id"}

    @property
    def address_of_nothing(self) -> str:
        """An address of this view that names what there never was."""
        return _PARAMETER.sub("%22%3E%F0%9F%92%A5", self.route)

    def _address_of(self, row: Model | None) -> str:
        assert row is not None or not self.parameters, f"tests/admin/rows.py makes no {self.model.__name__}."
        return _PARAMETER.sub(str(row.pk) if row else "", self.route)


_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def _views(resolver: URLResolver, route: str) -> Iterator[View]:
    for pattern in resolver.url_patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _views(pattern, whole)
        elif isinstance(pattern, URLPattern) and _is_ours(whole, pattern.callback):
            yield View(whole, pattern.callback)


def _is_ours(route: str, callback: Callable[..., Any]) -> bool:
    """In the app's part of the admin, or a view of ours in another app's part; not what the mixin only adds to."""
    if isinstance(getattr(callback, "model_admin", None), BlueshiftAdminMixin):
        return False
    return route.startswith(f"/admin/{PACKAGE}/") or callback.__module__.startswith(f"{PACKAGE}.admin")


#: All of them, by the URL resolver.
VIEWS = list(_views(get_resolver(), "/"))


@dataclass(frozen=True)
class Action:
    """An action of ours on the list of a model, which needn't be ours."""

    model: type[Model]
    name: str

    def __str__(self) -> str:
        return f"{self.model._meta.model_name}-{self.name}"

    @property
    def address(self) -> str:
        return list_url(self.model)

    def payload(self, rows: Rows) -> dict[str, Any]:
        return action(self.name, rows[self.model])


def _actions() -> Iterator[Action]:
    request = HttpRequest()
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    for model, model_admin in admin.site._registry.items():
        for name, found in model_admin.get_actions(request).items():
            function = found[0] if isinstance(found, tuple) else found.func
            if function.__module__.startswith(PACKAGE) or model._meta.app_label == PACKAGE:
                yield Action(model, name)


#: All of them, by the admin's registry, for somebody who may do everything.
ACTIONS = list(_actions())


def _of_the_site() -> Iterator[View]:
    """The lists and the objects' pages of the site's own admin that the app adds to."""
    for model, model_admin in admin.site._registry.items():
        if isinstance(model_admin, BlueshiftAdminMixin):
            route = list_url(model)
            yield View(route, model_admin.changelist_view)
            yield View(f"{route}<path:object_id>/change/", model_admin.change_view)


SITES_VIEWS = list(_of_the_site())


def view_at(address: str) -> View | None:
    """The view at this address, if it is the app's or one of the site's that it adds to."""
    try:
        match = resolve(urlsplit(address).path)
    except Resolver404:
        return None
    return next((view for view in [*VIEWS, *SITES_VIEWS] if view.route == f"/{match.route}"), None)


# What is on the pages


@dataclass(frozen=True)
class Form:
    """A form that posts to one of the app's views: its address and what it sends."""

    address: str
    fields: dict[str, Any]


class Page(HTMLParser):
    """What a page is made of, its links, and the forms on it that post, with absolute addresses.

    Not the form around a list, which sends nothing until an action is chosen: ACTIONS are those.
    """

    def __init__(self, address: str, text: str) -> None:
        super().__init__()
        self.address = address
        self.text = text
        self._form: Form | None = None
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.attributes |= values.keys()
        if tag == "a" and "href" in values:
            self.links.append(urljoin(self.address, values["href"]))
        elif tag == "form" and values.get("method", "").lower() == "post" and values.get("id") != "changelist-form":
            self._form = Form(urljoin(self.address, values.get("action", "")), {})
            self.forms.append(self._form)
        elif tag in {"input", "button", "select", "textarea"} and self._form and values.get("name"):
            self._form.fields.setdefault(values["name"], values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def crawl(client: Client) -> dict[str, Page]:
    """The app's pages that `client` gets to by links from the admin's index, by address.

    Of the same view with the same parameters behind the question mark the first one is enough, and filters are
    tried one by one.
    """
    pages: dict[str, Page] = {}
    seen: set[Any] = set()
    ahead = [list_url(model) for model in admin.site._registry]
    while ahead:
        address = ahead.pop(0)
        view, parameters = view_at(address), parameters_of(address)
        if view is None or parameters & _DJANGOS_OWN or (view, parameters) in seen:
            continue
        seen.add((view, parameters))
        response = client.get(address)
        if is_page(response):
            pages[address] = Page(address, response.content.decode())
            ahead += [link for link in pages[address].links if not (parameters and view_at(link) == view)]
    return pages


#: Parameters of Django's lists that show the same page in another order or window.
_DJANGOS_OWN = {"o", "p", "_facets", "_changelist_filters", "_popup", "_to_field"}


def parameters_of(address: str) -> frozenset[str]:
    """The names of the parameters behind the question mark."""
    return frozenset(parse_qs(urlsplit(address).query))


def all_pages(client: Client, rows: Rows) -> list[Page]:
    """What `crawl` finds, pages that nothing links to, and those that ask for confirmation after an action.

    Changes nothing.
    """
    pages = crawl(client)
    crawled = list(pages.values())
    for view in VIEWS:
        address = view.address_on(crawled, rows)
        response = client.get(address)
        if is_page(response):
            pages.setdefault(address, Page(address, response.content.decode()))
    for one in ACTIONS:
        with transaction.atomic():
            response = client.post(one.address, one.payload(rows))
            transaction.set_rollback(True)
        if is_page(response):
            pages[str(one)] = Page(one.address, response.content.decode())
    return list(pages.values())


def is_page(response: Any) -> bool:
    """Not a download, and not a body as it went over the wire, which is plain text to a browser."""
    return response.status_code == 200 and response["Content-Type"].startswith("text/html")


def forms(client: Client, rows: Rows) -> list[Form]:
    """Those on all pages that post to a view of ours."""
    return [form for page in all_pages(client, rows) for form in page.forms if view_at(form.address)]


def contents() -> dict[str, list[Any]]:
    """Every row of the app's tables and of the admin's own history, to tell whether anything was changed."""
    tables = [model for model in apps.get_app_config(PACKAGE).get_models() if not model._meta.proxy]
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in [*tables, LogEntry]}
