"""The demo's site for screenshots.py: a shop that has been sent, and pages that everybody sees as the admin does."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import django_rq
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils.text import slugify

from blueshift_sync import services
from blueshift_sync.delivery.drain import drain
from blueshift_sync.delivery.figures import keep_figures
from blueshift_sync.models import ApiCall, Customer, CustomerList, SyncRun
from project.shop.filling import fill_shop

#: As many as fit into one call; one of them is such that Blueshift rejects it.
CUSTOMERS = 40


def send_shop() -> None:
    """Fills the shop, then sends all of it: the first call carries all customers."""
    settings.BLUESHIFT_SYNC["DEBOUNCE_SECONDS"] = 0
    call_command("migrate", verbosity=0)
    fill_shop(CUSTOMERS)
    drain()
    upload_file()
    # As if a worker and the timer were running, for the overview looks for both.
    django_rq.get_worker("default").register_birth()
    keep_figures()


def upload_file() -> None:
    """A file for one of the lists that waits for somebody's yes: most of the customers, and lines that mean nobody."""
    identifiers = Customer.objects.exclude(email="").values_list("email", flat=True)
    lines = ["email", *identifiers.order_by("pk"), "ann@example.com", identifiers[0], "somebody"]
    news = CustomerList.objects.get(name="Weekly letter")
    services.prepare_import(news, BytesIO("\n".join(lines).encode()), filename="winners-of-november.csv")


def paths() -> dict[str, str]:
    """The path of each of the app's pages, by a name for its picture: of each model the list, and the page of a row."""
    found: dict[str, str] = {}
    for model in apps.get_app_config("blueshift_sync").get_models():
        if not admin.site.is_registered(model):
            continue
        name = slugify(model._meta.verbose_name)
        view = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        if model._meta.proxy:  # a page in the menu, without rows
            found[name] = reverse(f"{view}_changelist")
            continue
        found[slugify(model._meta.verbose_name_plural)] = reverse(f"{view}_changelist")
        if row := telling_row(model):
            found[name] = reverse(f"{view}_change", args=[row.pk])
    news = CustomerList.objects.get(name="Weekly letter")
    found["upload-a-file"] = reverse("admin:blueshift_sync_customerlist_import", args=[news.pk])
    return found


def telling_row(model: type[Model]) -> Model | None:
    """The row whose page shows most: the call, and the run, of which Blueshift took some and rejected others."""
    rows = model._base_manager.order_by("pk")
    if model is ApiCall:
        return rows.get(state=ApiCall.State.PARTIAL, endpoint=ApiCall.Endpoint.CUSTOMERS_BULK)
    if model is Customer:
        return rows.filter(state=Customer.State.FAILED).first()
    if model is SyncRun:
        return rows.order_by("-rejected").first()
    return rows.first()


@contextmanager
def served() -> Iterator[str]:
    """Serves the site on a free port and yields its address.

    Chromium's command line takes no cookies, so each request gets the admin's.
    """
    site = StaticFilesHandler(get_wsgi_application())
    cookie = cookie_of_admin()
    logging.getLogger("django.request").setLevel(logging.ERROR)  # there is no favicon.ico
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(lambda environ, start: site({**environ, "HTTP_COOKIE": cookie}, start))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def cookie_of_admin() -> str:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Requests are not worth a line."""
